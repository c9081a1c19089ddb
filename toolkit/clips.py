"""How a sample is cut into 16-frame clips: frame numbers only, no data."""

import numpy as np
from numpy.typing import NDArray

CLIP_LENGTH = 16


def tile(n_frames: int, length: int = CLIP_LENGTH) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Cut ``n_frames`` into clips one after the other; return (starts, valid lengths).

    Every frame is in exactly one clip; only the last clip may be shorter than ``length``
    (docs/paper.md O3: it is kept and looped from its own frames).  Raises ``ValueError`` unless
    there is a frame and ``length`` fits a byte.
    """
    if n_frames < 1 or not 1 <= length <= 255:
        raise ValueError(f"cannot cut {n_frames} frames into clips of {length}")
    starts = np.arange(0, n_frames, length, dtype=np.int64)
    return starts, np.minimum(n_frames - starts, length).astype(np.uint8)


def loop(start: int, n_valid: int, length: int = CLIP_LENGTH) -> NDArray[np.int64]:
    """Return ``length`` frame numbers running from ``start`` and over again after ``n_valid``.

    >>> loop(32, 3, 8).tolist()
    [32, 33, 34, 32, 33, 34, 32, 33]
    """
    if n_valid < 1:
        raise ValueError(f"a clip needs at least one valid frame, got {n_valid}")
    return start + np.arange(length, dtype=np.int64) % n_valid
