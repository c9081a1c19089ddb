"""Other ways to turn a video into small JPEG files, on one thread each, by their description."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

QUALITY = 90
# Of ffmpeg's own scale from 2 (best) on, the one whose files are as large as those of quality 90.
FFMPEG_QUALITY = "2"

Size = tuple[int, int]
Peer = Callable[[Path, Path, Size], int]


def rawframes(path: Path, folder: Path, size: Size) -> Iterator[Path]:
    """Decode with OpenCV, resize bilinearly, write a file a frame; yield the files."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    ok, bgr = capture.read()
    index = 0
    while ok:
        yield write_picture(cv2.resize(bgr, size, interpolation=cv2.INTER_LINEAR), folder, index)
        index += 1
        ok, bgr = capture.read()
    capture.release()


def write_picture(bgr: np.ndarray, folder: Path, index: int) -> Path:
    target = folder / f"img_{index:05d}.jpg"
    cv2.imwrite(str(target), bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return target


def store_rawframes(path: Path, folder: Path, size: Size) -> int:
    return sum(1 for _ in rawframes(path, folder, size))


def store_decord(path: Path, folder: Path, size: Size) -> int:
    """Let decord decode and scale."""
    import decord

    reader = decord.VideoReader(str(path), width=size[0], height=size[1], num_threads=1)
    for index in range(len(reader)):
        write_picture(reader[index].asnumpy()[..., ::-1], folder, index)
    return len(reader)


def store_torchcodec(path: Path, folder: Path, size: Size) -> int:
    """Decode to RGB with torchcodec, resize as the rawframes script does."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(
        path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate"
    )
    for index, frame in enumerate(decoder):
        small = cv2.resize(frame.numpy(), size, interpolation=cv2.INTER_LINEAR)
        write_picture(small[..., ::-1], folder, index)
    return len(decoder)


def store_ffmpeg(path: Path, folder: Path, size: Size) -> int:
    """Let ffmpeg decode, scale and compress, and take the JPEGs from its pipe."""
    scale = f"scale={size[0]}:{size[1]}:flags=area"
    command = [
        *(find_ffmpeg(), "-v", "error", "-threads", "1", "-i", path, "-vf", scale),
        *("-threads", "1", "-filter_threads", "1", "-pix_fmt", "yuvj420p", "-c:v", "mjpeg"),
        *("-q:v", FFMPEG_QUALITY, "-f", "image2pipe", "-"),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    (folder / f"{path.stem}.mjpeg").write_bytes(done.stdout)
    return done.stdout.count(b"\xff\xd8\xff")


def find_ffmpeg() -> str:
    """Return the program on PATH, else the one that imageio-ffmpeg brings."""
    if found := shutil.which("ffmpeg"):
        return found
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


PEERS: dict[str, Peer] = {
    "decord": store_decord,
    "torchcodec": store_torchcodec,
    "ffmpeg pipe": store_ffmpeg,
}


def list_working(path: Path, folder: Path, size: Size) -> dict[str, Peer]:
    """Return those of ``PEERS`` that are installed and work."""
    return {name: peer for name, peer in PEERS.items() if _works(peer, path, folder, size)}


def _works(peer: Peer, path: Path, folder: Path, size: Size) -> bool:
    try:
        return peer(path, folder, size) > 0
    # torchcodec is there, but raises, where FFmpeg's libraries are not.
    except (ImportError, OSError, RuntimeError):
        return False
