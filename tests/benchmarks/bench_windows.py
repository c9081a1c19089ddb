"""Random 16-frame windows from one shard, against the usual ways to keep frames.

Run ``python tests/benchmarks/bench_windows.py``; figures to reach: >= 1.15 x JPEG files + cv2,
>= 1.5 x vlen HDF5, >= 0.9 of decoding alone.  One thread; warm files, rates per CPU second, then
files that the system has forgotten, rates by the clock.  Ours reads the skeletons too; the rivals
read pictures only, and webdataset reads its clips in the order in which they lie.
"""

import os
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

import cv2
import h5py
import numpy as np
from timing import Names, Row, measure, print_table, ratio, read_cpu_s, summarise

from toolkit.shards import CLIP_LENGTH, ShardReader, decode_pictures, encode_picture

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from shard_builders import Recording, make_sample

from toolkit.shards.writer import ShardWriter
from toolkit.skeleton import NTU25

HEIGHT, WIDTH, N_SAMPLES, N_FRAMES, N_WINDOWS = 128, 171, 32, 96, 48
OURS, FILES, VLEN, TAR, LIMIT = (
    "shard (ours)",
    "JPEG files + cv2",
    "vlen HDF5, frame by frame",
    "webdataset",
    "decoding alone (limit)",
)
REACH = {FILES: 1.15, VLEN: 1.5, TAR: None, LIMIT: 0.9}

Windows = Sequence[tuple[int, int]]


def draw_jpegs() -> Iterator[bytes]:
    """Yield one sample's pictures: a soft scene that moves under fresh grain, about 8 kB each."""
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.uniform(0, 255, (HEIGHT, WIDTH + N_FRAMES, 3)), (0, 0), 4)
    scene = (scene - scene.mean()) * 4 + 128
    for t in range(N_FRAMES):
        grain = rng.normal(0, 5.5, (HEIGHT, WIDTH, 1))
        yield encode_picture((scene[:, t : t + WIDTH] + grain).clip(0, 255).astype(np.uint8))


def write_shard(path: Path, jpegs: Sequence[bytes]) -> Path:
    with ShardWriter(path, NTU25, pictures=True) as writer:
        for sample in range(N_SAMPLES):
            with writer.sample_pictures() as add:
                for jpeg in jpegs:
                    add(jpeg)
            recording = Recording(f"s{sample}", n_frames=N_FRAMES)
            writer.add(make_sample(recording, NTU25, video=True))
    return path


def write_files(folder: Path, jpegs: Sequence[bytes]) -> Path:
    for sample in range(N_SAMPLES):
        (folder / str(sample)).mkdir(parents=True)
        for t, jpeg in enumerate(jpegs):
            (folder / str(sample) / f"{t:05d}.jpg").write_bytes(jpeg)
    return folder


def write_vlen(path: Path, jpegs: Sequence[bytes]) -> Path:
    with h5py.File(path, "w") as file:
        for sample in range(N_SAMPLES):
            frames = file.create_dataset(str(sample), (N_FRAMES,), h5py.vlen_dtype(np.uint8))
            for t, jpeg in enumerate(jpegs):
                frames[t] = np.frombuffer(jpeg, np.uint8)
    return path


def write_tar(path: Path, jpegs: Sequence[bytes], n_clips: int) -> Path:
    """Write clips as webdataset keeps samples: files in a row whose names begin alike."""
    with tarfile.open(path, "w") as tar:
        for clip in range(n_clips):
            for t in range(CLIP_LENGTH):
                jpeg = jpegs[(clip + t) % N_FRAMES]
                info = tarfile.TarInfo(f"{clip:06d}.{t:02d}.jpg")
                info.size = len(jpeg)
                tar.addfile(info, BytesIO(jpeg))
    return path


def read_tar(path: Path) -> int:
    """Read the clips of a tar file in their order and decode them."""
    import webdataset

    n_clips = 0
    for sample in webdataset.WebDataset(str(path), shardshuffle=False):
        jpegs = [np.frombuffer(sample[f"{t:02d}.jpg"], np.uint8) for t in range(CLIP_LENGTH)]
        np.stack([cv2.imdecode(jpeg, cv2.IMREAD_COLOR) for jpeg in jpegs])
        n_clips += 1
    return n_clips


def has_webdataset() -> bool:
    try:
        import webdataset  # noqa: F401
    except ImportError:
        return False
    return True


class Stored:
    """The same frames in all forms, and the windows to read."""

    def __init__(self, folder: Path, jpegs: Sequence[bytes], windows: Windows) -> None:
        self.windows = windows
        self.reader = ShardReader(write_shard(folder / "00000.h5", jpegs))
        self.files = write_files(folder / "frames", jpegs)
        self.vlen_file = h5py.File(write_vlen(folder / "vlen.h5", jpegs))
        self.vlen = [self.vlen_file[str(sample)] for sample in range(N_SAMPLES)]
        self.tar = write_tar(folder / "clips.tar", jpegs, len(windows))
        # Every frame in memory of its own: one decoded again and again would lie in the cache.
        self.arrays = [
            [np.frombuffer(bytearray(jpeg), np.uint8) for jpeg in jpegs] for _ in range(N_SAMPLES)
        ]
        self._on_disk = [p for p in folder.rglob("*") if p.is_file()]
        os.sync()  # What is not yet on the disk cannot be forgotten.

    def read_ours(self) -> int:
        return sum(len(self.reader.window(*w).pictures()) for w in self.windows) // CLIP_LENGTH

    def read_undecoded(self) -> int:
        return sum(len(self.reader.window(*w)) for w in self.windows) // CLIP_LENGTH

    def read_file(self, sample: int, t: int) -> np.ndarray:
        return cv2.imread(str(self.files / str(sample) / f"{t:05d}.jpg"))

    def read_vlen(self, sample: int, t: int) -> np.ndarray:
        return cv2.imdecode(self.vlen[sample][t], cv2.IMREAD_COLOR)

    def read_by_frame(self, read: Callable[[int, int], np.ndarray]) -> int:
        for sample, start in self.windows:
            np.stack([read(sample, t) for t in range(start, start + CLIP_LENGTH)])
        return len(self.windows)

    def decode_only(self) -> int:
        for sample, start in self.windows:
            for jpeg in self.arrays[sample][start : start + CLIP_LENGTH]:
                cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
        return len(self.windows)

    def decode_and_stack(self) -> int:
        for sample, start in self.windows:
            decode_pictures(self.arrays[sample][start : start + CLIP_LENGTH])
        return len(self.windows)

    def list_cases(self) -> dict[str, Callable[[], int]]:
        """Return every way to read the windows from files."""
        cases: dict[str, Callable[[], int]] = {
            OURS: self.read_ours,
            FILES: partial(self.read_by_frame, self.read_file),
            VLEN: partial(self.read_by_frame, self.read_vlen),
        }
        return cases | ({TAR: partial(read_tar, self.tar)} if has_webdataset() else {})

    def forget(self) -> None:
        """Let the system drop the files from its cache."""
        for path in self._on_disk:
            handle = os.open(path, os.O_RDONLY)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(handle)


def bench(rounds: int = 15) -> list[Row]:
    cv2.setNumThreads(1)
    jpegs, rng = list(draw_jpegs()), np.random.default_rng(1)
    starts = rng.integers(0, N_FRAMES - CLIP_LENGTH + 1, N_WINDOWS).tolist()
    windows = list(zip(rng.integers(0, N_SAMPLES, N_WINDOWS).tolist(), starts, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        stored = Stored(Path(folder), jpegs, windows)
        cases = stored.list_cases()
        warm = {LIMIT: stored.decode_only, "decoding and stacking": stored.decode_and_stack}
        warm |= {"ours, without decoding": stored.read_undecoded}
        rates = measure(cases | warm, rounds, clock=read_cpu_s)
        cold = measure(cases, rounds, before=stored.forget)
    n_bytes = np.mean([*map(len, jpegs)]) / 1000
    title = f"{CLIP_LENGTH}-frame windows of {WIDTH}x{HEIGHT}, {n_bytes:.1f} kB a frame"
    print_table(title, rates, peer=FILES, unit="windows/CPU s")
    print_table(f"{title}, cold", cold, peer=FILES, unit="windows/s")
    for peer, wanted in REACH.items():
        if peer in rates:
            print(f"{OURS} / {peer}: {ratio(rates, OURS, peer):.2f} (to reach: {wanted})")
    return list_rows(rates, cold)


def list_rows(warm: dict[str, list[float]], cold: dict[str, list[float]]) -> list[Row]:
    unit = "windows/CPU s"
    rows = [
        summarise("windows, warm", warm, Names(OURS, peer, LIMIT, REACH[peer], limit), unit=unit)
        for peer, limit in ((FILES, REACH[LIMIT]), (VLEN, None), (TAR, None))
    ]
    names = [Names(OURS, peer) for peer in (FILES, VLEN, TAR)]
    return rows + [summarise("windows, cold", cold, each, unit="windows/s") for each in names]


def main() -> None:
    bench()


if __name__ == "__main__":
    main()
