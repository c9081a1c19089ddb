"""``finalize``: shards made in parts become a data set, or it is told what is missing."""

import pytest
from part_builds import make, write_recordings, written
from raw_folders import in_process, statuses

from toolkit.build.lock import locked


@pytest.fixture
def out(tmp_path):
    """An output folder with all three shards made, of which none is named a data set yet."""
    write_recordings(tmp_path / "raw", *range(1, 7))
    for part in ("1/2", "2/2"):
        assert make(tmp_path / "raw", tmp_path / "out", "--part", part).status == 0
    return tmp_path / "out"


def test_it_can_be_done_twice(out):
    first = in_process("finalize", out)
    before = (out / "dataset.json").read_bytes()
    assert in_process("finalize", out) == first
    assert (out / "dataset.json").read_bytes() == before


def test_missing_shards_are_named_with_their_parts_and_nothing_is_written(out):
    for number in (0, 1):
        (out / "shards" / f"0000{number}.json").unlink()
    before = written(out)
    ran = in_process("finalize", out)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        f"Error: {out}: 2 shards are not done (0, 1): run the command with --part 1/2, --part 2/2,"
        " or without --part to make them\n"
    )
    assert written(out) == before


def test_parts_are_not_named_where_nobody_noted_them(out):
    (out / ".parts").unlink()
    (out / "shards" / "00002.json").unlink()
    ran = in_process("finalize", out)
    assert ran.err == (f"Error: {out}: 1 shard is not done (2): run the command again to make it\n")


def test_a_shard_that_was_cut_short_is_not_done(out):
    path = out / "shards" / "00001.h5"
    path.write_bytes(path.read_bytes()[:-1])
    ran = in_process("finalize", out)
    assert ran.status == 1
    assert "WARNING: shard 1 has to be made again: " in ran.err
    assert "1 shard is not done (1): run the command with --part 2/2," in ran.err
    assert not (out / "dataset.json").exists()


def test_failed_recordings_are_told_as_by_an_extraction(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "out"
    write_recordings(raw, 1, 2)
    (raw / "S001C001P002R001A002.skeleton").write_text("1\n")
    make(raw, out, "--part", "1/1")
    ran = in_process("finalize", out)
    assert ran.status == 3
    assert ran.out.startswith(f"{out}: 2 planned = 1 ok + 1 bad_skeleton\nsplit xsub: ")
    assert "add: --allow bad_skeleton" in ran.err
    assert in_process("finalize", out, "--allow", "bad_skeleton").status == 0
    assert sorted(statuses(out).values()) == ["bad_skeleton", "ok"]


def test_what_other_machines_left_half_written_goes(out):
    left = out / "shards" / ".00000.77-node9-abc.writing"
    left.touch()
    assert in_process("finalize", out).status == 0
    assert not list(out.rglob(".*"))


def test_a_folder_that_parts_still_work_in_is_left_to_them(out):
    with locked(out, (2, 2)):
        ran = in_process("finalize", out)
    assert ran.status == 1
    assert "is being written by part 2/2, process " in ran.err


def test_a_folder_without_a_plan_is_no_build(tmp_path):
    ran = in_process("finalize", tmp_path)
    assert ran.status == 1
    assert ran.err.startswith(f"Error: {tmp_path} holds no plan.parquet: ")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_is_a_wrong_usage(tmp_path):
    assert in_process("finalize", tmp_path / "nothing").status == 2
