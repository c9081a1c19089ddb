"""A build killed without warning, at any moment, ends in the bytes of an undisturbed one."""

import hashlib
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from running import CTXTOOL, has_ended

N_SAMPLES = 96


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "kinetics"
    arguments = ["--train", "64", "--test", str(N_SAMPLES - 64), "--frames", "16"]
    run("synthesize", "kinetics", "--out", folder, "--size", "32x32", *arguments)
    return folder


def run(*arguments):
    return subprocess.run([*CTXTOOL, *map(str, arguments)], check=True, capture_output=True)


def build_command(raw, out, jobs):
    options = ["--raw", raw, "--out", out, "--jobs", jobs, "--samples-per-shard", 8]
    return [*CTXTOOL, *map(str, ["extract-kinetics", "--frame-size", 16, *options])]


def digests(out: Path):
    shards = sorted((out / "shards").glob("*.h5"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in shards}


@pytest.mark.slow
def test_four_kills_at_random_moments_leave_the_same_bytes(raw, tmp_path):
    subprocess.run(build_command(raw, tmp_path / "calm", 1), check=True, capture_output=True)
    killed = kill_at_growing_progress(raw, tmp_path / "killed", random.Random(20))

    done = subprocess.run(
        build_command(raw, tmp_path / "killed", 2), check=True, capture_output=True, text=True
    )

    assert killed == 4
    assert f"{N_SAMPLES} planned = {N_SAMPLES} ok" in done.stdout
    assert digests(tmp_path / "killed") == digests(tmp_path / "calm")
    assert len(digests(tmp_path / "calm")) == N_SAMPLES // 8


def kill_at_growing_progress(raw, out, moments):
    """Start four builds; kill each whole process group once a few more shard files have appeared.

    What is watched is the disk, not a clock: each kill comes after a random number of new
    directory entries, temporary ones included, so it falls at random steps of writing a shard.
    """
    n_killed = 0
    for _ in range(4):
        process = subprocess.Popen(
            build_command(raw, out, 2), stderr=subprocess.DEVNULL, start_new_session=True
        )
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
