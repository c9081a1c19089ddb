import click
import pytest

from train.dataset_folder import find_dataset, find_given_dataset
from train.errors import TrainError


def make_datasets(folder, *names):
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "dataset.json").write_text("{}")


def test_a_data_set_folder_is_itself(dataset):
    assert find_dataset(dataset) == dataset


def test_a_folder_with_one_data_set_stands_for_it(dataset):
    assert find_dataset(dataset.parent) == dataset


def test_several_data_sets_are_named(tmp_path):
    make_datasets(tmp_path, "ntu", "kinetics")
    with pytest.raises(TrainError, match=r"several data sets, name one .*/kinetics, .*/ntu$"):
        find_dataset(tmp_path)


@pytest.mark.parametrize("name", [".", "missing"])
def test_a_folder_without_a_data_set_is_refused(tmp_path, name):
    with pytest.raises(TrainError, match=r"\(a folder with dataset.json\), found no .*; build one"):
        find_dataset(tmp_path / name)


@pytest.mark.parametrize(
    ("names", "offered"),
    [
        ((), "--shards FOLDER"),
        (("ntu60",), "--shards FOLDER, such as out/ntu60"),
        (("ntu60", "kinetics"), "--shards FOLDER, such as out/kinetics or out/ntu60"),
    ],
)
def test_a_forgotten_data_set_is_offered(tmp_path, monkeypatch, names, offered):
    monkeypatch.chdir(tmp_path)
    make_datasets(tmp_path / "out", *names)
    with pytest.raises(click.UsageError) as caught:
        find_given_dataset(None)
    assert caught.value.message == f"say where the data set lies: {offered}"


def test_a_data_set_that_is_given_is_found(dataset):
    assert find_given_dataset(dataset.parent) == dataset
