"""Video to stored frames: ours, the usual rawframes script, other decoders, and decoding alone.

Run ``python tests/benchmarks/bench_video.py``; it makes its own videos and needs about a minute.
Everything runs in one thread, rates are per CPU second; two processes, last, by the clock.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import av
import cv2
import h5py
import numpy as np
from timing import Names, Row, measure, print_table, ratio, read_cpu_s, summarise
from video_peers import PEERS, list_working, rawframes, store_rawframes

from toolkit.readers.picture import PictureEncoder, scaled_size
from toolkit.readers.video import VideoReader

SHORT_SIDES, QUALITY, ROUNDS = (128, 256), 90, 7
PEER, OURS, LIMIT = "rawframes by cv2", "ours, into HDF5", "PyAV decodes (limit)"
LIMIT_REACH = 0.75
PSNR_EVERY = 6


@dataclass(frozen=True)
class Kind:
    name: str
    size: tuple[int, int]
    n_frames: int
    codec: str
    options: dict[str, str]
    bit_rate: int
    reach: float


KINDS = (
    # The bit rates are those of real NTU RGB+D and Kinetics files.
    Kind("1080p_xvid.avi", (1920, 1080), 60, "mpeg4", {}, 12_000_000, 1.40),
    Kind("720p_h264.mp4", (1280, 720), 90, "libx264", {"preset": "fast"}, 2_500_000, 1.15),
    Kind("340x256_h264.mp4", (340, 256), 300, "libx264", {"preset": "fast"}, 500_000, 1.0),
)


def draw(width: int, height: int, n_frames: int) -> Iterator[av.VideoFrame]:
    """Yield a camera that pans over a textured wall while discs of texture cross it."""
    rng = np.random.default_rng(11)
    wall, cloth = (_texture(rng, width + 2 * n_frames, height + n_frames) for _ in range(2))
    grain = rng.normal(0, 2, (height + 64, width + 64, 1)).astype(np.int8)
    for i in range(n_frames):
        rgb = wall[i : i + height, 2 * i : 2 * i + width].astype(np.int16)
        inside = np.zeros((height, width), np.uint8)
        for disc in range(5):
            x = int((disc * 0.21 + i * 0.004 * (disc + 1)) % 1 * width)
            y = int((0.5 + 0.35 * np.sin(i / 15 + disc)) * height)
            cv2.circle(inside, (x, y), height // 8, 1, -1)
        rgb[inside == 1] = cloth[:height, :width][inside == 1]
        dy, dx = rng.integers(0, 64, 2)
        rgb += grain[dy : dy + height, dx : dx + width]
        yield av.VideoFrame.from_ndarray(rgb.clip(0, 255).astype(np.uint8), "rgb24")


def _texture(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    layers = np.zeros((height, width, 3), np.float32)
    for cell, weight in ((8, 0.25), (32, 0.5), (128, 1.0)):
        cells = rng.uniform(-1, 1, (height // cell + 2, width // cell + 2, 3)).astype(np.float32)
        layers += weight * cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
    return (128 + 70 * layers).clip(0, 255).astype(np.uint8)


def write_video(folder: Path, kind: Kind) -> Path:
    path = folder / kind.name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(kind.codec, rate=30, options=kind.options)
        (stream.width, stream.height), stream.pix_fmt = kind.size, "yuv420p"
        stream.bit_rate = kind.bit_rate
        if kind.codec == "mpeg4":
            stream.codec_context.codec_tag = "XVID"
        for picture in draw(*kind.size, kind.n_frames):
            container.mux(stream.encode(picture.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


def decode_only(path: Path) -> int:
    with av.open(str(path)) as container:
        container.streams.video[0].thread_type = "NONE"
        container.streams.video[0].codec_context.thread_count = 1
        return sum(1 for _ in container.decode(video=0))


def store_ours(path: Path, folder: Path, short_side: int = SHORT_SIDES[0]) -> int:
    encoder = PictureEncoder(short_side=short_side, quality=QUALITY)
    with VideoReader(path) as video:
        jpegs = [encoder.encode(frame.picture, video.rotation) for frame in video]
    with h5py.File(folder / f"{path.stem}.h5", "w") as file:
        file["data"] = np.frombuffer(b"".join(jpegs), np.uint8)
        file["offset"] = np.cumsum([0, *map(len, jpegs)])
    return len(jpegs)


def store_in_processes(path: Path, folder: Path, pool: ProcessPoolExecutor, n: int) -> int:
    jobs = [pool.submit(store_ours, path, folder / str(worker)) for worker in range(n)]
    return sum(job.result() for job in jobs)


def luma_psnr(path: Path, folder: Path, short_side: int) -> tuple[float, float]:
    """Return mean luma PSNR in dB of some of our stored frames and of the peer's.

    The reference is the area average, in floating point, of the full-size luma.
    """
    encoder = PictureEncoder(short_side=short_side, quality=QUALITY)
    ours, peers = [], []
    with VideoReader(path) as video:
        size = scaled_size(video.width, video.height, short_side)
        for frame, file in zip(video, rawframes(path, folder, size), strict=True):
            if frame.index % PSNR_EVERY:
                continue
            reference = area_average(frame.picture, size)
            jpeg = np.frombuffer(encoder.encode(frame.picture), np.uint8)
            stored = cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)
            ours.append(psnr(stored, reference))
            peers.append(psnr(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), reference))
    return float(np.mean(ours)), float(np.mean(peers))


def area_average(picture: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    full = (rows[:, : plane.width].astype(np.float32) - 16) * (255 / 219)
    return cv2.resize(full, size, interpolation=cv2.INTER_AREA).clip(0, 255)


def psnr(stored: np.ndarray, reference: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((stored - reference) ** 2)))


def compare(kind: Kind, short_side: int, folder: Path, rounds: int) -> list[Row]:
    """Time every way to store one video with one short side; return a row a peer."""
    path = folder / kind.name
    size = scaled_size(*kind.size, short_side)
    cases: dict[str, Callable[[], int]] = {
        LIMIT: partial(decode_only, path),
        OURS: partial(store_ours, path, folder, short_side),
        PEER: partial(store_rawframes, path, folder, size),
    }
    working = list_working(path, folder, size)
    cases |= {name: partial(run, path, folder, size) for name, run in working.items()}
    rates = measure(cases, rounds, clock=read_cpu_s)
    kilobytes = path.stat().st_size / kind.n_frames / 1000
    title = f"{kind.name}, {kilobytes:.0f} kB a frame, short side {short_side}"
    print_table(title, rates, peer=PEER, unit="frames/CPU s")
    ours_db, peer_db = luma_psnr(path, folder, short_side)
    print(f"ours / limit {ratio(rates, OURS, LIMIT):.2f}  (reach {LIMIT_REACH})")
    print(f"luma PSNR    ours {ours_db:.1f} dB, peer {peer_db:.1f} dB")
    job = f"video {path.stem} to {short_side}"
    reach = kind.reach if short_side == SHORT_SIDES[0] else None
    limit_reach = LIMIT_REACH if reach else None
    names = [Names(OURS, PEER, LIMIT, reach, limit_reach), *(Names(OURS, n, LIMIT) for n in PEERS)]
    return [summarise(job, rates, each, unit="frames/CPU s") for each in names]


def compare_processes(path: Path, folder: Path, rounds: int) -> Row:
    for worker in range(2):
        (folder / str(worker)).mkdir()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        store_in_processes(path, folder, pool, 2)
        time.sleep(0.5)  # both workers are idle and warm before the first round
        rates = measure(
            {
                "one": partial(store_in_processes, path, folder, pool, 1),
                "two processes": partial(store_in_processes, path, folder, pool, 2),
            },
            rounds,
        )
    print(f"\ntwo processes / one  {ratio(rates, 'two processes', 'one'):.2f}  (reach 1.80)")
    names = Names("two processes", "one", reach=1.8)
    return summarise("video 1080p_xvid, two processes", rates, names, unit="frames/s")


def bench(rounds: int = ROUNDS) -> list[Row]:
    cv2.setNumThreads(1)
    print(f"Python {sys.version.split()[0]}, PyAV {av.__version__}, OpenCV {cv2.__version__}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind in KINDS:
            write_video(folder, kind)
            for short_side in SHORT_SIDES:
                rows += compare(kind, short_side, folder, rounds)
        return [*rows, compare_processes(folder / KINDS[0].name, folder, rounds)]


def main() -> None:
    bench()


if __name__ == "__main__":
    main()
