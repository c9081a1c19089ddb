import json
import pickle
import shutil

import pandas as pd
import pytest
from shard_builders import RECORDINGS, MadeDataset, Recording, make_sample, write_dataset

from toolkit.errors import ShardError
from toolkit.shards import DatasetReader, ShardReader, read_dataset_info, read_manifest
from toolkit.shards.sidecar import shard_path
from toolkit.skeleton import NTU25

# Of the recordings built, c and e are not usable; d has 5 frames.
USABLE = ["a", "b", "d", "f", "g"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("out") / "made")


@pytest.fixture
def reader(made):
    with DatasetReader(made) as reader:
        yield reader


@pytest.fixture
def folder(made, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(made, tmp_path / "copy")


def poses_of(sample_id):
    recording = next(r for r in RECORDINGS if r.sample_id == sample_id)
    return make_sample(recording, NTU25, video=True).poses


def test_only_usable_samples_are_counted_in_the_manifests_order(reader):
    assert len(reader) == 5
    assert reader.samples["sample_id"].tolist() == USABLE
    assert reader.labels.tolist() == [0, 1, 0, 0, 1]
    assert reader.n_frames.tolist() == [33, 16, 5, 40, 17]


@pytest.mark.parametrize(("number", "sample_id"), list(enumerate(USABLE)))
def test_numbers_lead_to_the_right_shard_and_row(reader, number, sample_id):
    assert (reader.sample(number).joints == poses_of(sample_id).joints).all()


def test_windows_and_clips_are_those_of_the_sample(reader):
    joints = poses_of("f").joints
    assert (reader.window(3, 20).joints == joints[20:36]).all()
    clips = reader.clips(3)
    assert [len(clip) for clip in clips] == [16, 16, 16]
    assert (clips[1].joints == joints[16:32]).all()
    assert (clips[2].joints[8:] == joints[32:40]).all()


def test_a_short_sample_loops(reader):
    assert (reader.window(2, 0).joints[5:10] == poses_of("d").joints).all()


@pytest.mark.parametrize(
    ("split", "subset", "numbers"),
    [
        ("xsub", "train", [0, 3, 4]),
        ("xsub", "test", [1, 2]),
        ("xview", "train", [0, 1, 2, 3, 4]),
        ("xview", "test", []),
    ],
)
def test_subsets_are_numbers_of_usable_samples(reader, split, subset, numbers):
    assert reader.subset(split, subset).tolist() == numbers


def test_an_unknown_split_names_those_there_are(reader):
    with pytest.raises(ValueError, match=r"offers the splits \('xsub', 'xview'\), not 'xset'"):
        reader.subset("xset", "train")


@pytest.mark.parametrize("number", [-1, 5])
def test_a_sample_that_is_not_there_is_refused(reader, number):
    with pytest.raises(IndexError, match=f"has 5 usable samples, no number {number}"):
        reader.sample(number)


def test_an_open_reader_travels_by_pickle_without_its_manifest(reader):
    assert reader.sample(4)
    assert len(reader.samples) == 5
    data = pickle.dumps(reader)
    assert len(data) < 20_000
    with pickle.loads(data) as other:
        assert (other.sample(4).joints == reader.sample(4).joints).all()
        assert other.samples["sample_id"].tolist() == USABLE


def test_only_so_many_shards_stay_open(made, monkeypatch):
    from toolkit.shards import dataset

    monkeypatch.setattr(dataset, "_MAX_OPEN", 2)
    with DatasetReader(made) as reader:
        for number in (0, 2, 3, 0, 4, 2):
            reader.sample(number)
            assert len(reader._open) <= 2
        assert (reader.sample(1).joints == poses_of("b").joints).all()


def test_a_shard_is_looked_into_once_while_it_is_known(made, monkeypatch):
    from toolkit.shards import dataset, reader

    with ShardReader(shard_path(made, 0)) as one:
        assert (one.nbytes, len(one)) == (0, 2)
        size = one.nbytes
    looked, open_shard = [], reader.open_shard
    monkeypatch.setattr(
        reader, "open_shard", lambda path: looked.append(path.name) or open_shard(path)
    )
    monkeypatch.setattr(dataset, "_MAX_OPEN", 1)
    monkeypatch.setattr(dataset, "_MAX_RESTING_BYTES", 2.5 * size)
    with DatasetReader(made) as data:
        for number in (0, 2, 3, 0, 2, 3):
            data.sample(number)
        assert looked == ["00000.h5", "00001.h5", "00002.h5"]
        assert (data.sample(1).joints == poses_of("b").joints).all()
        monkeypatch.setattr(dataset, "_MAX_RESTING_BYTES", 1.5 * size)
        data.sample(2)  # Shard 2 has rested longest and is forgotten.
        data.sample(3)
        assert looked[3:] == ["00002.h5"]
        data.close()
        data.sample(2)
        assert looked[4:] == ["00001.h5"]


def test_info_tells_what_the_folder_holds(made):
    info = read_dataset_info(made)
    assert (info.name, info.layout, info.splits) == ("made", NTU25, ("xsub", "xview"))
    assert info.default_split == "xsub"
    assert info.class_names == ("drink water", "eat meal", "brush teeth")
    assert info.counts == {"planned": 7, "ok": 5, "bad_skeleton": 1, "missing_video": 1}
    assert info.parameters["samples_per_shard"] == 2


def test_a_data_set_without_a_usable_sample_is_empty(tmp_path):
    folder = write_dataset(tmp_path / "none", [Recording("a", reason="no_body")])
    with DatasetReader(folder) as reader:
        assert len(reader) == 0
        assert reader.subset("xsub", "train").tolist() == []


def test_a_skeleton_only_data_set_has_no_pictures(tmp_path):
    folder = write_dataset(tmp_path / "bare", made=MadeDataset(pictures=False))
    with DatasetReader(folder) as reader:
        assert list(reader.window(0, 0).jpegs) == []


def edit_info(folder, **changes):
    path = folder / "dataset.json"
    data = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in data.items() if v is not None}))


def test_another_format_version_is_refused(folder):
    edit_info(folder, format_version=2)
    with pytest.raises(ShardError, match=r"dataset\.json: format_version: expected 1, found 2"):
        DatasetReader(folder)


@pytest.mark.parametrize(
    "change",
    [{"name": None}, {"layout": {}}, {"layout": [1]}, {"counts": 3}, {"counts": {"ok": "x"}},
     {"class_names": 5}, {"parameters": [1]}, {"splits": None}],
)  # fmt: skip
def test_a_description_with_a_wrong_field_is_refused(folder, change):
    edit_info(folder, **change)
    with pytest.raises(ShardError, match=r"dataset\.json: content: expected all fields, found"):
        DatasetReader(folder)


def test_a_folder_that_is_no_data_set_is_refused(tmp_path):
    with pytest.raises(ShardError, match="expected the description of a ctxtool data set"):
        DatasetReader(tmp_path)


def edit_manifest(folder, edit):
    edit(read_manifest(folder)).to_parquet(folder / "manifest.parquet", index=False)


@pytest.mark.parametrize("column", ["shard", "shard_row", "n_frames"])
@pytest.mark.parametrize("value", [pd.NA, "x"])
def test_a_usable_sample_without_its_place_is_refused(folder, column, value):
    edit_manifest(folder, lambda m: m.assign(**{column: pd.array([value] * len(m), "string")}))
    with pytest.raises(ShardError, match=rf"manifest\.parquet: column {column}: expected numbers"):
        DatasetReader(folder)


def test_a_manifest_without_a_promised_split_is_refused(folder):
    edit_manifest(folder, lambda m: m.drop(columns="split_xview"))
    with (
        DatasetReader(folder) as reader,
        pytest.raises(ShardError, match="expected a column split_xview, found none"),
    ):
        reader.subset("xview", "train")


@pytest.mark.parametrize("row", [-1, 2, 1])
def test_a_manifest_that_points_to_another_row_is_noticed(folder, row):
    # Row 1 is sample b, of another label.
    edit_manifest(folder, lambda m: m.assign(shard_row=m["shard_row"].mask(m.index == 0, row)))
    with DatasetReader(folder) as reader, pytest.raises(ShardError, match="the manifest's label"):
        reader.sample(0)


def test_a_missing_shard_is_named(folder):
    (folder / "shards" / "00001.h5").unlink()
    with DatasetReader(folder) as reader:
        assert len(reader.sample(0)) == 33
        with pytest.raises(ShardError, match=r"00001\.h5: file: expected a shard, found none; "):
            reader.sample(2)
