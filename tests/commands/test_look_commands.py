import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from builders import ntu_frames, write_ntu_skeleton
from raw_folders import in_process, shards, write_ntu
from running import ctxtool

from toolkit.inspection_text import format_facts, format_sample
from toolkit.verify import VerifyReport

GOOD, BROKEN = "S001C002P001R001A003", "S001C002P003R001A004"


@pytest.fixture(scope="module")
def cwd(tmp_path_factory):
    """A working directory whose one data set holds a good recording and one without a body."""
    cwd = tmp_path_factory.mktemp("cwd")
    write_ntu(cwd / "data" / "ntu", GOOD, 20)
    write_ntu(cwd / "data" / "ntu", BROKEN, 5)
    write_ntu_skeleton(cwd / "data" / "ntu" / f"{BROKEN}.skeleton", ntu_frames([], []))
    ran = in_process("extract-ntu", "--jobs", 1, "--allow", "no_body", cwd=cwd)
    assert ran.status == 0, ran.err
    return cwd


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A data set of two shards."""
    folder = tmp_path_factory.mktemp("sound")
    for name in (GOOD, BROKEN):
        write_ntu(folder / "raw", name, 20)
    options = ("--raw", folder / "raw", "--out", folder / "out", "--samples-per-shard", 1)
    assert in_process("extract-ntu", *options, "--jobs", 1).status == 0
    return folder / "out"


@pytest.fixture
def damaged(sound, tmp_path):
    """The same, one byte of the second shard of which is another."""
    shutil.copytree(sound, tmp_path / "out")
    path = tmp_path / "out" / "shards" / "00001.h5"
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    return tmp_path / "out"


def test_inspect_finds_the_only_data_set(cwd):
    ran = ctxtool("inspect", cwd=cwd)
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "ntu60 in out/ntu60"
    assert "2 planned = 1 ok + 1 no_body" in lines
    told = [line.split() for line in lines]
    assert ["xsub", "(default)", "train", "1", "1", "0"] in told
    assert ["xsub", "(default)", "test", "1", "0", "1"] in told


def test_inspect_tells_counts_reasons_sizes_drift_and_joints(cwd):
    out = in_process("inspect", "out/ntu60", cwd=cwd).out
    told = [line.split() for line in out.splitlines()]
    for line in (
        "frames 20 in 2 clips",
        "pictures 64x48 in 1 sample",
        "lengths 20 to 20 frames, median 20; shorter than a clip: 0 samples",
        "2 brushing teeth 1 0",
        "3 brushing hair 0 1",
    ):
        assert line.split() in told
    assert f"  no_body, for example {BROKEN}: " in out
    assert "none of the 2 frames holds a body" in out
    assert f"at most 0 ms ({GOOD})" in out
    assert "spine shoulder" in out


def test_inspect_tells_all_about_one_sample(cwd):
    lines = in_process("inspect", "--sample", GOOD, cwd=cwd).out.splitlines()
    assert lines[0].split() == ["sample_id", GOOD]
    assert "  clip   1  frames 16 to 19" in lines
    assert lines[-1].split() == ["19", "1", "19", "0.00"]


def test_inspect_of_an_unknown_sample_names_those_like_it(cwd):
    ran = in_process("inspect", "--sample", GOOD[:-1] + "9", cwd=cwd)
    assert ran.status == 1
    assert ran.err.startswith(f"Error: no sample '{GOOD[:-1]}9' among the 2 of the manifest")
    assert GOOD in ran.err


def test_inspect_writes_csv(cwd, tmp_path):
    ran = in_process("inspect", "--csv", tmp_path / "m.csv", cwd=cwd)
    assert ran.out.endswith(f"wrote {tmp_path / 'm.csv'}\n")
    table = pd.read_csv(tmp_path / "m.csv")
    assert table[["sample_id", "status"]].values.tolist() == [[GOOD, "ok"], [BROKEN, "no_body"]]


@pytest.mark.parametrize("sample", [(), ("--sample", GOOD)], ids=["a few", "one"])
def test_inspect_draws(cwd, tmp_path, sample):
    ran = in_process("inspect", *sample, "--picture", tmp_path / "look.png", cwd=cwd)
    assert ran.status == 0
    assert (tmp_path / "look.png").read_bytes().startswith(b"\x89PNG")


def test_verify_finds_nothing_wrong(cwd):
    ran = ctxtool("verify", "--deep", "--jobs", 1, cwd=cwd)
    n_bytes = (cwd / "out" / "ntu60" / "shards" / "00000.h5").stat().st_size
    told = f"1 shards, {n_bytes} bytes, 1 samples, 20 frames, 20 pictures decoded: no problem"
    assert (ran.status, ran.out, ran.err) == (0, f"out/ntu60: {told}\n", "")


@pytest.mark.parametrize("options", [(), ("--deep",)], ids=["hashes", "deep"])
def test_verify_names_the_shard_whose_byte_was_flipped(damaged, options):
    ran = in_process("verify", damaged, *options, "--jobs", 1)
    assert ran.status == 1
    assert ran.err.startswith(f"Error: {damaged}/shards/00001.h5: sha256: expected ")
    assert "00000.h5" not in ran.err
    assert "problem" in ran.out


def test_verify_sees_a_shard_that_is_gone(damaged):
    (damaged / "shards" / "00000.h5").unlink()
    ran = in_process("verify", damaged, "--jobs", 1)
    assert ran.status == 1
    assert len(ran.err.splitlines()) == 3
    assert ran.out.endswith(": 2 problems\n")


def test_verify_sees_an_unfinished_build(damaged):
    for name in ("manifest.parquet", "dataset.json"):
        (damaged / name).unlink()
    ran = in_process("verify", damaged, "--jobs", 1)
    assert ran.status == 1
    assert "expected a finished build, found 2 of 2 shards done" in ran.err


def test_looking_changes_nothing(cwd):
    before = shards(cwd / "out" / "ntu60")
    for command in ("inspect", "verify"):
        in_process(command, "out", cwd=cwd)
    assert shards(cwd / "out" / "ntu60") == before


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_folder_without_a_data_set_says_how_to_make_one(tmp_path, command):
    ran = in_process(command, cwd=tmp_path)
    assert ran.status == 1
    assert ran.err.startswith(
        "Error: out: expected a finished data set (a folder with dataset.json)"
    )
    assert "an extracting command" in ran.err


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_several_data_sets_are_all_named(tmp_path, command):
    for name in ("ntu60", "kinetics"):
        (tmp_path / "out" / name).mkdir(parents=True)
        for mark in ("dataset.json", "plan.parquet"):
            (tmp_path / "out" / name / mark).touch()
    ran = in_process(command, cwd=tmp_path)
    assert ran.status == 1
    told = "out holds several data sets, name one of them: out/kinetics, out/ntu60"
    assert ran.err == f"Error: {told}\n"


# The table of published sizes: set, recordings, split, train, test, and without the missing list.
SPLITS = [
    "ntu60 56,880 xsub 40,320 16,560 40,091 16,487 302",
    "ntu60 56,880 xview 37,920 18,960 37,646 18,932 302",
    "ntu120 114,480 xsub 63,360 51,120 63,026 50,919 535",
    "ntu120 114,480 xset 54,720 59,760 54,468 59,477 535",
]


@pytest.fixture(scope="module")
def info():
    ran = in_process("info")
    assert (ran.status, ran.err) == (0, "")
    return [" ".join(line.split()) for line in ran.out.splitlines()]


@pytest.mark.parametrize("line", SPLITS)
def test_info_counts_the_published_splits(info, line):
    assert line in info


@pytest.mark.parametrize(
    "line",
    [
        "kinetics 400 classes",
        "kinetics-motion 30 classes, arm wrestling to windsurfing",
        "ntu25 25 joints, channels x y z, centre spine shoulder",
        "openpose18 18 joints, channels x y score, centre neck",
    ],
)
def test_info_tells_classes_and_layouts(info, line):
    assert line in info


def test_inspect_tells_the_same_as_json(cwd):
    text = in_process("inspect", cwd=cwd).out
    ran = in_process("inspect", "--json", cwd=cwd)
    assert (ran.status, ran.err) == (0, "")
    assert format_facts(json.loads(ran.out)) + "\n" == text


@pytest.mark.parametrize("sample", [GOOD, BROKEN])
def test_inspect_tells_the_same_of_a_sample_as_json(cwd, sample):
    text = in_process("inspect", "--sample", sample, cwd=cwd).out
    facts = json.loads(in_process("inspect", "--sample", sample, "--json", cwd=cwd).out)
    assert format_sample(facts) + "\n" == text
    assert facts["row"]["sample_id"] == sample


def test_json_on_stdout_is_json_alone(cwd, tmp_path):
    ran = in_process("inspect", "--json", "--csv", tmp_path / "m.csv", cwd=cwd)
    assert json.loads(ran.out)["counts"]["planned"] == 2
    assert ran.err == f"wrote {tmp_path / 'm.csv'}\n"


def test_verify_tells_the_same_as_json(damaged):
    text = in_process("verify", damaged, "--jobs", 1)
    ran = in_process("verify", damaged, "--jobs", 1, "--json")
    facts = json.loads(ran.out)
    assert (ran.status, facts.pop("ok")) == (1, False)
    report = VerifyReport(Path(facts.pop("folder")), tuple(facts.pop("problems")), **facts)
    assert f"{report}\n" == text.out
    assert [f"Error: {problem}" for problem in report.problems] == text.err.splitlines()[:-1]


def test_no_output_has_terminal_codes(cwd):
    for arguments in (("inspect",), ("verify",), ("info",), ("verify", "nowhere"), ("--help",)):
        ran = in_process(*arguments, cwd=cwd)
        assert "\x1b" not in ran.out + ran.err
