"""``--part``: a build by machines that know nothing of each other but the output folder."""

import subprocess

import pandas as pd
import pytest
from part_builds import digests, make, options, write_recordings, written
from raw_folders import in_process, rows, statuses
from running import CTXTOOL

from toolkit.build.plan_file import read_plan


@pytest.fixture
def raw(tmp_path):
    """Ten recordings, five shards."""
    write_recordings(tmp_path / "raw", *range(1, 11))
    return tmp_path / "raw"


@pytest.fixture
def whole(raw, tmp_path):
    """The folder of a build by one command."""
    assert make(raw, tmp_path / "whole").status == 0
    return tmp_path / "whole"


def test_parts_in_any_order_make_what_a_whole_build_makes(raw, whole, tmp_path):
    out = tmp_path / "out"
    for part, n_samples in (("2/3", 4), ("3/3", 2), ("1/3", 4)):
        ran = make(raw, out, "--part", part)
        assert ran.status == 0
        assert ran.out == (
            f"{out}: part {part} is done: {n_samples} planned = {n_samples} ok\n"
            f"when all parts are done: ctxtool finalize {out}\n"
        )
        assert not (out / "manifest.parquet").exists()
        assert not (out / "dataset.json").exists()
    ran = in_process("finalize", out)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == f"{out}: 10 planned = 10 ok\nsplit xsub: train 6, test 4\n"
    assert digests(out) == digests(whole)
    pd.testing.assert_frame_equal(rows(out), rows(whole))
    assert (out / "dataset.json").read_bytes() == (whole / "dataset.json").read_bytes()
    assert not list(out.rglob(".*"))


def test_parts_that_start_together_share_one_plan(raw, whole, tmp_path):
    out = tmp_path / "out"
    commands = [
        subprocess.Popen(
            [*CTXTOOL, *map(str, options(raw, out, "--part", f"{i}/2"))],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for i in (1, 2)
    ]  # fmt: skip
    ended = [command.communicate(timeout=120) for command in commands]
    assert [command.returncode for command in commands] == [0, 0], ended
    assert in_process("finalize", out).status == 0
    assert digests(out) == digests(whole)


def test_a_part_goes_on_where_it_was(raw, tmp_path):
    out = tmp_path / "out"
    make(raw, out, "--part", "1/2")
    before = written(out / "shards")
    assert make(raw, out, "--part", "1/2").status == 0
    assert written(out / "shards") == before


def test_a_plain_run_makes_what_is_left(raw, whole, tmp_path):
    out = tmp_path / "out"
    make(raw, out, "--part", "2/2")
    before = written(out / "shards")
    assert make(raw, out).status == 0
    assert before.items() <= written(out / "shards").items()
    assert digests(out) == digests(whole)
    assert not list(out.rglob(".*"))


def test_new_recordings_become_new_shards_of_their_parts(raw, tmp_path):
    out = tmp_path / "out"
    make(raw, out, "--part", "1/2")
    before = written(out / "shards")
    write_recordings(raw, 21, 22, 23, 24)
    # Shards 5 and 6 come behind 0 to 4.
    assert "part 2/2 is done: 6 planned" in make(raw, out, "--part", "2/2").out
    missing = in_process("finalize", out)
    assert missing.status == 1
    assert "1 shard is not done (6): run the command with --part 1/2," in missing.err
    assert make(raw, out, "--part", "1/2").status == 0
    assert in_process("finalize", out).out.startswith(f"{out}: 14 planned = 14 ok")
    assert before.items() <= written(out / "shards").items()


def test_a_part_that_sees_another_file_takes_no_work_from_the_others(raw, tmp_path):
    out = tmp_path / "out"
    make(raw, out, "--part", "1/2")
    plan = (out / "plan.parquet").read_bytes()
    changed = raw / "S001C001P003R001A003.skeleton"
    changed.write_bytes(changed.read_bytes() + b"\n")
    ran = make(raw, out, "--part", "2/2")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith(
        f"Error: sample S001C001P003R001A003 of shard 1: its pose file was {changed} ("
    )
    assert "or run the command once without --part to plan it anew" in ran.err
    assert (out / "plan.parquet").read_bytes() == plan

    assert make(raw, out, "--allow", "all").status == 0
    assert read_plan(out).shards()[1][0].superseded
    assert len(statuses(out)) == 10


def test_a_part_without_the_raw_files_of_its_shards_blames_no_recording(raw, tmp_path):
    out = tmp_path / "out"
    make(raw, out, "--part", "1/2")
    for person in (3, 4):
        (raw / f"S001C001P{person:03d}R001A{person:03d}.skeleton").unlink()
    ran = make(raw, out, "--part", "2/2")
    assert ran.status == 1
    assert "sees no raw file of shard 1, not even " in ran.err
    assert not (out / "shards" / "00001.json").exists()


def test_the_same_files_may_lie_elsewhere_on_another_machine(raw, whole, tmp_path):
    out = tmp_path / "out"
    make(raw, out, "--part", "1/2")
    raw.rename(tmp_path / "mounted-here")
    assert make(tmp_path / "mounted-here", out, "--part", "2/2").status == 0
    assert in_process("finalize", out).status == 0
    assert digests(out) == digests(whole)


def damage(raw, person):
    (raw / f"S001C001P{person:03d}R001A{person:03d}.skeleton").write_text("3\nno body count\n")


def test_only_the_failures_of_its_own_shards_are_a_parts_matter(raw, tmp_path):
    out = tmp_path / "out"
    damage(raw, 3)
    assert make(raw, out, "--part", "1/2").status == 0
    failed = make(raw, out, "--part", "2/2")
    assert failed.status == 3
    assert "4 planned = 3 ok + 1 bad_skeleton" in failed.out
    assert failed.err.count("--allow bad_skeleton") == 1
    assert make(raw, out, "--part", "2/2", "--allow", "bad_skeleton").status == 0


def test_more_parts_than_shards_leave_some_without_work(raw, tmp_path):
    ran = make(raw, tmp_path / "out", "--part", "9/9")
    assert ran.status == 0
    assert "part 9/9 is done: 0 planned = 0 ok" in ran.out


def test_a_dry_run_counts_one_part_and_writes_nothing(raw, tmp_path):
    ran = make(raw, tmp_path / "out", "--part", "2/3", "--dry-run")
    assert ran.status == 0
    assert ran.out.startswith("ntu60: 4 samples planned, 4 to extract")
    assert "into 2 shards" in ran.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/2/3", ""])
def test_what_is_no_part_is_a_wrong_usage(raw, tmp_path, text):
    ran = make(raw, tmp_path / "out", f"--part={text}")
    assert ran.status == 2
    assert "Invalid value for '--part'" in ran.err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--scheduler", "tcp://localhost:1"), "two ways to spread the work"),
        (("--overwrite",), "would remove what other parts make"),
    ],
)
def test_a_part_and_what_contradicts_it(raw, tmp_path, more, said):
    ran = make(raw, tmp_path / "out", "--part", "1/2", *more)
    assert ran.status == 2
    assert said in ran.err
    assert not (tmp_path / "out").exists()
