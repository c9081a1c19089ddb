"""Pictures of one recording to H.264 in closed groups, which are decoded each by itself."""

import re
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.codec.codec import UnknownCodecError
from av.video.reformatter import ColorRange, Colorspace

from toolkit.clips import CLIP_LENGTH
from toolkit.errors import CtxtoolError
from toolkit.readers.picture import Planes

_ENCODER = "libx264"
# Made for fast decoding: no B-frames, so frames come out in the order they went in; no deblocking
# and no arithmetic coding, which together take twice the time to decode for a tenth of the bytes.
_PRESET, _TUNE = "veryfast", "fastdecode"
# Equal pictures give equal bytes on every processor: one thread, no clock, no choice by its kind.
_PARAMETERS = (
    f"keyint={CLIP_LENGTH}:min-keyint={CLIP_LENGTH}:scenecut=0:open-gop=0:bframes=0"
    ":threads=1:lookahead-threads=1:sliced-threads=0:cpu-independent=1"
)
# x264 spends bits by the time that a frame is shown; for all rates alike.
_TIME_BASE = Fraction(1, 25)
_SIGNATURE = re.compile(rb"x264 - (core \d+(?: r\d+)?)")


class GroupEncoder:
    """Compresses pictures of one size; the first of every 16 needs none before it.

    ``crf`` is x264's constant rate factor, 1 to 51: smaller is better and larger.  The pictures
    are as in a JPEG: 4:2:0, BT.601, full range, and said to be so in the stream.
    """

    def __init__(self, width: int, height: int, crf: int) -> None:
        self._context: Any = _open_encoder(width, height, crf)
        self._picture: av.VideoFrame | None = None
        self._n_pictures = 0

    def add(self, planes: Planes) -> list[bytes]:
        """Take in Y, Cb, Cr; return the bytes of those frames, in order, that are done by now."""
        picture = av.VideoFrame(self._context.width, self._context.height, "yuv420p")
        picture.color_range, picture.colorspace = ColorRange.JPEG, Colorspace.ITU601
        for plane, pixels in zip(picture.planes, planes, strict=True):
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            rows[: plane.height, : plane.width] = pixels
        self._picture = picture
        return self.repeat()

    def repeat(self) -> list[bytes]:
        """Take in the picture added last once more: a frame of few bytes."""
        if self._picture is None:
            raise ValueError("there is no picture to repeat")
        self._picture.pts, self._picture.time_base = self._n_pictures, _TIME_BASE
        self._n_pictures += 1
        return [bytes(packet) for packet in self._context.encode(self._picture)]

    def finish(self) -> list[bytes]:
        """Return the bytes of all frames that were still kept back; nothing can follow."""
        if self._picture is None:
            return []
        return [bytes(packet) for packet in self._context.encode(None)]


def name_encoder(crf: int) -> str:
    """Return what decides the bytes beside the pictures: encoder, version, settings."""
    encoder = GroupEncoder(16, 16, crf)
    grey = [np.full((side, side), 128, np.uint8) for side in (16, 8, 8)]
    stream = b"".join([*encoder.add(grey), *encoder.finish()])
    found = _SIGNATURE.search(stream)
    version = found[1].decode() if found else "of unknown version"
    return f"{_ENCODER} {version}, preset {_PRESET}, tune {_TUNE}, crf {crf}, {_PARAMETERS}"


def _open_encoder(width: int, height: int, crf: int) -> Any:
    if not 1 <= crf <= 51:
        raise ValueError(f"crf must be within 1..51, got {crf}")
    try:
        context: Any = av.CodecContext.create(_ENCODER, "w")
    except UnknownCodecError as error:
        raise CtxtoolError(
            f"this PyAV came without the encoder {_ENCODER}: install a wheel of it"
            " (pip install --force-reinstall av), or store JPEGs (--codec jpeg)"
        ) from error
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.color_range, context.colorspace = ColorRange.JPEG, Colorspace.ITU601
    context.time_base, context.framerate = _TIME_BASE, 1 / _TIME_BASE
    context.thread_count = 1
    context.options = {
        "preset": _PRESET,
        "tune": _TUNE,
        "crf": str(crf),
        "x264-params": _PARAMETERS,
    }
    return context
