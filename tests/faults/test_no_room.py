"""A full disk and a machine out of handles: one sentence, nothing half written, on afterwards."""

import os
import resource
import subprocess
from functools import partial

import pytest
from faulty_builds import Build, is_one_sentence
from forked_command import limit

KIB = 1024


@pytest.fixture
def small_disk(raw, tmp_path):
    """A build into a disk of its own that can be given a size; skipped where none can be had."""
    build = Build(raw, tmp_path)
    build.out.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "none", build.out]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only somebody who may mount a file system can fill one")
    yield build
    subprocess.run(["umount", build.out], check=True)


def resize(build, kib):
    command = ["mount", "-o", f"remount,size={kib}k", build.out]
    subprocess.run(command, check=True, capture_output=True)


def is_half_written(name):
    return name.endswith((".writing", ".pictures"))


def test_a_full_disk_stops_the_build_and_more_room_lets_it_go_on(small_disk, calm):
    said = set()
    for kib in range(4, 400, 12):
        resize(small_disk, kib)
        ran = small_disk.run()
        if ran.status == 0:
            break
        said.add(ran.err)
        assert (ran.status, is_one_sentence(ran.err)) == (1, True), ran
        assert not [name for name in small_disk.files() if is_half_written(name)]

    assert len(said) > 1
    assert all("No space left" in text for text in said), said
    assert all(text.startswith(f"Error: {small_disk.out}/") for text in said), said
    assert small_disk.files() == calm.files()


# Room for the lock, but not for the plan; for the plan, but not for a shard.
@pytest.mark.parametrize("most", [2 * KIB, 10 * KIB])
def test_a_file_that_may_not_grow_stops_the_build(build, calm, most):
    ran = build.run(prepare=partial(limit, resource.RLIMIT_FSIZE, most))
    assert (ran.status, is_one_sentence(ran.err)) == (1, True), ran
    assert "File too large" in ran.err
    assert not [name for name in build.files() if is_half_written(name)]

    assert build.run().status == 0
    assert build.files() == calm.files()


def test_a_build_out_of_file_handles_says_so_and_goes_on_later(build, calm):
    said = set()
    for handles in range(6, 60, 2):
        ran = build.run(prepare=partial(limit, resource.RLIMIT_NOFILE, handles))
        if ran.status == 0:
            break
        said.add(ran.err)
        assert (ran.status, is_one_sentence(ran.err)) == (1, True), ran

    assert said
    assert all("Too many open files" in text for text in said), said
    assert build.files() == calm.files()
