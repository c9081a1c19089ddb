"""A worker's memory stays flat: it depends on neither the number nor the length of recordings."""

import subprocess
import sys
from pathlib import Path

import pytest
from builders import ntu_frames, write_ntu_skeleton
from video_builders import XVID, textured_pictures, write_video

SIZE = 320, 240
# What one decoded 4:2:0 picture of this size takes.
PICTURE_BYTES = SIZE[0] * SIZE[1] * 3 // 2

# The peak of the process itself: what getrusage tells begins with that of whoever started it.
# Each build in a fork of a process that has only done its imports.
CHILD = """
import os, sys
from pathlib import Path
from recordings import data_set, sample
from toolkit.build.options import BuildOptions
from toolkit.build.run import BuildSettings, plan_build, run_build

def build(folder, out, name, n_samples):
    files = folder / f"{name}.skeleton", folder / f"{name}.avi"
    data = data_set(*(sample(f"s{i:03}", *files) for i in range(n_samples)))
    options = BuildOptions(
        source="ntu", align="frame", bodies="denoise", frame_size=0, samples_per_shard=2
    )
    settings = BuildSettings(out / f"{name}-{n_samples}")
    ledger = run_build(plan_build(data, options, settings), settings, lambda rows: None)
    peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    print(name, n_samples, ledger.ok, int(peak) * 1024, flush=True)

folder, out = map(Path, sys.argv[1:3])
for word in sys.argv[3:]:
    name, n_samples = word.split(":")
    if os.fork() == 0:
        build(folder, out, name, int(n_samples))
        sys.exit()
    assert os.wait()[1] == 0
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two recordings of noise, which takes thousands of bytes a picture: 20 and 200 frames."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell the peak memory of a process")
    folder = tmp_path_factory.mktemp("raw")
    for name, n_frames in (("short", 20), ("long", 200)):
        write_ntu_skeleton(folder / f"{name}.skeleton", ntu_frames(*[[7]] * n_frames))
        pictures = textured_pictures(20, *SIZE)
        write_video(folder / f"{name}.avi", pictures * (n_frames // 20), XVID)
    return folder


@pytest.fixture(scope="module")
def peaks(raw, tmp_path_factory):
    """(name, number) -> peak bytes of a process that builds so many recordings of this name."""
    out = tmp_path_factory.mktemp("out")
    tests = Path(__file__).parent
    paths = [str(tests.parents[1]), str(tests.parent), str(tests)]
    code = f"import sys; sys.path[:0] = {paths!r}\n{CHILD}"
    builds = {("short", 2), ("short", 20), ("long", 1)}
    arguments = [str(raw), str(out), *(f"{name}:{n}" for name, n in builds)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
    )
    told = [line.split() for line in done.stdout.splitlines()]
    assert {(name, int(n_ok)) for name, _, n_ok, _ in told} == builds
    return {(name, int(n)): int(n_bytes) for name, n, _, n_bytes in told}


def test_ten_times_the_recordings_need_the_same_memory(peaks):
    few, many = peaks["short", 2], peaks["short", 20]
    # Pictures of all of them, if they were kept, would show.
    assert 0.2 * few < 18 * 20 * PICTURE_BYTES
    assert many < 1.1 * few


def test_a_long_video_is_never_held_as_pictures(peaks):
    # The poses of 200 frames take some memory too.
    assert peaks["long", 1] - peaks["short", 2] < 0.25 * 180 * PICTURE_BYTES
