"""A build killed without warning, at any moment, ends in the bytes of an undisturbed one."""

import hashlib
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from poison import write_poison
from raw_folders import in_process
from running import CTXTOOL, has_ended

N_SAMPLES = 36


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "kinetics"
    counts = ("--train", 24, "--test", N_SAMPLES - 24, "--frames", 12, "--size", "32x32")
    assert in_process("synthesize", "kinetics", "--out", folder, *counts, "--jobs", 1).status == 0
    return folder


def options(raw, out, jobs):
    run = ("--raw", raw, "--out", out, "--jobs", jobs, "--samples-per-shard", 2)
    return [str(word) for word in ("extract-kinetics", "--frame-size", 16, *run)]


def digests(out: Path):
    shards = sorted((out / "shards").glob("*.h5"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in shards}


@pytest.mark.slow
def test_kills_at_random_moments_leave_the_same_bytes(raw, tmp_path):
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    assert in_process(*options(raw, calm, 1)).status == 0
    # What kills is quick enough on any machine: with the last recording no build ends by itself.
    last = max(path.stem for path in raw.rglob("*.mp4"))
    environment = os.environ | write_poison(tmp_path / "poison", {last: "hang"})
    n_killed = kill_at_growing_progress(raw, killed, random.Random(20), environment)

    done = in_process(*options(raw, killed, 1))

    assert (n_killed, done.status) == (2, 0)
    assert f"{N_SAMPLES} planned = {N_SAMPLES} ok" in done.out
    assert digests(killed) == digests(calm)
    assert len(digests(calm)) == N_SAMPLES // 2


def kill_at_growing_progress(raw, out, moments, environment):
    """Start a build of two processes and one of one; kill each whole process group once a few more
    shard files have appeared.

    What is watched is the disk, not a clock: each kill comes after a random number of new
    directory entries, temporary ones included, so it falls at random steps of writing a shard.
    """
    n_killed = 0
    for jobs in (2, 1):
        process = subprocess.Popen(
            [*CTXTOOL, *options(raw, out, jobs)], env=environment,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        seen, wanted = set(entries(out)), moments.randint(1, 4)
        while len(set(entries(out)) - seen) < wanted and not has_ended(process):
            continue
        if not has_ended(process):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            n_killed += 1
    return n_killed


def entries(out):
    folder = out / "shards"
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []
