"""What changes under a build: its input, the clock, another build in the same folder."""

import os
import time
from functools import partial

import pandas as pd
import pytest
from disk_steps import ActAt
from faulty_builds import Build, is_one_sentence, write_recording

from toolkit.build.lock import locked

NAME = "S001C001P001R001A001"
YEAR_S = 365 * 86400


@pytest.fixture
def own(tmp_path):
    """A build of recordings that may be changed."""
    for person in (1, 2):
        write_recording(tmp_path / "raw", f"S001C001P{person:03d}R001A001")
    return Build(tmp_path / "raw", tmp_path)


@pytest.mark.parametrize("ending", [".skeleton", "_rgb.avi"])
def test_input_that_changes_after_the_plan_costs_its_recording_and_is_told(own, ending):
    path = own.raw / f"{NAME}{ending}"
    ran = own.run(at_step=ActAt("rename", partial(path.write_bytes, b"another")))

    assert ran.status == 3
    manifest = pd.read_parquet(own.out / "manifest.parquet").set_index("sample_id")
    assert manifest["status"].to_list() == ["input_changed", "ok"]
    assert path.name in manifest.loc[NAME, "detail"]


def test_input_that_vanishes_after_the_plan_costs_its_recording_and_comes_back(own, calm):
    path = own.raw / f"{NAME}.skeleton"
    data, stat = path.read_bytes(), path.stat()
    assert own.run(at_step=ActAt("rename", path.unlink)).status == 3

    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert own.run().status == 0
    assert set(pd.read_parquet(own.out / "manifest.parquet")["status"]) == {"ok"}


def test_a_recording_that_is_back_is_left_out_while_its_neighbour_would_be_lost(own):
    path, neighbour = own.raw / f"{NAME}.skeleton", own.raw / "S001C001P002R001A001.skeleton"
    both = "--samples-per-shard", 2  # in one shard
    data, stat = path.read_bytes(), path.stat()
    assert own.run(*both, at_step=ActAt("rename", path.unlink)).status == 3
    before = own.files()

    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    neighbour.unlink()
    assert own.run(*both).status == 3
    assert own.files() == before


def set_clock(seconds):
    """Let this process see another time of day; disk and monotonic clock are the machine's."""
    genuine = time.time
    time.time = lambda: genuine() + seconds
    time.time_ns = lambda: int((genuine() + seconds) * 1e9)


@pytest.mark.parametrize("years", [-60, -1, 60])
def test_a_clock_that_is_wrong_changes_no_byte(build, calm, years):
    assert build.run(prepare=partial(set_clock, years * YEAR_S)).status == 0
    assert build.files() == calm.files()


@pytest.mark.parametrize("seconds", [-1_000_000_000, 0, 4_000_000_000])
def test_raw_files_of_any_age_are_taken(own, seconds):
    for path in own.raw.iterdir():
        os.utime(path, (seconds, seconds))
    assert own.run().status == 0
    before = own.files()
    assert own.run().status == 0
    assert own.files() == before


def test_finished_files_from_the_future_are_kept(finished, calm):
    ahead = time.time() + YEAR_S
    for path in finished.out.rglob("*"):
        os.utime(path, (ahead, ahead))
    assert finished.run().status == 0
    assert "create-shard" not in finished.steps()
    assert finished.files() == calm.files()


def test_a_second_build_in_a_folder_is_refused_and_touches_nothing(finished, calm):
    with locked(finished.out):
        ran = finished.run("--overwrite")
    assert (ran.status, is_one_sentence(ran.err)) == (1, True), ran
    assert f"process {os.getpid()}" in ran.err
    assert finished.files() == calm.files()


def test_a_lock_whose_holder_is_dead_is_taken_over(finished, calm):
    (finished.out / ".lock").write_text("process 1 on elsewhere since 2001-01-01 00:00:00 UTC")
    assert finished.run().status == 0
    assert finished.files() == calm.files()
