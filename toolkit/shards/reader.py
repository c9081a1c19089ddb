"""Shards out: tables, samples, clips and windows of one shard or of a whole data set.

HDF5 says once where each contiguous table lies; after that every read is one ``preadv`` at a
file offset, without HDF5's process-wide lock and safe to share between threads.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit import clips
from toolkit.shards.codec import Buffer, Picture
from toolkit.shards.frames import NO_FRAMES, Frames
from toolkit.shards.index import Index, check_clips, open_again, open_shard
from toolkit.shards.places import read_frames, read_rows
from toolkit.skeleton import SkeletonLayout


@dataclass(frozen=True)
class Window:
    """Frames of one sample; T frames, 2 bodies, V joints, C channels.

    ``joints`` (T, 2, V, C), ``present`` (T, 2) 0/1, ``tracking`` (T, 2, V), ``pixels``
    (T, 2, V, 2), ``video_index`` and ``drift_s`` (T,); ``frames`` holds for each frame what
    ``decode_picture`` takes, for a looped frame the same again, and is empty in a skeleton-only
    data set.
    """

    joints: NDArray[np.float32]
    present: NDArray[np.uint8]
    tracking: NDArray[np.uint8]
    pixels: NDArray[np.float32]
    video_index: NDArray[np.int32]
    drift_s: NDArray[np.float32]
    frames: Frames = NO_FRAMES

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def jpegs(self) -> Sequence[Buffer]:
        """Each frame as a JPEG: those stored, or made anew where H.264 is stored."""
        return self.frames.jpegs

    def pictures(self) -> Picture:
        """Decode the frames to RGB, (T, H, W, 3) uint8; ``ValueError`` without pictures."""
        if not self.frames:
            raise ValueError("this window holds no pictures: the data set is skeleton-only")
        return self.frames.decode()


# Field of a window -> table it is read from.
_FRAME_TABLES = {
    "joints": "skeleton/joints",
    "present": "skeleton/present",
    "tracking": "skeleton/tracking",
    "pixels": "skeleton/pixels",
    "video_index": "frame/video_index",
    "drift_s": "frame/drift_s",
}
_CLIP_TABLES = ("clip/sample", "clip/start", "clip/n_valid")


class ShardReader:
    """Reads one shard; ``len`` is its number of samples.

    The file is opened on first use, so a reader made in the parent may be pickled to workers; it
    survives a fork, as no read moves a file position.  Raises
    :class:`~toolkit.errors.ShardError` naming file and table when the shard is damaged, of another
    version or refers to other files.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._opened: tuple[int, Index] | None = None
        self._known: Index | None = None

    def __enter__(self) -> "ShardReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_opened": None, "_known": None}

    def __del__(self) -> None:
        self.rest()

    def close(self) -> None:
        """Let go of the file; the next access opens it again."""
        self.rest()
        self._known = None

    def rest(self) -> None:
        """Let go of the file only; the next access looks into it again if it has changed."""
        opened, self._opened = getattr(self, "_opened", None), None
        if opened is not None:
            os.close(opened[0])

    @property
    def nbytes(self) -> int:
        """About how many bytes of memory are held while it rests; 0 before the first access."""
        return 0 if self._known is None else self._known.nbytes

    def __len__(self) -> int:
        return len(self._index.labels)

    @property
    def layout(self) -> SkeletonLayout:
        """The skeleton layout of every sample in the shard."""
        return self._index.layout

    @property
    def has_pictures(self) -> bool:
        """Whether frames were stored beside the skeletons."""
        return self._index.store is not None

    @property
    def sample_ids(self) -> list[str]:
        """The ids, in stored order."""
        return self._index.ids

    @property
    def labels(self) -> NDArray[np.int32]:
        """The class of each sample, (S,)."""
        return self._index.labels

    @property
    def n_frames(self) -> NDArray[np.int64]:
        """The number of frames of each sample, (S,)."""
        return np.diff(self._index.rows)

    @property
    def n_clips(self) -> int:
        """How many clips the shard lists, over all samples."""
        return self._index.places["clip/start"].shape[0]

    def clips_of(self, sample: int) -> NDArray[np.intp]:
        """Return the numbers of a sample's clips."""
        handle, index = self._open()
        listed = read_rows(self.path, handle, index.places["clip/sample"], 0, self.n_clips)
        return np.flatnonzero(listed == self._checked(sample))

    def sample(self, sample: int) -> Window:
        """Return all frames of a sample."""
        first, end = self._bounds(sample)
        return self._read(first, end - first, end - first)

    def window(self, sample: int, start: int, length: int = clips.CLIP_LENGTH) -> Window:
        """Return ``length`` consecutive frames from ``start``, counted within the sample.

        A sample shorter than ``length`` loops (docs/paper.md O2) and is read from ``start`` 0.
        Raises ``IndexError`` when the window leaves the sample.
        """
        first, end = self._bounds(sample)
        n_valid = min(length, end - first)
        if not 0 <= start <= end - first - n_valid:
            raise IndexError(
                f"sample {sample} has {end - first} frames: no {length} frames from {start}"
            )
        return self._read(first + start, n_valid, length)

    def clip(self, clip: int, length: int = clips.CLIP_LENGTH) -> Window:
        """Return one listed clip, a short last one looped from its own valid frames."""
        if not 0 <= clip < self.n_clips:
            raise IndexError(f"{self.path} has {self.n_clips} clips, no number {clip}")
        listed = self._clip_columns(clip)
        return self._read(int(listed["clip/start"][0]), int(listed["clip/n_valid"][0]), length)

    def _clip_columns(self, clip: int) -> dict[str, NDArray[Any]]:
        """Read and check one clip; kept of thousands of shards all would fill the memory."""
        handle, index = self._open()
        columns = {
            name: read_rows(self.path, handle, index.places[name], clip, 1) for name in _CLIP_TABLES
        }
        check_clips(self.path, {"sample/row": index.rows, **columns})
        return columns

    def _checked(self, sample: int) -> int:
        if not 0 <= sample < len(self):
            raise IndexError(f"{self.path} has {len(self)} samples, no number {sample}")
        return sample

    def _bounds(self, sample: int) -> tuple[int, int]:
        rows = self._index.rows
        self._checked(sample)
        return int(rows[sample]), int(rows[sample + 1])

    def _read(self, first: int, n_valid: int, length: int) -> Window:
        """Read ``length`` frames from ``first``, over again after ``n_valid``."""
        if length < 1:
            raise ValueError(f"a window needs at least one frame, got {length}")
        handle, index = self._open()
        n_rows = min(n_valid, length)
        columns = {
            field: read_rows(self.path, handle, index.places[table], first, n_rows)
            for field, table in _FRAME_TABLES.items()
        }
        frames = self._read_frames(first, n_rows)
        if n_rows < length:
            order = clips.loop(0, n_rows, length)
            columns = {field: rows[order] for field, rows in columns.items()}
            frames = frames.take(order.tolist()) if frames else frames
        return Window(**columns, frames=frames)

    def _read_frames(self, first: int, n_frames: int) -> Frames:
        handle, index = self._open()
        if index.store is None:
            return NO_FRAMES

        def fetch(begin: int, n_stored: int) -> list[memoryview]:
            return read_frames(self.path, handle, index.places, begin, n_stored)

        return index.store.read(first, n_frames, fetch)

    @property
    def _index(self) -> Index:
        return self._open()[1]

    def _open(self) -> tuple[int, Index]:
        if self._opened is None:
            known, handle = self._known, None
            if known is not None:
                handle = open_again(self.path, known)
            if known is None or handle is None:
                handle, known = open_shard(self.path)
            if self._opened is None:
                self._opened, self._known = (handle, known), known
            else:
                # Another thread was faster.
                os.close(handle)
        return self._opened
