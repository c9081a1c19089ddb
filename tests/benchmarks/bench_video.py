"""Video to stored frames: ours against the usual rawframes script and against decoding alone.

Run ``python tests/benchmarks/bench_video.py``; it makes its own videos and needs about a minute.
Everything runs in one thread of one process, but for the last line.
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
from timing import Names, Row, measure, print_table, ratio, summarise

from toolkit.readers.picture import PictureEncoder, scaled_size
from toolkit.readers.video import VideoReader

SHORT_SIDE, QUALITY, ROUNDS = 128, 90, 7
PEER, OURS, LIMIT = "cv2 bilinear + imwrite (peer)", "ours, into HDF5", "PyAV decodes (limit)"


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


def store_ours(path: Path, folder: Path) -> int:
    encoder = PictureEncoder(short_side=SHORT_SIDE, quality=QUALITY)
    with VideoReader(path) as video:
        jpegs = [encoder.encode(frame.picture, video.rotation) for frame in video]
    with h5py.File(folder / f"{path.stem}.h5", "w") as file:
        file["data"] = np.frombuffer(b"".join(jpegs), np.uint8)
        file["offset"] = np.cumsum([0, *map(len, jpegs)])
    return len(jpegs)


def store_rawframes(path: Path, folder: Path) -> int:
    return sum(1 for _ in rawframes(path, folder))


def rawframes(path: Path, folder: Path) -> Iterator[Path]:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    ok, bgr = capture.read()
    size = scaled_size(bgr.shape[1], bgr.shape[0], SHORT_SIDE)
    index = 0
    while ok:
        small = cv2.resize(bgr, size, interpolation=cv2.INTER_LINEAR)
        target = folder / f"img_{index:05d}.jpg"
        cv2.imwrite(str(target), small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        yield target
        index += 1
        ok, bgr = capture.read()
    capture.release()


def store_in_processes(path: Path, folder: Path, pool: ProcessPoolExecutor, n: int) -> int:
    jobs = [pool.submit(store_ours, path, folder / str(worker)) for worker in range(n)]
    return sum(job.result() for job in jobs)


def luma_psnr(path: Path, folder: Path) -> tuple[float, float]:
    """Return mean luma PSNR in dB of our stored frames and of the peer's.

    The reference is the area average, in floating point, of the full-size luma.
    """
    encoder = PictureEncoder(short_side=SHORT_SIDE, quality=QUALITY)
    ours, peers = [], []
    with VideoReader(path) as video:
        for frame, file in zip(video, rawframes(path, folder), strict=True):
            reference = area_average(frame.picture)
            jpeg = np.frombuffer(encoder.encode(frame.picture), np.uint8)
            stored = cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)
            ours.append(psnr(stored, reference))
            peers.append(psnr(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE), reference))
    return float(np.mean(ours)), float(np.mean(peers))


def area_average(picture: av.VideoFrame) -> np.ndarray:
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    full = (rows[:, : plane.width].astype(np.float32) - 16) * (255 / 219)
    size = scaled_size(picture.width, picture.height, SHORT_SIDE)
    return cv2.resize(full, size, interpolation=cv2.INTER_AREA).clip(0, 255)


def psnr(stored: np.ndarray, reference: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((stored - reference) ** 2)))


def compare(kind: Kind, folder: Path, rounds: int) -> Row:
    path = write_video(folder, kind)
    cases: dict[str, Callable[[], int]] = {
        LIMIT: partial(decode_only, path),
        OURS: partial(store_ours, path, folder),
        PEER: partial(store_rawframes, path, folder),
    }
    rates = measure(cases, rounds)
    kilobytes = path.stat().st_size / kind.n_frames / 1000
    print_table(f"{kind.name}, {kilobytes:.0f} kB a frame", rates, peer=PEER, unit="frames/s")
    ours_db, peer_db = luma_psnr(path, folder)
    print(f"ours / peer  {ratio(rates, OURS, PEER):.2f}  (reach {kind.reach:.2f})")
    print(f"ours / limit {ratio(rates, OURS, LIMIT):.2f}  (reach 0.75)")
    print(f"luma PSNR    ours {ours_db:.1f} dB, peer {peer_db:.1f} dB")
    names = Names(OURS, PEER, LIMIT, kind.reach)
    return summarise(f"video {Path(kind.name).stem}", rates, names, unit="frames/s")


def compare_processes(path: Path, folder: Path, rounds: int) -> Row:
    for worker in range(2):
        (folder / str(worker)).mkdir()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        store_in_processes(path, folder, pool, 2)
        time.sleep(0.5)  # both workers are idle and warm before the first round
        rates = measure(
            {
                "1": partial(store_in_processes, path, folder, pool, 1),
                "2": partial(store_in_processes, path, folder, pool, 2),
            },
            rounds,
        )
    print(f"\ntwo processes / one  {ratio(rates, '2', '1'):.2f}  (reach 1.80)")
    return summarise("video, two processes", rates, Names("2", "1", reach=1.8), unit="frames/s")


def bench(rounds: int = ROUNDS) -> list[Row]:
    cv2.setNumThreads(1)
    print(f"Python {sys.version.split()[0]}, PyAV {av.__version__}, OpenCV {cv2.__version__}")
    with tempfile.TemporaryDirectory() as name:
        rows = [compare(kind, Path(name), rounds) for kind in KINDS]
        return [*rows, compare_processes(Path(name) / KINDS[0].name, Path(name), rounds)]


def main() -> None:
    bench()


if __name__ == "__main__":
    main()
