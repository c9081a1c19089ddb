"""An output folder that cannot be written, is somebody else's, or goes away under the build."""

import os
import shutil
import subprocess
from functools import partial

import pytest
from disk_steps import ActAt
from faulty_builds import is_one_sentence


@pytest.mark.parametrize("place", ["", "shards", "plan.parquet"])
def test_something_else_in_a_place_the_build_needs_is_named(build, calm, place):
    there = build.out / place
    there.parent.mkdir(parents=True, exist_ok=True)
    if place == "plan.parquet":
        there.mkdir()
    else:
        there.write_text("mine")

    ran = build.run()

    assert ran.status in (1, 2)
    assert str(there) in ran.err
    shutil.rmtree(there) if there.is_dir() else there.unlink()
    assert build.run().status == 0
    assert build.files() == calm.files()


def test_a_folder_that_may_only_be_read_is_named(finished, calm):
    mount = ["mount", "--bind", finished.out, finished.out]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only somebody who may mount can lock out root")
    try:
        command = ["mount", "-o", "remount,ro,bind", finished.out]
        subprocess.run(command, check=True)
        ran = finished.run()
    finally:
        subprocess.run(["umount", finished.out], check=True)

    assert (ran.status, is_one_sentence(ran.err)) == (1, True), ran
    assert "Read-only file system" in ran.err
    assert finished.files() == calm.files()


@pytest.mark.parametrize("step", ["write-plan", "create-shard", "close-shard", "write-manifest"])
def test_a_folder_removed_under_the_build_ends_it(build, calm, step):
    ran = build.run(at_step=ActAt(step, partial(shutil.rmtree, build.out)))

    assert (ran.status, is_one_sentence(ran.err)) == (1, True), ran
    assert str(build.out) in ran.err
    assert build.run().status == 0
    assert build.files() == calm.files()
