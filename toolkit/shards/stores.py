"""Where a shard's frames come from: JPEGs one by one, or groups of H.264."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toolkit.aligned import MAX_PIXELS, Codec
from toolkit.errors import ShardError
from toolkit.shards.frames import Frames, JpegFrames
from toolkit.shards.h264 import GROUP_LENGTH, Group, GroupFrames

# The bytes of each of so many frames from the first.
Fetch = Callable[[int, int], list[memoryview]]
Columns = Mapping[str, NDArray[Any]]


class FrameStore(Protocol):
    """Knows which bytes hold a frame."""

    def read(self, first: int, n_frames: int, fetch: Fetch) -> Frames:
        """Return frames of one sample; ``first`` counts on the shard's F axis."""


def open_store(codec: Codec, path: Path, ids: Sequence[str], columns: Columns) -> FrameStore:
    """Return the store of a shard whose tables were checked."""
    if codec == "jpeg":
        return JpegStore()
    return GroupStore(path, ids, columns)


class JpegStore:
    """Frames that are JPEGs one after the other."""

    def read(self, first: int, n_frames: int, fetch: Fetch) -> Frames:
        """Read as ``FrameStore`` says."""
        return JpegFrames(fetch(first, n_frames))


class GroupStore:
    """Frames in groups of 16, counted from each sample's first; the last may be shorter."""

    def __init__(self, path: Path, ids: Sequence[str], columns: Columns) -> None:
        self._path, self._ids = path, ids
        self._rows = columns["sample/row"]
        self._size, self._crc32 = columns["rgb/size"], columns["rgb/crc32"]
        self._first_group = np.concatenate([[0], np.cumsum(count_groups(self._rows))])

    def read(self, first: int, n_frames: int, fetch: Fetch) -> Frames:
        """Read whole groups, as their CRC-32 is one of all their bytes."""
        sample = int(np.searchsorted(self._rows, first, "right")) - 1
        row, end = int(self._rows[sample]), int(self._rows[sample + 1])
        begin = first - (first - row) % GROUP_LENGTH
        n_groups = -((begin - first - n_frames) // GROUP_LENGTH)
        packets = fetch(begin, min(end - begin, n_groups * GROUP_LENGTH))
        width, height = self._size[sample].tolist()
        number = int(self._first_group[sample]) + (begin - row) // GROUP_LENGTH
        groups = [
            Group(
                self._path,
                self._ids[sample],
                begin - row + at,
                (width, height),
                crc32,
                packets[at : at + GROUP_LENGTH],
            )
            for at, crc32 in zip(
                range(0, len(packets), GROUP_LENGTH),
                self._crc32[number : number + n_groups].tolist(),
                strict=True,
            )
        ]
        return GroupFrames(groups, range(first - begin, first - begin + n_frames))


def count_groups(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many groups each sample has, (S,), of ``sample/row``."""
    return -(np.diff(rows) // -GROUP_LENGTH)


def check_frames(path: Path, columns: Columns) -> None:
    """Refuse sizes of pictures that none can have, if any are told."""
    size = columns.get("rgb/size")
    if size is None or not len(size):
        return
    if size.min() < 1 or size.astype(np.int64).prod(1).max() > MAX_PIXELS:
        expected = f"width and height of 1 to {MAX_PIXELS} pixels"
        raise ShardError(path, "rgb/size", expected=expected, found="others")
