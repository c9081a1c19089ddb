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
CHILD = """
import sys
from pathlib import Path
from recordings import data_set, sample
from toolkit.build.options import BuildOptions
from toolkit.build.run import BuildSettings, plan_build, run_build

folder, out, name, n_samples = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
files = folder / f"{name}.skeleton", folder / f"{name}.avi"
data = data_set(*(sample(f"s{i:03}", *files) for i in range(n_samples)))
options = BuildOptions(
    source="ntu", align="frame", bodies="denoise", frame_size=0, samples_per_shard=4
)
settings = BuildSettings(out)
ledger = run_build(plan_build(data, options, settings), settings, lambda rows: None)
peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
print(ledger.ok, int(peak) * 1024)
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two recordings of noise, which takes thousands of bytes a picture: 20 and 400 frames."""
    if not Path("/proc/self/status").exists():
        pytest.skip("this system does not tell the peak memory of a process")
    folder = tmp_path_factory.mktemp("raw")
    for name, n_frames in (("short", 20), ("long", 400)):
        write_ntu_skeleton(folder / f"{name}.skeleton", ntu_frames(*[[7]] * n_frames))
        pictures = textured_pictures(20, *SIZE)
        write_video(folder / f"{name}.avi", pictures * (n_frames // 20), XVID)
    return folder


@pytest.fixture(scope="module")
def measure(raw, tmp_path_factory):
    """Return the peak bytes of a process that builds this many recordings of this name."""

    def peak_bytes(name, n_samples):
        out = tmp_path_factory.mktemp("out")
        tests = Path(__file__).parent
        paths = [str(tests.parents[1]), str(tests.parent), str(tests)]
        code = f"import sys; sys.path[:0] = {paths!r}\n{CHILD}"
        arguments = [str(raw), str(out), name, str(n_samples)]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True
        )
        n_ok, n_bytes = map(int, done.stdout.split())
        assert n_ok == n_samples
        return n_bytes

    return peak_bytes


@pytest.fixture(scope="module")
def few(measure):
    return measure("short", 4)


def test_ten_times_the_recordings_need_the_same_memory(measure, few):
    many = measure("short", 40)
    # Pictures of all of them, if they were kept, would show.
    assert 0.2 * few < 36 * 20 * PICTURE_BYTES
    assert many < 1.1 * few


def test_a_long_video_is_never_held_as_pictures(measure, few):
    long = measure("long", 1)
    # The poses of 400 frames take some memory too.
    assert long - few < 0.25 * 380 * PICTURE_BYTES
