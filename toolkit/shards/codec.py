"""Stored pictures: JPEG bytes to RGB arrays and back."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.aligned import MAX_PIXELS

Picture = NDArray[np.uint8]
Buffer = bytes | memoryview | Picture

# OpenCV before 4.11 cannot hand out RGB itself and swaps in a second pass.
_RGB_FLAG: int | None = getattr(cv2, "IMREAD_COLOR_RGB", None)
_FLAG = cv2.IMREAD_COLOR if _RGB_FLAG is None else _RGB_FLAG
_JPEG_BEGIN, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
# Of the markers that may stand before the size: those of C0..CF that do not tell it.
_NO_SIZE = (0xC4, 0xC8, 0xCC)
# So far a header is the same for all frames of a data set, and has told the size.
_HEADER_BYTES = 192


def encode_picture(rgb: Picture, quality: int = 90) -> bytes:
    """Compress an RGB picture (H, W, 3) uint8 to JPEG; raises ``ValueError`` if it is not one."""
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        raise ValueError(f"a picture is uint8 (H, W, 3), got {rgb.dtype} {rgb.shape}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be within 1..100, got {quality}")
    done, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError(f"OpenCV cannot encode a picture of {rgb.shape}")
    return data.tobytes()


def decode_picture(jpeg: Buffer) -> Picture:
    """Return the RGB picture (H, W, 3) uint8; raises ``ValueError`` on bytes that are no JPEG.

    A frame of a window that is a picture already, as those stored as H.264 are, stays as it is.
    """
    if isinstance(jpeg, np.ndarray) and jpeg.ndim == 3:
        return jpeg
    data = np.frombuffer(jpeg, np.uint8)
    n_pixels = _claimed_pixels(data.data)
    if n_pixels > MAX_PIXELS:
        raise ValueError(f"a JPEG of {n_pixels} pixels, more than the {MAX_PIXELS} allowed")
    picture = cv2.imdecode(data, _FLAG) if n_pixels else None
    if picture is None:
        raise ValueError(f"{data.size} bytes that are not a whole JPEG picture")
    return cast(Picture, picture if _RGB_FLAG is not None else _swapped(picture))


def _claimed_pixels(jpeg: memoryview) -> int:
    """Return width x height as a JPEG's header tells it, 0 for what is none or has no end."""
    # OpenCV 4 fills up a picture that breaks off, and any OpenCV takes other formats.
    if jpeg[:2] != _JPEG_BEGIN or jpeg[-2:] != _JPEG_END:
        return 0
    return _known_pixels(bytes(jpeg[:_HEADER_BYTES])) or _parse_pixels(jpeg)


@lru_cache(maxsize=256)
def _known_pixels(header: bytes) -> int:
    return _parse_pixels(header)


def _parse_pixels(jpeg: bytes | memoryview) -> int:
    """Return width x height, 0 where the header breaks off or is not in order."""
    at = len(_JPEG_BEGIN)
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] >= 0xC0:
        marker = jpeg[at + 1]
        if marker <= 0xCF and marker not in _NO_SIZE:
            return (jpeg[at + 5] << 8 | jpeg[at + 6]) * (jpeg[at + 7] << 8 | jpeg[at + 8])
        at += 2 + (jpeg[at + 2] << 8 | jpeg[at + 3])
    return 0


def decode_pictures(jpegs: Sequence[Buffer]) -> Picture:
    """Return pictures of one size stacked, (T, H, W, 3) uint8; repeated buffers decode once."""
    first = decode_picture(jpegs[0])
    out = np.empty((len(jpegs), *first.shape), np.uint8)
    seen: dict[int, int] = {}
    for i, jpeg in enumerate(jpegs):
        earlier = seen.setdefault(id(jpeg), i)
        out[i] = out[earlier] if earlier != i else first if i == 0 else decode_picture(jpeg)
    return out


def _swapped(picture: Any) -> Any:
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
