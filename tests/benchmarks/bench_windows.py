"""Random 16-frame windows from one shard, against the usual ways to keep frames.

Run ``python tests/benchmarks/bench_windows.py``; figures to reach: >= 1.15 x JPEG files + cv2,
>= 1.5 x vlen HDF5, >= 0.9 of decoding alone.  Warm files, one thread, rates per CPU second.  Ours
reads the skeletons too; the rivals read pictures only.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import h5py
import numpy as np
from timing import Names, Row, measure, print_table, ratio, summarise

from toolkit.shards import CLIP_LENGTH, ShardReader, decode_pictures, encode_picture

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from shard_builders import Recording, make_sample

from toolkit.shards.writer import ShardWriter
from toolkit.skeleton import NTU25

HEIGHT, WIDTH, N_SAMPLES, N_FRAMES, N_WINDOWS = 128, 171, 32, 96, 48
OURS, FILES, VLEN, LIMIT = (
    "shard (ours)",
    "JPEG files + cv2",
    "vlen HDF5, frame by frame",
    "decoding alone (limit)",
)
REACH = {FILES: 1.15, VLEN: 1.5, LIMIT: 0.9}

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


def rivals(folder: Path, jpegs: Sequence[bytes], windows: Windows) -> dict[str, Callable[[], int]]:
    reader = ShardReader(write_shard(folder / "00000.h5", jpegs))
    files = write_files(folder / "frames", jpegs)
    vlen_file = h5py.File(write_vlen(folder / "vlen.h5", jpegs))
    vlen = [vlen_file[str(sample)] for sample in range(N_SAMPLES)]
    # Every frame in memory of its own: one that is decoded again and again would lie in the cache.
    arrays = [[np.frombuffer(bytearray(jpeg), np.uint8) for jpeg in jpegs] for _ in files.iterdir()]

    def from_shard() -> int:
        return sum(len(reader.window(*place).pictures()) for place in windows) // CLIP_LENGTH

    def read_file(sample: int, t: int) -> np.ndarray:
        return cv2.imread(str(files / str(sample) / f"{t:05d}.jpg"))

    def read_vlen(sample: int, t: int) -> np.ndarray:
        return cv2.imdecode(vlen[sample][t], cv2.IMREAD_COLOR)

    def decode(sample: int, t: int) -> np.ndarray:
        return cv2.imdecode(arrays[sample][t], cv2.IMREAD_COLOR)

    def by_frame(read: Callable[[int, int], np.ndarray]) -> Callable[[], int]:
        def run() -> int:
            for sample, start in windows:
                np.stack([read(sample, t) for t in range(start, start + CLIP_LENGTH)])
            return len(windows)

        return run

    def decode_and_stack() -> int:
        for sample, start in windows:
            decode_pictures(arrays[sample][start : start + CLIP_LENGTH])
        return len(windows)

    def decode_only() -> int:
        for sample, start in windows:
            for t in range(start, start + CLIP_LENGTH):
                decode(sample, t)
        return len(windows)

    return {
        OURS: from_shard,
        FILES: by_frame(read_file),
        VLEN: by_frame(read_vlen),
        LIMIT: decode_only,
        "decoding and stacking": decode_and_stack,
        "ours, without decoding": lambda: sum(len(reader.window(*p)) for p in windows) // 16,
    }


def bench(rounds: int = 15) -> list[Row]:
    cv2.setNumThreads(1)
    jpegs, rng = list(draw_jpegs()), np.random.default_rng(1)
    starts = rng.integers(0, N_FRAMES - CLIP_LENGTH + 1, N_WINDOWS).tolist()
    windows = list(zip(rng.integers(0, N_SAMPLES, N_WINDOWS).tolist(), starts, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        cases = rivals(Path(folder), jpegs, windows)
        rates = measure(cases, rounds, clock=time.process_time)
    n_bytes = np.mean([*map(len, jpegs)]) / 1000
    title = f"{CLIP_LENGTH}-frame windows of {WIDTH}x{HEIGHT}, {n_bytes:.1f} kB a frame"
    print_table(title, rates, peer=FILES, unit="windows/s")
    for peer, wanted in REACH.items():
        print(f"{OURS} / {peer}: {ratio(rates, OURS, peer):.2f} (to reach: {wanted})")
    return [
        summarise("windows", rates, Names(OURS, peer, LIMIT, REACH[peer]), unit="windows/s")
        for peer in (FILES, VLEN)
    ]


def main() -> None:
    bench()


if __name__ == "__main__":
    main()
