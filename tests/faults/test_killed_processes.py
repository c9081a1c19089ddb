"""Builds of several processes: one of them killed, or the one that started them."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from faulty_builds import Build, write_recording
from poison import write_poison
from running import CTXTOOL, has_ended

NAMES = [f"S001C001P00{n}R001A001" for n in range(1, 5)]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    for name in NAMES:
        write_recording(folder, name)
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
def start(build):
    """Return a function that starts the same build by two processes, which hang somewhere.

    Its streams are shared by all that it starts.
    """
    processes = []

    def start(harms):
        run = ("--raw", build.raw, "--out", build.out, "--jobs", "2", "--samples-per-shard", "1")
        process = subprocess.Popen(
            [*CTXTOOL, "extract-ntu", *run, "--frame-size", "16"],
            env=os.environ | write_poison(build.folder / "poison", harms),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        with process:
            process.kill()


def wait_for_workers(process, folder, n_workers):
    """Return the workers whose recordings hang, as soon as there are so many."""
    hanging = []
    while len(hanging) < n_workers and not has_ended(process):
        hanging = [path.name.partition("-")[2] for path in (folder / "poison").glob("hanging-*")]
    return [parent_of(reader) for reader in hanging]


def parent_of(process):
    # PID (NAME) STATE PARENT
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_worker_that_is_killed_costs_nothing(build, start, undisturbed):
    process = start({NAMES[1]: "hang once"})
    (worker,) = wait_for_workers(process, build.folder, 1)
    os.kill(worker, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "a worker process died; beginning anew with " in said
    assert "Traceback" not in said
    assert build.files() == undisturbed


def test_a_killed_build_leaves_no_process_and_goes_on(build, start, undisturbed):
    process = start(dict.fromkeys(NAMES[-2:], "hang"))
    workers = wait_for_workers(process, build.folder, 2)
    process.kill()
    process.communicate(timeout=120)  # The end of the streams is that of all who hold them.
    assert (process.returncode, len(set(workers))) == (-signal.SIGKILL, 2)
    assert not (build.out / "manifest.parquet").exists()
    assert build.run().status == 0
    assert build.files() == undisturbed
