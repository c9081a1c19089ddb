"""Every way a shard can be wrong ends in one sentence, never in a crash or in wrong frames."""

import json
import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest
from stored import refusal, replace_table, table, write_shard

from toolkit.shards import ShardReader
from toolkit.shards import index as shard_index
from toolkit.shards.schema import tables
from toolkit.skeleton import NTU25


def test_a_file_that_is_not_there(tmp_path):
    told = "none; the command that built the data set makes it again"
    assert refusal(tmp_path / "00000.h5") == f"file: expected a shard, found {told}"


def test_a_folder(tmp_path):
    assert refusal(tmp_path) == "file: expected a shard, found Is a directory"


@pytest.mark.parametrize(
    ("limit", "value", "found"),
    [
        ("MAX_SHARD_BYTES", 9999, "file: expected a shard, found "),
        ("MAX_SAMPLES", 4, "sample/id: expected at most 4 samples, found 5"),
        # 5 samples have 6 boundaries of 8 bytes; 103 frames have 104.
        ("MAX_TABLE_BYTES", 47, "sample/row: expected at most 47 bytes, found 48"),
        ("MAX_TABLE_BYTES", 831, "rgb/offset: expected at most 831 bytes, found 832"),
    ],
)
def test_a_shard_that_asks_for_more_than_it_may(whole, monkeypatch, limit, value, found):
    monkeypatch.setattr(shard_index, limit, value)
    assert refusal(whole).startswith(found)


def test_a_shard_at_the_limits_is_read(whole, monkeypatch):
    monkeypatch.setattr(shard_index, "MAX_SHARD_BYTES", whole.stat().st_size)
    monkeypatch.setattr(shard_index, "MAX_SAMPLES", 5)
    monkeypatch.setattr(shard_index, "MAX_TABLE_BYTES", 832)
    with ShardReader(whole) as reader:
        assert len(reader) == 5


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"no HDF5 at all" * 100])
def test_a_file_that_is_no_hdf5(tmp_path, content):
    path = tmp_path / "00000.h5"
    path.write_bytes(content)
    assert refusal(path).startswith("file: expected an HDF5 shard, found ")


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9, 0.999])
def test_a_truncated_shard(shard, share):
    data = shard.read_bytes()
    shard.write_bytes(data[: int(len(data) * share)])
    assert refusal(shard)


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("format", np.bytes_("another"), "another version 1"),
        ("format", np.array([1, 2]), "None version 1"),
        ("format", "ctxtool-shard", "None version 1"),  # text of variable size
        ("format_version", 3, "ctxtool-shard version 3"),
        ("format_version", np.bytes_("1"), "ctxtool-shard version 1"),
        ("format_version", np.array([1, 1]), "ctxtool-shard version None"),
    ],
)
def test_another_format_or_version(shard, name, value, found):
    with h5py.File(shard, "r+") as file:
        file.attrs[name] = value
    assert refusal(shard) == f"format: expected ctxtool-shard version 1 or 2, found {found}"


@pytest.mark.parametrize(
    "layout",
    [
        np.bytes_(b"no JSON"),
        np.bytes_(b"[1, 2]"),
        np.bytes_(b"{}"),
        np.bytes_(b"\xff\xfe"),
        np.bytes_(b"[" * 30000),
        np.bytes_(json.dumps(NTU25.to_dict() | {"bones": [[0, 1]]})),
        np.arange(3),
        7,
    ],
    ids=["text", "list", "empty", "no utf-8", "deep", "in pieces", "array", "number"],
)
def test_a_layout_that_is_none(shard, layout):
    with h5py.File(shard, "r+") as file:
        file.attrs["layout"] = layout
    assert refusal(shard).startswith("layout: expected a skeleton layout, found ")


def test_a_layout_of_another_number_of_joints(shard):
    smaller = NTU25.to_dict()
    smaller["joints"] = smaller["joints"][:-1]
    smaller["bones"] = [*smaller["bones"][:-2], [23, 11]]
    smaller["pairs"] = smaller["pairs"][:-1]
    with h5py.File(shard, "r+") as file:
        file.attrs["layout"] = np.bytes_(json.dumps(smaller))
    assert refusal(shard).startswith("skeleton/joints: expected <f4 (n, 2, 24, 3), found float32")


@pytest.mark.parametrize("name", [*tables(NTU25), "sample", "clip", "frame", "skeleton"])
def test_a_missing_table_is_named(shard, name):
    with h5py.File(shard, "r+") as file:
        del file[name]
    assert refusal(shard) == f"{name}: expected a table in this file, found nothing"


def test_without_any_pictures_it_is_a_skeleton_only_shard(shard):
    with h5py.File(shard, "r+") as file:
        del file["rgb"]
    with ShardReader(shard) as reader:
        assert not reader.has_pictures


def test_a_table_that_was_never_written_is_refused(shard):
    with h5py.File(shard, "r+") as file:
        del file["rgb/data"]
        file.create_dataset("rgb/data", shape=(10**12,), dtype="u1")
    assert refusal(shard).startswith("rgb/data: expected 1000000000000 bytes, found ")


@pytest.mark.parametrize("name", ["skeleton/joints", "rgb/data"])
def test_a_table_that_reaches_past_the_end_is_refused(shard, name):
    with h5py.File(shard) as file:
        place = struct.pack("<Q", file[name].id.get_offset())
    data = shard.read_bytes()
    assert data.count(place) == 1
    shard.write_bytes(data.replace(place, struct.pack("<Q", len(data) - 10)))
    # Who notices, HDF5 or we, depends on the version of HDF5.
    assert refusal(shard)


def test_a_group_in_the_place_of_a_table(shard):
    with h5py.File(shard, "r+") as file:
        del file["rgb/data"]
        file.create_group("rgb/data")
    assert refusal(shard) == "rgb/data: expected a table, found Group"


def test_a_type_in_the_place_of_a_table(shard):
    with h5py.File(shard, "r+") as file:
        del file["rgb/data"]
        file["rgb/data"] = np.dtype("|u1")
    assert refusal(shard) == "rgb/data: expected a table, found Datatype"


def test_a_table_in_the_place_of_a_group(shard):
    with h5py.File(shard, "r+") as file:
        del file["rgb"]
        file["rgb"] = np.arange(3)
    assert refusal(shard) == "rgb/offset: expected a table in this file, found nothing"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("skeleton/joints", lambda a: a.astype("<f8")),
        ("skeleton/joints", lambda a: a.astype(">f4")),
        ("skeleton/joints", lambda a: a[..., 0]),
        ("skeleton/joints", lambda a: a[:, :1]),
        ("skeleton/present", lambda a: a.astype(bool)),
        ("sample/label", lambda a: a.astype("<i8")),
        ("sample/row", lambda a: a.astype("<f8")),
        ("sample/id", lambda a: a.astype(object)),
        ("sample/id", lambda a: np.arange(len(a))),
        ("clip/start", lambda a: np.array(a[0])),
        ("clip/start", lambda a: h5py.Empty(a.dtype)),
    ],
)
def test_another_type_or_shape_is_refused(shard, name, change):
    replace_table(shard, name, change(table(shard, name)))
    assert refusal(shard).startswith(f"{name}: expected {tables(NTU25)[name].dtype} (n")


@pytest.mark.parametrize("name", [n for n in tables(NTU25) if n != "rgb/data"])
def test_a_table_of_another_length_is_refused(shard, name):
    replace_table(shard, name, table(shard, name)[:-1])
    assert "expected" in refusal(shard)


def test_an_id_that_is_no_text(shard):
    replace_table(shard, "sample/id", np.array([b"\xff\xfe"] * 5))
    assert "utf-8" in refusal(shard)


BIG = 2**63 - 1


@pytest.mark.parametrize("name", ["sample/row", "rgb/offset"])
@pytest.mark.parametrize(
    ("place", "number"),
    [(0, 1), (0, -1), (1, 0), (2, 1), (1, -5), (1, 10**9), (1, BIG), (2, -BIG), (-1, 5), (-1, BIG)],
)
def test_boundaries_that_do_not_rise_from_first_to_last(shard, name, place, number):
    bounds = table(shard, name)
    bounds[place] = number
    replace_table(shard, name, bounds)
    end = 103 if name == "sample/row" else len(table(shard, "rgb/data"))
    assert refusal(shard).startswith(f"{name}: expected boundaries rising from 0 to {end}, found ")


def test_boundaries_whose_steps_overflow(shard):
    # Every difference of these is positive in 64 bits.
    bounds = table(shard, "sample/row")
    bounds[1:4] = BIG, -2, 50
    replace_table(shard, "sample/row", bounds)
    assert refusal(shard).startswith("sample/row: expected boundaries rising from 0 to 103")


@pytest.mark.parametrize(
    ("name", "place", "number", "told"),
    [
        ("clip/sample", 0, -1, "clip/sample: expected samples of this shard"),
        ("clip/sample", 8, 5, "clip/sample: expected samples of this shard"),
        ("clip/sample", 0, 1, "clip/start: expected clips inside their samples"),
        ("clip/start", 0, -1, "clip/start: expected clips inside their samples"),
        ("clip/start", 0, 1, "clip/start: expected clips inside their samples"),
        ("clip/start", 8, 93, "clip/start: expected clips inside their samples"),
        ("clip/start", 2, BIG, "clip/start: expected clips inside their samples"),
        ("clip/start", 2, -BIG, "clip/start: expected clips inside their samples"),
        ("clip/n_valid", 0, 4, "clip/start: expected clips inside their samples"),
        ("clip/n_valid", 0, 0, "clip/start: expected clips inside their samples"),
    ],
)
def test_clips_outside_their_samples(shard, name, place, number, told):
    numbers = table(shard, name)
    numbers[place] = number
    replace_table(shard, name, numbers)
    assert refusal(shard).startswith(told)


def test_clips_of_a_shard_without_samples(tmp_path):
    path = write_shard(tmp_path / "00000.h5", [])
    for name, dtype in (("clip/sample", "<i4"), ("clip/start", "<i8"), ("clip/n_valid", "|u1")):
        replace_table(path, name, np.zeros(1, dtype))
    assert refusal(path).startswith("clip/sample: expected samples of this shard")


def test_damaged_picture_bytes_are_told_on_decoding(shard):
    with h5py.File(shard, "r+") as file:
        file["rgb/data"][:100] = 0
    with ShardReader(shard) as reader, pytest.raises(ValueError, match="not a whole JPEG picture"):
        reader.sample(0).pictures()


FLIP = """
import sys
from random import Random
import h5py
from toolkit.errors import ShardError
from toolkit.shards import ShardReader
from toolkit.shards import index as shard_index

path, seed = sys.argv[1], int(sys.argv[2])
whole, random, told = open(path, "rb").read(), Random(seed), 0
with h5py.File(path) as file:
    first = min(file[f"skeleton/{n}"].id.get_offset() for n in ("joints", "pixels"))
places = [i for i in range(first) if whole[i]]
for _ in range(120):
    data = bytearray(whole)
    for place in random.choices(places, k=2):
        data[place] = random.randrange(256)
    open(path, "wb").write(data)
    try:
        with ShardReader(path) as reader:
            for sample in range(len(reader)):
                reader.sample(sample)
    except ShardError:
        told += 1
print(told)
"""


def test_flipped_bytes_never_end_in_another_error_or_a_crash(shard):
    # In a process of its own: what this guards against is the end of the process.
    run = subprocess.run(
        [sys.executable, "-c", FLIP, str(shard), "1"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 30
