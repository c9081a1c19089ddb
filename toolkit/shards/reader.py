"""Shards out: tables, samples, clips and windows of one shard or of a whole data set.

HDF5 says once where each contiguous table lies; after that every read is one ``preadv`` at a
file offset, without HDF5's process-wide lock and safe to share between threads.
"""

import itertools
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from toolkit import clips
from toolkit.bounded import check_regular
from toolkit.errors import ShardError
from toolkit.shards.codec import Picture, decode_pictures
from toolkit.shards.schema import FORMAT_NAME, FORMAT_VERSION, PICTURE_TABLES, Table, tables
from toolkit.skeleton import SkeletonLayout

# A sidecar, of 64 MiB at most, has room for about 60,000 samples: that many of 300 frames stay far
# below all of these.  A sparse file claims any size and takes no room on the disk.
MAX_SHARD_BYTES = 2**39
MAX_SAMPLES = 2**20
MAX_TABLE_BYTES = 2**28
# What is taken into memory when a shard is opened.
_LOADED = (
    "sample/id", "sample/label", "sample/row", "clip/sample", "clip/start", "clip/n_valid",
    "rgb/offset",
)  # fmt: skip


@dataclass(frozen=True)
class Window:
    """Frames of one sample; T frames, 2 bodies, V joints, C channels.

    ``joints`` (T, 2, V, C), ``present`` (T, 2) 0/1, ``tracking`` (T, 2, V), ``pixels``
    (T, 2, V, 2), ``video_index`` and ``drift_s`` (T,); ``jpegs`` holds one buffer a frame, a
    looped frame the same buffer again, and is empty in a skeleton-only data set.
    """

    joints: NDArray[np.float32]
    present: NDArray[np.uint8]
    tracking: NDArray[np.uint8]
    pixels: NDArray[np.float32]
    video_index: NDArray[np.int32]
    drift_s: NDArray[np.float32]
    jpegs: Sequence[memoryview] = ()

    def __len__(self) -> int:
        return len(self.joints)

    def pictures(self) -> Picture:
        """Decode the frames to RGB, (T, H, W, 3) uint8; ``ValueError`` without pictures."""
        if not self.jpegs:
            raise ValueError("this window holds no pictures: the data set is skeleton-only")
        return decode_pictures(self.jpegs)


# Field of a window -> table it is read from.
_FRAME_TABLES = {
    "joints": "skeleton/joints",
    "present": "skeleton/present",
    "tracking": "skeleton/tracking",
    "pixels": "skeleton/pixels",
    "video_index": "frame/video_index",
    "drift_s": "frame/drift_s",
}


class _Place(NamedTuple):
    """Where a table's elements lie in the file."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    row_bytes: int


class _Index(NamedTuple):
    """What is known of a shard after one look: small tables in memory, the rest as places."""

    layout: SkeletonLayout
    places: dict[str, _Place]
    ids: list[str]
    labels: NDArray[np.int32]
    rows: NDArray[np.int64]
    clip_sample: NDArray[np.int32]
    clip_start: NDArray[np.int64]
    clip_n_valid: NDArray[np.uint8]
    jpeg_offset: NDArray[np.int64] | None


class ShardReader:
    """Reads one shard; ``len`` is its number of samples.

    The file is opened on first use, so a reader made in the parent may be pickled to workers; it
    survives a fork, as no read moves a file position.  Raises
    :class:`~toolkit.errors.ShardError` naming file and table when the shard is damaged, of another
    version or refers to other files.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._opened: tuple[int, _Index] | None = None

    def __enter__(self) -> "ShardReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_opened": None}

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; the next access opens it again."""
        opened, self._opened = getattr(self, "_opened", None), None
        if opened is not None:
            os.close(opened[0])

    def __len__(self) -> int:
        return len(self._index.labels)

    @property
    def layout(self) -> SkeletonLayout:
        """The skeleton layout of every sample in the shard."""
        return self._index.layout

    @property
    def has_pictures(self) -> bool:
        """Whether frames were stored beside the skeletons."""
        return self._index.jpeg_offset is not None

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
        return len(self._index.clip_start)

    def clips_of(self, sample: int) -> NDArray[np.intp]:
        """Return the numbers of a sample's clips."""
        return np.flatnonzero(self._index.clip_sample == self._checked(sample))

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
        index = self._index
        if not 0 <= clip < self.n_clips:
            raise IndexError(f"{self.path} has {self.n_clips} clips, no number {clip}")
        return self._read(int(index.clip_start[clip]), int(index.clip_n_valid[clip]), length)

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
            field: _read_rows(self.path, handle, index.places[table], first, n_rows)
            for field, table in _FRAME_TABLES.items()
        }
        jpegs = self._read_jpegs(first, n_rows)
        if n_rows < length:
            order = clips.loop(0, n_rows, length)
            columns = {field: rows[order] for field, rows in columns.items()}
            jpegs = [jpegs[i] for i in order.tolist()] if jpegs else []
        return Window(**columns, jpegs=jpegs)

    def _read_jpegs(self, first: int, n_rows: int) -> list[memoryview]:
        handle, index = self._open()
        if index.jpeg_offset is None:
            return []
        offsets = index.jpeg_offset[first : first + n_rows + 1].tolist()
        base = offsets[0]
        place = index.places["rgb/data"]
        data = _read_rows(self.path, handle, place, base, offsets[-1] - base).data
        return [data[a - base : b - base] for a, b in itertools.pairwise(offsets)]

    @property
    def _index(self) -> _Index:
        return self._open()[1]

    def _open(self) -> tuple[int, _Index]:
        if self._opened is None:
            index = _read_index(self.path)
            self._opened = (os.open(self.path, os.O_RDONLY), index)
        return self._opened


def _read_rows(path: Path, handle: int, place: _Place, first: int, n_rows: int) -> NDArray[Any]:
    rows = np.empty((n_rows, *place.shape[1:]), place.dtype)
    offset = place.offset + first * place.row_bytes
    n_bytes = os.preadv(handle, [rows.data], offset)
    if n_bytes != rows.nbytes:
        raise ShardError(
            path, f"byte {offset}", expected=f"{rows.nbytes} bytes", found=f"{n_bytes} (truncated)"
        )
    return rows


def _read_index(path: Path) -> _Index:
    size = _file_size(path)
    try:
        # A shard has its name only once it is whole: no lock is needed, and some network file
        # systems have none to give.
        with h5py.File(path, "r", locking=False) as file:
            layout = _read_layout(path, file)
            wanted = tables(layout)
            pictures = file.get("rgb", getlink=True) is not None
            present = [n for n in wanted if n not in PICTURE_TABLES or pictures]
            places = {name: _place(path, file, name, wanted[name], size) for name in present}
            index = _load(layout, places, file)
    # What h5py raises on a damaged file depends on where the damage is.
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise ShardError(path, "file", expected="an HDF5 shard", found=str(error)) from error
    _check_counts(path, places, wanted, index)
    return index


def _file_size(path: Path) -> int:
    try:
        info = path.stat()
        check_regular(path, info, MAX_SHARD_BYTES)
        return info.st_size
    except OSError as error:
        raise ShardError(path, "file", expected="a shard", found=str(error.strerror)) from error


def _read_layout(path: Path, file: h5py.File) -> SkeletonLayout:
    found = (_read_attribute(file, "format"), _read_attribute(file, "format_version"))
    if found != (FORMAT_NAME, FORMAT_VERSION):
        wanted = f"{FORMAT_NAME} version {FORMAT_VERSION}"
        raise ShardError(path, "format", expected=wanted, found=f"{found[0]} version {found[1]}")
    try:
        return SkeletonLayout.from_dict(json.loads(_read_attribute(file, "layout") or "{}"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ShardError(path, "layout", expected="a skeleton layout", found=str(error)) from error


def _read_attribute(file: h5py.File, name: str) -> Any:
    """Return a number or text, None where there is none of a fixed size.

    Text of variable size lies behind a pointer that HDF5 follows into a crash when it is damaged.
    """
    if name not in file.attrs:
        return None
    kind = file.attrs.get_id(name)
    if kind.shape != () or kind.dtype.kind not in "iS":
        return None
    value = file.attrs[name]
    return value.decode() if isinstance(value, bytes) else value


def _place(path: Path, file: h5py.File, name: str, table: Table, size: int) -> _Place:
    """Look one table up, refusing everything that could lead outside this file or its end."""
    for step in (name.partition("/")[0], name):
        link = file.get(step, getlink=True)
        if not isinstance(link, h5py.HardLink):
            found = type(link).__name__ if link else "nothing"
            raise ShardError(path, step, expected="a table in this file", found=found)
    data = file[name]
    if not isinstance(data, h5py.Dataset):
        raise ShardError(path, name, expected="a table", found=type(data).__name__)
    if data.chunks is not None or data.external or data.is_virtual:
        raise ShardError(path, name, expected="a contiguous table", found="another storage")
    kind_fits = data.dtype.kind == "S" if table.dtype == "S" else data.dtype == table.dtype
    if not kind_fits or data.ndim != 1 + len(table.rest) or data.shape[1:] != table.rest:
        wanted = f"{table.dtype} (n, {', '.join(map(str, table.rest))})"
        raise ShardError(path, name, expected=wanted, found=f"{data.dtype} {data.shape}")
    row_bytes = data.dtype.itemsize * math.prod(table.rest)
    # Counted here: h5py counts in 64 bits, where 2**61 rows of 8 bytes are none.
    n_bytes = data.shape[0] * row_bytes
    offset = data.id.get_offset() if n_bytes else 0
    if offset is None or offset + n_bytes > size:
        raise ShardError(path, name, expected=f"{n_bytes} bytes", found="the file's end before")
    if name in _LOADED:
        _check_loadable(path, name, data.shape[0], n_bytes)
    return _Place(offset, data.dtype, data.shape, row_bytes)


def _check_loadable(path: Path, name: str, n_rows: int, n_bytes: int) -> None:
    if name == "sample/id" and n_rows > MAX_SAMPLES:
        expected, found = f"at most {MAX_SAMPLES} samples", str(n_rows)
    elif n_bytes > MAX_TABLE_BYTES:
        expected, found = f"at most {MAX_TABLE_BYTES} bytes", str(n_bytes)
    else:
        return
    raise ShardError(path, name, expected=expected, found=found)


def _load(layout: SkeletonLayout, places: dict[str, _Place], file: h5py.File) -> _Index:
    return _Index(
        layout=layout,
        places=places,
        ids=[name.decode() for name in file["sample/id"][()].tolist()],
        labels=file["sample/label"][()],
        rows=file["sample/row"][()],
        clip_sample=file["clip/sample"][()],
        clip_start=file["clip/start"][()],
        clip_n_valid=file["clip/n_valid"][()],
        jpeg_offset=file["rgb/offset"][()] if "rgb/offset" in places else None,
    )


def _check_counts(
    path: Path, places: dict[str, _Place], wanted: dict[str, Table], index: _Index
) -> None:
    """Refuse tables that disagree with one another before any of them is used as an index."""
    F = places["frame/video_index"].shape[0]
    counts = {"S": len(index.labels), "K": len(index.clip_start), "F": F}
    counts |= {"S+1": counts["S"] + 1, "F+1": F + 1}
    for name, place in places.items():
        expected = counts.get(wanted[name].first, place.shape[0])
        if place.shape[0] != expected:
            raise ShardError(path, name, expected=f"{expected} rows", found=str(place.shape[0]))
    _check_boundaries(path, "sample/row", index.rows, F)
    if index.jpeg_offset is not None:
        _check_boundaries(path, "rgb/offset", index.jpeg_offset, places["rgb/data"].shape[0])
    _check_clips(path, index)


def _check_boundaries(path: Path, name: str, bounds: NDArray[np.int64], end: int) -> None:
    if bounds[0] != 0 or bounds[-1] != end or np.any(bounds[1:] <= bounds[:-1]):
        raise ShardError(path, name, expected=f"boundaries rising from 0 to {end}", found="others")


def _check_clips(path: Path, index: _Index) -> None:
    sample, start = index.clip_sample, index.clip_start
    if len(sample) and (sample.min() < 0 or sample.max() >= len(index.labels)):
        raise ShardError(path, "clip/sample", expected="samples of this shard", found="others")
    last = index.rows[sample + 1] - index.clip_n_valid
    outside = (start < index.rows[sample]) | (start > last)
    if np.any(outside) or np.any(index.clip_n_valid == 0):
        raise ShardError(path, "clip/start", expected="clips inside their samples", found="others")
