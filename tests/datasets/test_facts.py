import pytest

from manifests import read_facts
from toolkit.datasets import kinetics, ntu


@pytest.mark.parametrize(
    ("name", "n_rows"),
    [
        ("ntu_classes", 120),
        ("ntu_subjects", 106),
        ("ntu_cameras", 3),
        ("ntu_setups", 32),
        ("ntu_missing", 535),
        ("ntu_recordings", 318),
        ("kinetics_classes", 400),
        ("kinetics_motion", 30),
    ],
)
def test_every_table_has_its_published_length(name, n_rows):
    assert len(read_facts(name)) == n_rows


def test_unknown_table_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match="ntu_classes"):
        read_facts("../setup")


def test_two_person_classes_are_the_published_26():
    two = [int(row["action"]) for row in read_facts("ntu_classes") if row["two_person"] == "yes"]
    assert two == [*range(50, 61), *range(106, 121)]


@pytest.mark.parametrize(("column", "n_train"), [("ntu60_xsub", 20), ("ntu120_xsub", 53)])
def test_training_subjects(column, n_train):
    assert sum(row[column] == "train" for row in read_facts("ntu_subjects")) == n_train


def test_missing_list_of_ntu60_is_what_ntu120_lists_of_its_setups():
    of_60 = {row["name"] for row in read_facts("ntu_missing") if row["ntu60"] == "yes"}
    assert of_60 == {n for n in ntu.read_listed_missing("ntu120") if int(n[1:4]) <= 17}
    assert len(of_60) == 302


def test_class_names_are_all_different():
    for names in (ntu.read_class_names("ntu120"), kinetics.read_class_names()):
        assert len(set(names)) == len(names)


def test_motion_classes_are_kinetics_classes_in_alphabetical_order():
    names = kinetics.read_class_names(motion_only=True)
    assert list(names) == sorted(names)
    assert set(names) <= set(kinetics.read_class_names())


def test_the_paper_spells_two_motion_classes_otherwise():
    rows = read_facts("kinetics_motion")
    assert {(r["name"], r["paper_name"]) for r in rows if r["name"] != r["paper_name"]} == {
        ("hopscotch", "hopsotch"),
        ("deadlifting", "dead lifting"),
    }


def test_class_names_are_those_of_the_published_lists(samples_dir):
    published = (samples_dir / "ntu_facts" / "ntu120_class_names.txt").read_text("utf-8")
    names = published.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").splitlines()
    assert ntu.read_class_names("ntu120") == tuple(names)
    published = (samples_dir / "kinetics_facts" / "kinetics400_label_name.txt").read_text("utf-8")
    assert kinetics.read_class_names() == tuple(published.splitlines())
