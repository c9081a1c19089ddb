"""Builds of several processes: one of them killed, or the one that started them."""

import os
import re
import signal
import subprocess

import pytest
from faulty_builds import Build, write_recording
from running import CTXTOOL, has_ended

N_RECORDINGS = 12


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    for person in range(N_RECORDINGS):
        write_recording(folder, f"S001C001P{person + 1:03d}R001A001")
    return folder


@pytest.fixture(scope="module")
def undisturbed(recordings, tmp_path_factory):
    build = Build(recordings, tmp_path_factory.mktemp("undisturbed"))
    assert build.run().status == 0
    return build.files()


@pytest.fixture
def build(recordings, tmp_path):
    return Build(recordings, tmp_path)


@pytest.fixture
def under_way(build):
    """The same build by two processes, its streams shared by all that it starts."""
    run = ("--raw", build.raw, "--out", build.out, "--jobs", "2", "--samples-per-shard", "1")
    process = subprocess.Popen(
        [*CTXTOOL, "extract-ntu", *run, "--frame-size", "16"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        yield process
        process.kill()


def wait_for_writers(process, out, n_writers):
    """Return processes as soon as so many have been seen writing a shard."""
    seen = set()
    while len(seen) < n_writers and not has_ended(process):
        # What is being written is called .<name>.<process>-<machine>.<what>.
        for path in (out / "shards").glob(".0*.*.*"):
            seen.add(int(re.search(r"\.(\d+)-", path.name)[1]))
    return seen


def test_a_worker_that_is_killed_costs_nothing(build, under_way, undisturbed):
    (writer,) = wait_for_writers(under_way, build.out, 1)
    os.kill(writer, signal.SIGKILL)
    _, said = under_way.communicate(timeout=60)
    assert under_way.returncode == 0
    assert "a worker process died; beginning anew with " in said
    assert "Traceback" not in said
    assert build.files() == undisturbed


def test_a_killed_build_leaves_no_process_and_goes_on(build, under_way, undisturbed):
    writers = wait_for_writers(under_way, build.out, 2)
    under_way.kill()
    under_way.communicate(timeout=60)  # The end of the streams is that of all who hold them.
    assert (under_way.returncode, len(writers)) == (-signal.SIGKILL, 2)
    assert not (build.out / "manifest.parquet").exists()
    assert build.run().status == 0
    assert build.files() == undisturbed
