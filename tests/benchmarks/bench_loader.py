"""Random 16-frame windows to training batches: our shards, JPEG files and vlen HDF5.

    python tests/benchmarks/bench_loader.py [--rounds 7] [--workers 2]

Two tables, each from one alternating run: cutting and resizing alone, and whole batches by a
DataLoader over warm files with pictures of 171x128, quality 90.  Rivals read joints from a mapped
array; "in memory" has the JPEGs in memory, "decoding only" does nothing else with them.  Reading
without a loader is ``bench_windows.py``.  Rates are per CPU second of this process and its workers
(Linux), which other programs on the machine disturb less than the time on the clock.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import torch
from timing import Names, Row, measure, print_table, ratio, read_cpu_s, summarise
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import shard_builders
from shard_builders import Recording, write_dataset

from toolkit.shards import DatasetReader, encode_picture
from train.data import DataConfig
from train.loader import LoaderOptions, make_train_loader
from train.picture_cache import PictureCache, fill_cache
from train.transforms import Box, cut_frames, resize_antialiased

N_SAMPLES, N_FRAMES, T = 64, 96, 16
HEIGHT, WIDTH, SIZE, BATCH = 128, 171, 112, 32
SIDES = (128, 107, 90, 76, 64)
OURS, FILES, VLEN = "shards (ours)", "JPEG files + cv2", "vlen HDF5 by frame"
CACHED = "shards, --cache raw"
MEMORY, LIMIT = "in memory + cv2", "decoding only"
REACH = {FILES: 1.15, VLEN: 1.5, LIMIT: 0.9}
CUT = "cv2 linear (ours)"


def draw_pictures(n_frames: int) -> Iterator[bytes]:
    """Yield JPEGs of soft noise with some grain, about 8 kB each as real ones are."""
    rng = np.random.default_rng(0)
    soft = cv2.GaussianBlur(rng.uniform(0, 255, (HEIGHT, WIDTH + n_frames, 3)), (0, 0), 4)
    soft = (soft - soft.mean()) * 4 + 128
    for t in range(n_frames):
        grain = rng.normal(0, 5.5, (HEIGHT, WIDTH, 1))
        yield encode_picture((soft[:, t : t + WIDTH] + grain).clip(0, 255).astype(np.uint8))


@dataclass(frozen=True)
class Stored:
    """The same frames in all forms, and joints for the rivals as one array."""

    shards: Path
    files: Path
    vlen: Path
    joints: Path
    jpegs: list[bytes]


def store(folder: Path) -> Stored:
    jpegs = list(draw_pictures(N_FRAMES))
    shard_builders.make_pictures = lambda n_frames: iter(jpegs)
    shard_builders.WIDTH, shard_builders.HEIGHT = WIDTH, HEIGHT
    names = [f"s{i:03d}" for i in range(N_SAMPLES)]
    write_dataset(folder / "shards", [Recording(name, n_frames=N_FRAMES) for name in names])
    with h5py.File(folder / "vlen.h5", "w") as file:
        kind = h5py.vlen_dtype(np.uint8)
        data = file.create_dataset("jpeg", (N_SAMPLES * N_FRAMES,), kind)
        for i in range(N_SAMPLES):
            (folder / "files" / str(i)).mkdir(parents=True)
            for t, jpeg in enumerate(jpegs):
                (folder / "files" / str(i) / f"{t:05d}.jpg").write_bytes(jpeg)
                data[i * N_FRAMES + t] = np.frombuffer(jpeg, np.uint8)
    np.save(folder / "joints.npy", np.zeros((N_SAMPLES, 3, N_FRAMES, 25, 2), np.float32))
    parts = [folder / name for name in ("shards", "files", "vlen.h5", "joints.npy")]
    return Stored(*parts, jpegs)


class Rival(Dataset[Any]):
    """Draws a window, reads it in one of the rivals' ways, cuts it and resizes it with OpenCV."""

    def __init__(self, stored: Stored, kind: str, size: int = SIZE) -> None:
        self.stored, self.kind, self.size = stored, kind, size
        self.file: h5py.File | None = None
        self.joints = np.load(stored.joints, mmap_mode="r")

    def __len__(self) -> int:
        return N_SAMPLES

    def read(self, sample: int, start: int) -> list[np.ndarray]:
        """Return T pictures in BGR."""
        span = range(start, start + T)
        if self.kind == FILES:
            return [cv2.imread(str(self.stored.files / str(sample) / f"{t:05d}.jpg")) for t in span]
        if self.kind == VLEN:
            self.file = self.file or h5py.File(self.stored.vlen, "r")
            data = self.file["jpeg"]
            found = [data[sample * N_FRAMES + t] for t in span]
        else:
            found = [np.frombuffer(self.stored.jpegs[t], np.uint8) for t in span]
        return [cv2.imdecode(jpeg, cv2.IMREAD_COLOR) for jpeg in found]

    def __getitem__(self, sample: int) -> Any:
        rng = np.random.default_rng()
        start = int(rng.integers(N_FRAMES - T + 1))
        pictures = self.read(sample, start)
        if self.kind == LIMIT:
            return torch.tensor(0)
        side = SIDES[rng.integers(len(SIDES))]
        top, left = (HEIGHT - side) * rng.integers(2), (WIDTH - side) * rng.integers(2)
        frames = np.empty((T, self.size, self.size, 3), np.uint8)
        for t, picture in enumerate(pictures):
            cut = picture[top : top + side, left : left + side]
            cut = cv2.resize(cut, (self.size, self.size))
            cv2.cvtColor(cut, cv2.COLOR_BGR2RGB, dst=frames[t])
        joints = np.array(self.joints[sample, :, start : start + T])
        return torch.from_numpy(frames), torch.from_numpy(joints), 0


def use_one_thread(worker: int) -> None:
    cv2.setNumThreads(0)


def cutting() -> dict[str, Callable[[], int]]:
    """Cutting the five scales out of 16 frames and resizing them."""
    frames = np.random.default_rng(0).integers(0, 256, (T, HEIGHT, WIDTH, 3), np.uint8)

    def by(resize: Callable[[np.ndarray], Any]) -> Callable[[], int]:
        return lambda: len([resize(frames[:, :side, :side]) for side in SIDES * 20])

    def by_area(cut: np.ndarray) -> list[np.ndarray]:
        return [cv2.resize(f, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for f in cut]

    return {
        CUT: by(lambda cut: cut_frames(list(cut), Box(0, 0, *cut.shape[1:3]), SIZE)),
        "torchvision, antialiased": by(lambda cut: resize_antialiased(cut, SIZE)),
        "cv2 area": by(by_area),
    }


def loading(stored: Stored, workers: int) -> dict[str, Callable[[], int]]:
    """Whole epochs of batches, workers kept between epochs."""
    samples = np.tile(np.arange(N_SAMPLES), 4)

    def ours(cache: PictureCache | None = None) -> Callable[[], int]:
        options = LoaderOptions(BATCH, workers, cache=cache)
        loader, _ = make_train_loader(stored.shards, samples, DataConfig(), options)
        return lambda: sum(len(batch) for batch in loader)

    def rival(kind: str) -> Callable[[], int]:
        batches = DataLoader(
            Rival(stored, kind),
            BATCH,
            sampler=samples.tolist(),
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=use_one_thread,
        )

        def run() -> int:
            for _ in batches:
                pass
            return len(samples)

        return run

    cache = fill_cache(DatasetReader(stored.shards), range(N_SAMPLES))
    rivals = {kind: rival(kind) for kind in (FILES, VLEN, MEMORY, LIMIT)}
    return {OURS: ours(), CACHED: ours(cache)} | rivals


def bench(rounds: int = 7, workers: int = 2) -> list[Row]:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        stored = store(Path(folder))
        cuts = measure(cutting(), rounds, clock=read_cpu_s)
        print_table(f"16 frames to {SIZE}x{SIZE}", cuts, peer=CUT, unit="clips/CPU s")
        size = np.mean([len(jpeg) for jpeg in stored.jpegs]) / 1000
        title = f"batches of {BATCH} by {workers} workers, {size:.1f} kB a frame"
        rates = measure(loading(stored, workers), rounds, clock=read_cpu_s)
        print_table(title, rates, peer=FILES, unit="clips/CPU s")
        for kind, reach in REACH.items():
            print(f"ours against {kind}: {ratio(rates, OURS, kind):.2f}x (to reach: {reach})")
    job, unit = f"DataLoader, {workers} workers", "clips/CPU s"
    names = [Names(OURS, peer, LIMIT, REACH[peer]) for peer in (FILES, VLEN)]
    rows = [summarise(job, rates, each, unit=unit) for each in names]
    return [*rows, summarise(f"{job}, --cache raw", rates, Names(CACHED, FILES), unit=unit)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    bench(args.rounds, args.workers)


if __name__ == "__main__":
    main()
