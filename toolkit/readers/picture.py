"""Decoded pictures to small JPEGs that never leave YUV 4:2:0: faster and sharper than via RGB."""

import av
import numpy as np
import simplejpeg
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from toolkit.pyav import ONE_THREAD, PYAV_MAJOR

Planes = list[NDArray[np.uint8]]

# AREA averages every source pixel (bilinear aliases, 4 dB less).  SWS_ACCURATE_RND and SWS_BITEXACT
# make the same bytes on every processor; SWS_FULL_CHR_H_INT and _INP keep the error of BT.709 ->
# BT.601, which goes through RGB, below two levels.  PyAV before 18 has no names for them.
_SCALING = int(Interpolation.AREA) | 0x40000 | 0x80000 | 0x2000 | 0x4000

# Two names of one matrix.  PyAV before 17 hands the ranges to the scaler only if the names of the
# source's and the destination's matrix differ.
_BT601 = Colorspace.ITU601
_SOURCE_BT601 = int(_BT601) if PYAV_MAJOR >= 17 else 6

# Codes of ISO/IEC 23091-2 of the other matrices that the scaler knows by itself.
_NAMED_MATRICES = frozenset({1, 4, 6, 7, 9})


def scaled_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Return the (width, height) of the stored picture: both even, aspect kept, never enlarged.

    ``short_side`` 0, or one that the picture does not exceed, keeps the size but for an odd last
    column or row.
    """
    shorter = min(width, height)
    if short_side == 0 or shorter <= short_side:
        return width // 2 * 2, height // 2 * 2
    return _even(width * short_side / shorter), _even(height * short_side / shorter)


class PictureEncoder:
    """Shrinks, recolours, turns and compresses pictures; make one a process and reuse it.

    The JPEGs are JFIF: 4:2:0, BT.601, full range.  Limited range and BT.709 or BT.2020 sources are
    converted; a source that names no matrix is taken as BT.601, as FFmpeg and OpenCV do.  Equal
    pictures give equal bytes.
    """

    def __init__(self, *, short_side: int = 128, quality: int = 90) -> None:
        if short_side < 0 or short_side % 2:
            raise ValueError(f"short_side must be 0 or a positive even number, got {short_side}")
        if not 1 <= quality <= 100:
            raise ValueError(f"quality must be within 1..100, got {quality}")
        self.short_side = short_side
        self.quality = quality
        self._reformatter = VideoReformatter()

    def encode(self, picture: av.VideoFrame, rotation: int = 0) -> bytes:
        """Return the picture as JPEG bytes, turned clockwise by 0, 90, 180 or 270 degrees."""
        luma, blue, red = self.prepare(picture, rotation)
        jpeg: bytes = simplejpeg.encode_jpeg_yuv_planes(luma, blue, red, self.quality, False)
        return jpeg

    def prepare(self, picture: av.VideoFrame, rotation: int = 0) -> Planes:
        """Return the Y, Cb and Cr planes that are compressed, turned clockwise."""
        if rotation not in (0, 90, 180, 270):
            raise ValueError(f"rotation must be 0, 90, 180 or 270, got {rotation}")
        return [_turn(plane, rotation) for plane in self.shrink(picture)]

    def shrink(self, picture: av.VideoFrame) -> Planes:
        """Return the Y (h, w), Cb and Cr (h/2, w/2) planes of the stored size, not yet turned."""
        width, height = scaled_size(picture.width, picture.height, self.short_side)
        # An odd edge of a picture that keeps its size is cut off below rather than resampled away.
        keeps_size = (width, height) == (picture.width // 2 * 2, picture.height // 2 * 2)
        small = self._reformatter.reformat(
            picture,
            width=picture.width if keeps_size else width,
            height=picture.height if keeps_size else height,
            # Full-range yuv420p by its older name, by which the scaler knows from the start that
            # limited range of the same size must not merely be copied.
            format="yuvj420p",
            src_colorspace=_colorspace_of(picture),
            dst_colorspace=_BT601,
            src_color_range=_color_range_of(picture),
            dst_color_range=ColorRange.JPEG,
            interpolation=_SCALING,
            **ONE_THREAD,
        )
        luma, blue, red = (_pixels(plane) for plane in small.planes)
        half = height // 2, width // 2
        return [
            luma[:height, :width],
            blue[: half[0], : half[1]],
            red[: half[0], : half[1]],
        ]


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))


def _colorspace_of(picture: av.VideoFrame) -> int | None:
    named = picture.format.is_rgb or picture.colorspace in _NAMED_MATRICES
    return None if named else _SOURCE_BT601


def _color_range_of(picture: av.VideoFrame) -> ColorRange:
    is_full = picture.color_range == ColorRange.JPEG or picture.format.name.startswith("yuvj")
    return ColorRange.JPEG if is_full else ColorRange.MPEG


def _pixels(plane: av.video.plane.VideoPlane) -> NDArray[np.uint8]:
    """Return the plane's memory as rows of ``line_size`` bytes, padding included."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)


def _turn(plane: NDArray[np.uint8], rotation: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.rot90(plane, -rotation // 90))
