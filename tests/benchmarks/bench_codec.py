"""Frames stored as H.264 against JPEGs: bytes, windows a second, and what was lost.

Run ``python tests/benchmarks/bench_codec.py [VIDEO ...]``; figures to reach: 5 times smaller, 0.5
of the windows.  Without videos a drawn one is taken.  Windows of 16 frames at random, warm files,
one thread, rates per CPU second.  PSNR is against the scaled picture before it was compressed.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from bench_video import draw, psnr
from timing import Names, Row, measure, print_table, ratio, summarise

from toolkit.readers.group_encoder import GroupEncoder, name_encoder
from toolkit.readers.picture import PictureEncoder, Planes
from toolkit.readers.video import VideoReader
from toolkit.shards import CLIP_LENGTH, ShardReader
from toolkit.shards.writer import Coding, ShardWriter
from toolkit.skeleton import NTU25

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from shard_builders import Recording, make_sample

QUALITY, CRF, SHORT_SIDE = 90, 20, 128
N_SAMPLES, N_WINDOWS, MOST_FRAMES = 8, 48, 300
OURS, PEER = f"H.264, crf {CRF}", f"JPEG, quality {QUALITY}"
REACH, REACH_SIZE = 0.5, 5.0


@dataclass(frozen=True)
class Stored:
    """One video as it is stored: bytes a frame, luma and colour PSNR in dB, seconds a frame."""

    path: Path
    n_bytes: float
    luma_db: float
    colour_db: float
    encode_s: float


def scale(path: Path | None) -> list[Planes]:
    """Return the planes of a video's frames at the stored size."""
    scaler = PictureEncoder(short_side=SHORT_SIDE)
    if path is None:
        pictures = [scaler.shrink(picture) for picture in draw(340, 256, 96)]
        return [[np.array(plane) for plane in planes] for planes in pictures]
    with VideoReader(path) as video:
        frames = zip(range(MOST_FRAMES), video, strict=False)
        return [
            [np.array(plane) for plane in scaler.prepare(frame.picture, video.rotation)]
            for _, frame in frames
        ]


def encode_jpegs(frames: Sequence[Planes]) -> list[bytes]:
    return [simplejpeg.encode_jpeg_yuv_planes(*planes, QUALITY, False) for planes in frames]


def encode_groups(frames: Sequence[Planes]) -> list[bytes]:
    height, width = frames[0][0].shape
    encoder = GroupEncoder(width, height, CRF)
    coded = [packet for planes in frames for packet in encoder.add(planes)]
    return [*coded, *encoder.finish()]


def store(path: Path, frames: Sequence[Planes], coding: Coding) -> Stored:
    encode = encode_jpegs if coding.codec == "jpeg" else encode_groups
    encode(frames[:CLIP_LENGTH])
    begin = time.process_time()
    coded = encode(frames)
    encode_s = (time.process_time() - begin) / len(frames)
    height, width = frames[0][0].shape
    with ShardWriter(path, NTU25, pictures=True, coding=coding) as writer:
        for sample in range(N_SAMPLES):
            with writer.sample_pictures() as add:
                for data in coded:
                    add(data)
            made = make_sample(Recording(f"s{sample}", n_frames=len(coded)), NTU25, video=True)
            writer.add(replace(made, picture_size=(width, height)))
    n_bytes = sum(map(len, coded)) / len(coded)
    return Stored(path, n_bytes, *measure_loss(path, frames), encode_s)


def measure_loss(path: Path, frames: Sequence[Planes]) -> tuple[float, float]:
    """Return luma and RGB PSNR in dB, means over the frames."""
    luma, colour = [], []
    with ShardReader(path) as reader:
        for planes, rgb in zip(frames, reader.sample(0).pictures(), strict=True):
            height, width = planes[0].shape
            blue, red = (cv2.resize(c, (width, height)) for c in planes[1:])
            wanted = cv2.cvtColor(cv2.merge([planes[0], red, blue]), cv2.COLOR_YCrCb2RGB)
            colour.append(psnr(rgb, wanted.astype(float)))
            grey = rgb @ np.array([0.299, 0.587, 0.114])
            luma.append(psnr(grey, wanted @ np.array([0.299, 0.587, 0.114])))
    return float(np.mean(luma)), float(np.mean(colour))


def window_reader(path: Path, n_frames: int) -> Callable[[], int]:
    rng = np.random.default_rng(1)
    starts = rng.integers(0, n_frames - CLIP_LENGTH + 1, N_WINDOWS).tolist()
    windows = list(zip(rng.integers(0, N_SAMPLES, N_WINDOWS).tolist(), starts, strict=True))
    reader = ShardReader(path)
    return lambda: sum(len(reader.window(*place).pictures()) for place in windows) // CLIP_LENGTH


def compare(name: str, frames: Sequence[Planes], rounds: int) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        stored = {
            PEER: store(Path(folder) / "jpeg.h5", frames, Coding()),
            OURS: store(Path(folder) / "h264.h5", frames, Coding("h264", name_encoder(CRF))),
        }
        cases = {kind: window_reader(s.path, len(frames)) for kind, s in stored.items()}
        rates = measure(cases, rounds, clock=time.process_time)
    height, width = frames[0][0].shape
    print_table(f"{name}: {len(frames)} frames of {width}x{height}", rates, peer=PEER, unit="win/s")
    for kind, s in stored.items():
        print(
            f"{kind}: {s.n_bytes / 1000:.2f} KB a frame, PSNR {s.luma_db:.1f} dB luma,"
            f" {s.colour_db:.1f} dB RGB, {s.encode_s * 1e3:.2f} ms to encode"
        )
    size = stored[PEER].n_bytes / stored[OURS].n_bytes
    print(f"{size:.1f} times smaller (to reach: {REACH_SIZE:g})", end=", ")
    print(f"{ratio(rates, OURS, PEER):.2f} of the windows (to reach: {REACH:g})")
    job = f"windows from H.264, {size:.1f} times smaller than JPEG"
    return summarise(job, rates, Names(OURS, PEER, reach=REACH), unit="windows/s")


def bench(rounds: int = 9, videos: Sequence[Path] = ()) -> list[Row]:
    cv2.setNumThreads(1)
    named = {video.name: video for video in videos} or {"a drawn video": None}
    return [compare(name, scale(path), rounds) for name, path in named.items()]


def main() -> None:
    bench(videos=[Path(name) for name in sys.argv[1:]])


if __name__ == "__main__":
    main()
