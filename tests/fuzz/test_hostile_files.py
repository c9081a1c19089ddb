"""What attacks found, and what an attacker would try first: each refused in one sentence."""

import csv
import json
import os
import subprocess
import sys
import textwrap
import time

import builders
import fuzz_seeds
import pandas as pd
import pyarrow as pa
import pytest
import video_builders
from pyarrow import parquet

from toolkit import bounded
from toolkit.datasets.kinetics_labels import read_label_files, read_own_label
from toolkit.datasets.openpose import list_openpose, read_layout
from toolkit.errors import FileError, ShardError, SkeletonFileError, TableError, VideoFileError
from toolkit.readers import openpose_json
from toolkit.readers.kinetics_json import read_kinetics_json
from toolkit.readers.ntu_skeleton import MAX_LINES, read_ntu_skeleton
from toolkit.readers.openpose_json import read_openpose_file
from toolkit.readers.video import VideoReader
from toolkit.shards import ShardReader, read_dataset_info, read_manifest
from toolkit.shards.codec import decode_picture, encode_picture
from toolkit.shards.manifest import COLUMNS
from toolkit.shards.sidecar import read_sidecar

DIGITS = "9" * 5000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "set"
    fuzz_seeds.write_dataset(folder)
    return folder


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(kind, read, *arguments):
    """Return the one short line with which a reader refuses, in less than 20 seconds of work.

    It takes less than one; what grows with the square of these inputs takes minutes.
    """
    begin = time.process_time()
    with pytest.raises(kind) as caught:
        read(*arguments)
    assert time.process_time() - begin < 20
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert len(sentence) < 1000
    return sentence


READERS = [
    (SkeletonFileError, read_ntu_skeleton),
    (SkeletonFileError, read_kinetics_json),
    (SkeletonFileError, read_openpose_file),
    (TableError, read_layout),
    (TableError, lambda path: read_label_files([path])),
    (ShardError, read_manifest),
    (ShardError, lambda path: len(ShardReader(path))),
]


@pytest.mark.parametrize(("kind", "read"), READERS)
def test_a_pipe_is_not_waited_for(tmp_path, kind, read):
    os.mkfifo(tmp_path / "pipe")
    assert "a pipe or a device" in refusal(kind, read, tmp_path / "pipe")


@pytest.mark.parametrize(("kind", "read"), READERS)
def test_a_link_to_an_endless_device_is_refused(tmp_path, kind, read):
    (tmp_path / "link").symlink_to("/dev/zero")
    assert "a pipe or a device" in refusal(kind, read, tmp_path / "link")


@pytest.mark.parametrize(("kind", "read"), READERS)
def test_a_giant_is_refused_unread(tmp_path, kind, read):
    with (tmp_path / "giant").open("wb") as file:
        file.truncate(2**40)
    assert "bytes, more than the" in refusal(kind, read, tmp_path / "giant")


def test_a_file_name_of_two_lines_is_told_in_one(tmp_path):
    path = write(tmp_path / "a\nb\x1b[31m.skeleton", b"x")
    assert r"a\nb\x1b[31m.skeleton: line 1" in refusal(SkeletonFileError, read_ntu_skeleton, path)


def test_an_error_survives_its_way_between_processes_uncut():
    error = FileError("a\nb", "p" * 500, expected="e", found="f")
    kind, arguments = error.__reduce__()
    assert kind(*arguments).place == "p" * 500


@pytest.mark.parametrize("field", ["1" * 100_000 + "x", "." + "1" * 100_000 + "x", "1e" * 50_000])
def test_a_long_row_of_digits_is_looked_at_once(tmp_path, field):
    text = builders.ntu_text(builders.ntu_frames([builders.NTU_ID]))
    joint = text.replace(text.splitlines()[4].split()[0], field, 1)
    body = text.replace(" 0.02764709 ", f" {field} ", 1)
    for damaged in (joint, body):
        assert refusal(SkeletonFileError, read_ntu_skeleton, write(tmp_path / "a", damaged))


def test_millions_of_blank_lines_are_counted_and_not_kept(tmp_path):
    path = write(tmp_path / "a.skeleton", b"0\n" * (MAX_LINES + 1) + b"0")
    assert "at most 2000000 lines" in refusal(SkeletonFileError, read_ntu_skeleton, path)


@pytest.mark.parametrize("count", ["1000000000", DIGITS, "-1", "1e9", "2_0", "٣"])
def test_claims_of_frames_and_bodies(tmp_path, count):
    for text in (f"{count}\n0\n", f"1\n{count}\n"):
        refusal(SkeletonFileError, read_ntu_skeleton, write(tmp_path / "a", text))


@pytest.mark.parametrize("inner", [b"[],", b"{},", b"[[[]]],", b'{"a":0},'])
def test_more_lists_and_objects_than_a_recording_has(tmp_path, inner):
    path = write(tmp_path / "a.json", b"[" + inner * 2_000_001 + b"0]")
    assert "lists and objects, more" in refusal(SkeletonFileError, read_kinetics_json, path)


def test_more_numbers_than_a_recording_has(tmp_path):
    path = write(tmp_path / "a.json", b"[" + b"0," * 20_000_000 + b"0]")
    assert "values, more than" in refusal(SkeletonFileError, read_kinetics_json, path)


def test_a_recording_of_many_people_is_not_counted_as_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(bounded, "MAX_JSON_CONTAINERS", 10)
    monkeypatch.setattr(bounded, "MAX_JSON_VALUES", 200)
    assert bounded.find_json_excess(b"[" * 10 + b"," * 50) == ""
    assert bounded.find_json_excess("[" * 10 + "{" + " " * 10).startswith("11 lists and objects")
    assert bounded.find_json_excess(b"0," * 200).startswith("201 values")


def test_a_folder_cannot_hold_more_than_one_recording_does(tmp_path, monkeypatch):
    monkeypatch.setattr(openpose_json, "MAX_JSON_VALUES", 2 * 54)
    folder = builders.write_openpose_folder(tmp_path / "f", [[builders.pose_person()]] * 3)
    refused = refusal(SkeletonFileError, openpose_json.read_openpose_folder, folder)
    assert "at most 108 numbers in all frames so far, found 162" in refused


@pytest.mark.parametrize("depth", [500, 1023, 5000, 10**5])
@pytest.mark.parametrize("begin", ["[", '{"data":', '{"data":[{"frame_index":0,"skeleton":['])
def test_deep_json(tmp_path, depth, begin):
    path = write(tmp_path / "a.json", begin * depth)
    refusal(SkeletonFileError, read_kinetics_json, path)
    refusal(TableError, read_layout, path)
    refusal(TableError, read_label_files, [path])


@pytest.mark.parametrize("depth", [400, 900, 990])
@pytest.mark.parametrize("key", ["name", "joints", "bones", "centre"])
def test_deep_lists_in_the_place_of_a_value(tmp_path, depth, key):
    value = "[" * depth + "]" * depth
    layout = json.dumps(fuzz_seeds.STICK.to_dict() | {key: "HERE"}).replace('"HERE"', value)
    refusal(TableError, read_layout, write(tmp_path / "a.json", layout))
    refusal(TableError, read_label_files, [write(tmp_path / "b.json", f'{{"a": {value}}}')])


def test_repeated_keys_that_no_terminal_can_print_are_told(tmp_path):
    text = r'{"a": {"label": "x", "\ud800": 1, "\ud800": 2, "\n": 1, "\n": 2}}'
    _, notices = read_label_files([write(tmp_path / "a.json", text)])
    assert len(notices) == 1
    assert notices[0].isprintable()
    assert notices[0].endswith(r"the last is used: \ud800, \n")


def test_a_deep_label_index_can_be_told(tmp_path):
    text = '{"a": {"label": "x", "label_index": %s}}' % ("[" * 900 + "]" * 900)
    entries, _ = read_label_files([write(tmp_path / "a.json", text)])
    assert entries["a"].label_index == "a list"


@pytest.mark.parametrize("number", [DIGITS, "1e999", "Infinity", "-Infinity", "NaN"])
def test_gigantic_numbers_in_descriptions(tmp_path, made, number):
    layout = json.dumps(fuzz_seeds.STICK.to_dict() | {"centre": "HERE"}).replace('"HERE"', number)
    refusal(TableError, read_layout, write(tmp_path / "a.json", layout))
    (tmp_path / "shards").mkdir()
    info = json.loads((made / "dataset.json").read_text()) | {"counts": {"ok": "HERE"}}
    write(tmp_path / "dataset.json", json.dumps(info).replace('"HERE"', number))
    refusal(ShardError, read_dataset_info, tmp_path)
    sidecar = json.loads((made / "shards" / "00000.json").read_text()) | {"n_bytes": "HERE"}
    write(tmp_path / "shards" / "00000.json", json.dumps(sidecar).replace('"HERE"', number))
    refusal(ShardError, read_sidecar, tmp_path, 0)


def test_a_layout_of_a_million_joints(tmp_path):
    n = 20_000
    layout = {"name": "x", "joints": [str(i) for i in range(n)], "centre": 0}
    layout["bones"] = [[i, i + 1] for i in range(n - 1)]
    path = write(tmp_path / "a.json", json.dumps(layout))
    assert "more than 1000" in refusal(TableError, read_layout, path)


def test_bodies_of_many_joints_may_be_fewer(tmp_path):
    n = 1000
    layout = fuzz_seeds.SkeletonLayout(
        "x", tuple(map(str, range(n))), tuple((i, i + 1) for i in range(n - 1)), 0
    )
    person = {"pose": [0.5] * 2 * n, "score": [1] * n}
    data = [{"frame_index": 0, "skeleton": [person] * 30}, {"frame_index": 1199, "skeleton": []}]
    path = write(tmp_path / "a.json", json.dumps({"data": data}))
    with pytest.raises(SkeletonFileError, match="at most 25000 frames x bodies, found 1200 frames"):
        read_kinetics_json(path, layout=layout)


def test_a_table_of_a_million_columns(tmp_path):
    header = ",".join(["id", "label", "split", "poses", "video", *map(str, range(10**5)), "0"])
    path = write(tmp_path / "a.csv", header + "\n")
    assert "at most 1000 columns, found 100006" in refusal(TableError, list_openpose, path)


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (["../x", "l", "train", "p", "v"], "a path separator"),
        (["/etc/passwd", "l", "train", "p", "v"], "a path separator"),
        (["a\nb", "l", "train", "p", "v"], "unprintable"),
        (["a\x1b[2J", "l", "train", "p", "v"], "unprintable"),
        ([".", "l", "train", "p", "v"], "begins with a dot"),
        (["x" * 201, "l", "train", "p", "v"], "201 characters"),
        (["a", "l\nm", "train", "p", "v"], "expected a class name"),
        (["a", "l", "train", "p\nq", "v"], "expected a path in column poses"),
        (["a", "l", "train", "p", "v\x1b[2J"], "expected a path in column video"),
        (["a", "l", "t" * 10**5, "p", "v"], "expected a split among"),
        (["a" * 140_000, "l", "train", "p", "v"], "field larger than field limit"),
    ],
)
def test_a_hostile_row_of_a_table(tmp_path, row, found):
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "label", "split", "poses", "video"], row])
    assert found in refusal(TableError, list_openpose, tmp_path / "a.csv")


def test_a_path_too_long_for_the_system_is_a_row_with_its_reason(tmp_path):
    text = f"id,label,split,poses,video\na,l,train,{'p' * 5000},v\n"
    listed = list_openpose(write(tmp_path / "a.csv", text))
    assert listed.samples[0].reason == "missing_skeleton"


@pytest.mark.parametrize("sample_id", ["../x", "a/b", "a\nb", "", "x" * 201, "\ud800"])
def test_a_hostile_id_of_a_label_file(tmp_path, sample_id):
    path = write(tmp_path / "a.json", json.dumps({sample_id: {"label": "x"}}))
    assert "expected a plain id" in refusal(TableError, read_label_files, [path])


def test_a_hostile_label_of_a_pose_file_is_not_used(tmp_path):
    path = write(tmp_path / "a.json", json.dumps({"data": [], "label": "a\nb"}))
    assert read_own_label(str(path)).label == ""


def write_table(folder, table, **options):
    parquet.write_table(table, folder / "manifest.parquet", **options)
    return folder


def good_table(made):
    return parquet.read_table(made / "manifest.parquet")


def replaced(table, name, values):
    return table.set_column(table.column_names.index(name), name, values)


@pytest.mark.parametrize("codec", ["snappy", "gzip", "zstd", "none"])
def test_a_manifest_of_more_rows_than_bytes(tmp_path, made, codec):
    table = pa.table({"sample_id": pa.nulls(3_000_000, pa.string())})
    folder = write_table(tmp_path, table, compression=codec)
    assert "found 3000000 rows" in refusal(ShardError, read_manifest, folder)


def test_a_manifest_that_repeats_a_long_word(tmp_path):
    words = pa.array(["x" * 1_000_000, "y"])
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 5000 + [1], pa.int32()), words)
    table = pa.table(dict.fromkeys(COLUMNS, pa.array(range(5001))) | {"detail": column})
    folder = write_table(tmp_path, table, compression="none")
    assert "bytes of text, found 5000000001" in refusal(ShardError, read_manifest, folder)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (pa.array([[1]] * 3), "list<"),
        (pa.array([{"a": 1}] * 3), "struct<"),
        (pa.array([1, 2, None]), "a gap"),
        (pa.array([1, 2, 2**40]), "not in range"),
        (pa.array([0.5, 1, 2]), "truncated"),
        (pa.array(["1", "2", "3"]), "string"),
    ],
)
def test_a_manifest_with_another_kind_of_column(tmp_path, made, values, found):
    folder = write_table(tmp_path, replaced(good_table(made), "label", values))
    assert found in refusal(ShardError, read_manifest, folder)


def test_a_manifest_is_read_without_what_it_says_about_pandas(tmp_path, made):
    about = {"index_columns": ["sample_id"], "columns": [{"numpy_type": "x"}], "pandas_version": 1}
    table = good_table(made).replace_schema_metadata({"pandas": json.dumps(about)})
    found = read_manifest(write_table(tmp_path, table))
    pd.testing.assert_frame_equal(found, read_manifest(made))


def test_a_manifest_reads_as_pandas_reads_it(made):
    pd.testing.assert_frame_equal(read_manifest(made), pd.read_parquet(made / "manifest.parquet"))


def test_a_jpeg_that_claims_gigabytes(tmp_path):
    jpeg = bytearray(encode_picture(fuzz_seeds.np.zeros((16, 16, 3), "uint8")))
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = b"\xff\x00" * 2
    with pytest.raises(ValueError, match="a JPEG of 4261478400 pixels"):
        decode_picture(bytes(jpeg))


def test_a_jpeg_without_a_size(tmp_path):
    with pytest.raises(ValueError, match="not a whole JPEG"):
        decode_picture(b"\xff\xd8" + b"\xff\xdb\x00\x02" * 9 + b"\xff\xd9")


@pytest.mark.parametrize(
    "playlist",
    [
        "ffconcat version 1.0\nfile clip.mkv\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nclip.mkv\n#EXT-X-ENDLIST\n",
    ],
)
def test_a_list_of_other_files_is_no_video(tmp_path, playlist):
    video_builders.write_video(tmp_path / "clip.mkv", video_builders.gray_pictures(3))
    path = write(tmp_path / "a.mp4", playlist)
    assert "header" in refusal(VideoFileError, VideoReader, path)


MEMORY = """
    import sys
    from pathlib import Path
    from toolkit.errors import CtxtoolError
    from toolkit.readers.kinetics_json import read_kinetics_json
    from toolkit.readers.ntu_skeleton import read_ntu_skeleton
    def peak():
        return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
    before = peak()
    read = read_ntu_skeleton if sys.argv[1].endswith(".skeleton") else read_kinetics_json
    try:
        read(Path(sys.argv[1]))
    except CtxtoolError as error:
        print((peak() - before) >> 10)
"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"[" + b'{"a":0},' * 400_000 + b"0]"),
        ("c.skeleton", b"399999\n" + b"0\n" * 399_998 + b"x\n"),
    ],
)
def test_memory_grows_with_what_may_be_there(tmp_path, name, content):
    path = write(tmp_path / name, content)
    run = [sys.executable, "-c", textwrap.dedent(MEMORY), str(path)]
    assert int(subprocess.run(run, capture_output=True, check=True).stdout) < 200
