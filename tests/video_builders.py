"""Writers of tiny real videos, so that each test can say in a line what its recording holds."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

# a b u c d v x y w of ISO/IEC 14496-12, 8.3.2: 16.16 fixed point, the last column 2.30.
TURN_MATRICES = {
    0: (1, 0, 0, 0, 1, 0, 0, 0),
    90: (0, 1, 0, -1, 0, 0, 0, 0),
    180: (-1, 0, 0, 0, -1, 0, 0, 0),
    270: (0, -1, 0, 1, 0, 0, 0, 0),
}


@dataclass(frozen=True)
class Recipe:
    """How pictures become a file: ``ticks`` are presentation times in units of ``tick_s``."""

    codec: str = "libx264"
    rate: int = 30
    ticks: Sequence[int] | None = None
    tick_s: Fraction | None = None
    pix_fmt: str = "yuv420p"
    tag: str | None = None
    b_frames: int = 0
    options: Mapping[str, str] = field(default_factory=dict)


XVID = Recipe(codec="mpeg4", tag="XVID")
H264 = Recipe(codec="libx264", options={"preset": "ultrafast"})


def level_of(index: int) -> int:
    """Return the luma of picture ``index`` of ``gray_pictures``: each one differs by 10."""
    return 20 + 10 * (index % 20)


def gray_pictures(n: int, width: int = 64, height: int = 48) -> list[av.VideoFrame]:
    """Return pictures that each have one gray, see ``level_of``."""
    return [yuv_picture((level_of(i), 128, 128), width, height) for i in range(n)]


def textured_pictures(n: int, width: int = 64, height: int = 48) -> list[av.VideoFrame]:
    """Return pictures of moving noise, whose coded size is thousands of bytes."""
    noise = np.random.default_rng(7).integers(0, 256, (height + n, width + n, 3), dtype=np.uint8)
    shifted = (noise[i : i + height, i : i + width] for i in range(n))
    return [av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24") for rgb in shifted]


def yuv_picture(yuv: tuple[int, int, int], width: int, height: int) -> av.VideoFrame:
    """Return a yuv420p picture of one colour (odd sizes too)."""
    picture = av.VideoFrame(width, height, "yuv420p")
    for plane, level in zip(picture.planes, yuv, strict=True):
        plane.update(bytes([level]) * plane.buffer_size)
    return picture


def quadrant_picture(width: int = 96, height: int = 64) -> av.VideoFrame:
    """Return red, green / blue, white quarters, which tell every turn and mirror image apart."""
    rgb = np.full((height, width, 3), 255, np.uint8)
    rgb[: height // 2, : width // 2] = 255, 0, 0
    rgb[: height // 2, width // 2 :] = 0, 255, 0
    rgb[height // 2 :, : width // 2] = 0, 0, 255
    return av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuv420p")


def write_video(path: Path, pictures: Sequence[av.VideoFrame], recipe: Recipe = H264) -> Path:
    """Write one video stream; the suffix of the path names the container."""
    with av.open(str(path), "w") as container:
        _encode(container, _add_stream(container, pictures[0], recipe), pictures, recipe)
    return path


def write_two_videos(
    path: Path, first: Sequence[av.VideoFrame], second: Sequence[av.VideoFrame], default: int = 0
) -> Path:
    """Write two H.264 streams, of which the one with index ``default`` is marked as default."""
    with av.open(str(path), "w") as container:
        streams = [_add_stream(container, pictures[0], H264) for pictures in (first, second)]
        for index, stream in enumerate(streams):
            stream.disposition = Disposition.default.value if index == default else 0
        for stream, pictures in zip(streams, (first, second), strict=True):
            _encode(container, stream, pictures, H264)
    return path


def write_sound(
    path: Path, pictures: Sequence[av.VideoFrame] = (), recipe: Recipe = H264, begin_s: int = 0
) -> Path:
    """Write a tenth of a second of silence at ``begin_s``, and the pictures, if any, beside it."""
    with av.open(str(path), "w") as container:
        stream = _add_stream(container, pictures[0], recipe) if pictures else None
        sound = container.add_stream("pcm_s16le", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        silence.sample_rate, silence.pts = 8000, 8000 * begin_s
        silence.time_base = Fraction(1, 8000)
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
        if stream is not None:
            _encode(container, stream, pictures, recipe)
    return path


def write_cover_picture(path: Path) -> Path:
    """Write sound with a cover picture, which FFmpeg presents as a video stream."""
    with av.open(str(path), "w") as container:
        cover = _add_stream(container, gray_pictures(1)[0], Recipe("png", pix_fmt="rgb24"))
        cover.disposition = Disposition.attached_pic.value
        sound = container.add_stream("mp3", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 4410), np.int16), "s16p", "stereo")
        silence.sample_rate = 44100
        _encode(container, cover, gray_pictures(1), Recipe("png", pix_fmt="rgb24"))
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    return path


def set_display_matrix(path: Path, matrix: Sequence[int]) -> Path:
    """Write the first eight numbers of a display matrix into the first track of an MP4."""
    data = bytearray(path.read_bytes())
    # Version 0 of the box: 4 bytes of type, then 40 of times, ids and volume before the matrix.
    place = data.index(b"tkhd") + 44
    fixed = [round(number * 65536) for number in matrix]
    data[place : place + 36] = struct.pack(">9i", *fixed, 1 << 30)
    path.write_bytes(data)
    return path


def set_rotation(path: Path, clockwise: int) -> Path:
    """Mark an MP4 as to be shown turned clockwise by 0, 90, 180 or 270 degrees."""
    return set_display_matrix(path, TURN_MATRICES[clockwise])


def damage_packet(path: Path, index: int, byte: int, keep: int = 0) -> Path:
    """Overwrite coded picture ``index`` of the first stream but for its first ``keep`` bytes."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        begin, end = packets[index].pos, packets[index].pos + packets[index].size
    data = bytearray(path.read_bytes())
    data[begin + keep : end] = bytes([byte]) * (end - begin - keep)
    path.write_bytes(data)
    return path


def _add_stream(container, picture: av.VideoFrame, recipe: Recipe):
    stream = container.add_stream(recipe.codec, rate=recipe.rate, options=dict(recipe.options))
    stream.width, stream.height = picture.width, picture.height
    stream.pix_fmt = recipe.pix_fmt
    stream.codec_context.max_b_frames = recipe.b_frames
    stream.codec_context.thread_count = 1
    stream.codec_context.color_range = picture.color_range
    stream.codec_context.colorspace = picture.colorspace
    if recipe.tag is not None:
        stream.codec_context.codec_tag = recipe.tag
    if recipe.tick_s is not None:
        stream.time_base = stream.codec_context.time_base = recipe.tick_s
    return stream


def _encode(container, stream, pictures: Sequence[av.VideoFrame], recipe: Recipe) -> None:
    ticks = range(len(pictures)) if recipe.ticks is None else recipe.ticks
    for tick, picture in zip(ticks, pictures, strict=True):
        picture.pts = tick
        picture.time_base = recipe.tick_s or Fraction(1, recipe.rate)
        container.mux(stream.encode(picture))
    container.mux(stream.encode(None))
