"""Context features computed beforehand, read in place of pictures: one HDF5 file for a data set.

- attributes ``format`` = "ctxtool-context", ``format_version`` = 1, ``frames_per_row`` = s
- ``sample/id`` (S,) names samples of the data set, ``sample/row`` int64 (S+1,) their rows
- ``data`` float16 or float32 (R, k, m): k vectors of m channels; row j of a sample describes its
  frames s j to s j + s - 1, so a sample of n frames has ceil(n / s) rows

Any network may fill it; :func:`write_context_file` does from arrays.
"""

import itertools
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from toolkit.shards import DatasetReader, ShardError
from toolkit.shards.files import write_atomically

FORMAT_NAME = "ctxtool-context"
FORMAT_VERSION = 1
_CHUNK_BYTES = 1 << 16
# What a file may make a reader take into memory at once; ours are far below.
_MAX_CHUNK_BYTES = 1 << 26
_MAX_INDEX_BYTES = 1 << 30


def write_context_file(
    path: str | os.PathLike[str],
    features: Iterable[tuple[str, NDArray[np.floating]]],
    frames_per_row: int = 1,
) -> None:
    """Write (sample id, features (rows, k, m)) pairs, in float16 if they come so, else float32.

    The file gets its name only when it is whole.  Raises ``ValueError`` naming a sample that comes
    twice, or whose features are of another shape than those before or no finite numbers.
    """
    if frames_per_row < 1:
        raise ValueError(f"frames_per_row must be at least 1, got {frames_per_row}")
    write_atomically(Path(path), lambda aside: _write(aside, features, frames_per_row))


def _write(
    path: Path, features: Iterable[tuple[str, NDArray[np.floating]]], frames_per_row: int
) -> None:
    ids: dict[bytes, None] = {}
    rows = [0]
    with h5py.File(path, "w") as file:
        for name, values in features:
            data = file["data"] if ids else _create(file, name, values)
            if values.ndim != 3 or values.shape[1:] != data.shape[1:]:
                raise ValueError(
                    f"features of sample {name} are {values.shape}, not (n, k, m) with"
                    f" (k, m) = {data.shape[1:]}"
                )
            _check_numbers(name, values, data.dtype)
            if name.encode() in ids:
                raise ValueError(f"sample {name} has features twice")
            ids[name.encode()] = None
            rows.append(rows[-1] + len(values))
            data.resize(rows[-1], axis=0)
            data[rows[-2] :] = values
        if not ids:
            raise ValueError("a context file needs the features of at least one sample")
        file["sample/id"] = np.array(list(ids), "S")
        file["sample/row"] = np.array(rows, np.int64)
        file.attrs["format"] = FORMAT_NAME
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["frames_per_row"] = frames_per_row


def _create(file: h5py.File, name: str, values: NDArray[np.floating]) -> h5py.Dataset:
    if values.ndim != 3 or 0 in values.shape:
        raise ValueError(f"features of sample {name} must be (rows, k, m), got {values.shape}")
    dtype = np.dtype(np.float16 if values.dtype == np.float16 else np.float32)
    row = values.shape[1:]
    n_rows = max(_CHUNK_BYTES // (dtype.itemsize * row[0] * row[1]), 1)
    return file.create_dataset(
        "data", shape=(0, *row), maxshape=(None, *row), chunks=(n_rows, *row), dtype=dtype
    )


def _check_numbers(name: str, values: NDArray[np.floating], dtype: np.dtype[Any]) -> None:
    """Refuse what a training would stop at, after hours: NaN, and what is too large to be kept."""
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(~np.isfinite(values.astype(dtype)).all((1, 2)))
    if bad.size:
        raise ValueError(
            f"features of sample {name} must be finite numbers that fit {dtype}; those of"
            f" {bad.size} rows are not, the first is row {bad[0]}"
        )


class ContextFile:
    """Features of the samples of a data set; opens late, once a process, and may be pickled.

    ``shape`` is (k, m).  Raises ``ShardError`` naming what is wrong, also when a sample of
    ``samples`` (numbers in ``reader``) is missing or has another number of rows than its frames
    ask for.
    """

    def __init__(
        self, path: str | os.PathLike[str], reader: DatasetReader, samples: Sequence[int]
    ) -> None:
        self.path = Path(path)
        self._opened: tuple[int, h5py.File] | None = None
        names = reader.samples["sample_id"].to_numpy(str)
        self._first_row: dict[int, int] = {}
        file = self._file()
        try:
            self.frames_per_row, rows = self._read_index(file)
            self.shape: tuple[int, int] = file["data"].shape[1:]
        finally:
            self.close()
        for sample in samples:
            first, end = rows.get(names[sample], (0, 0))
            wanted = -(-int(reader.n_frames[sample]) // self.frames_per_row)
            if end - first != wanted:
                place = f"sample {names[sample]}"
                raise self._error(place, f"{wanted} rows of features", str(end - first))
            self._first_row[int(sample)] = first

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}

    def close(self) -> None:
        """Let go of the file; the next access opens it again."""
        opened, self._opened = self._opened, None
        if opened is not None and opened[0] == os.getpid():
            opened[1].close()

    def places(self, length: int) -> NDArray[np.intp]:
        """Return which frames of a clip lend it their rows: the middle one of every s frames."""
        s = self.frames_per_row
        return np.minimum(np.arange(0, length, s) + s // 2, length - 1)

    def read(self, sample: int, frames: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the features that describe each of the given frames, (n, k, m).

        Raises ``ShardError`` naming the sample's rows if they are no finite numbers, or unreadable.
        """
        rows = frames // self.frames_per_row
        first = int(rows.min())
        start = self._first_row[sample] + first
        place, expected = f"rows {first} to {int(rows.max())}", "finite numbers that can be read"
        try:
            block = self._file()["data"][start : start + int(rows.max()) - first + 1]
        except OSError as error:
            raise self._error(place, expected, str(error)) from error
        if not np.isfinite(block).all():
            raise self._error(place, expected, "others")
        return block[rows - first].astype(np.float32)

    def _file(self) -> h5py.File:
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                self._opened = (os.getpid(), h5py.File(self.path, "r"))
            except OSError as error:
                raise self._error("file", "an HDF5 file of context features", str(error)) from error
        return self._opened[1]

    def _read_index(self, file: h5py.File) -> tuple[int, dict[str, tuple[int, int]]]:
        format_ = (file.attrs.get("format"), file.attrs.get("format_version"))
        if format_ != (FORMAT_NAME, FORMAT_VERSION):
            wanted = f"{FORMAT_NAME} version {FORMAT_VERSION}"
            raise self._error("format", wanted, f"{format_[0]} version {format_[1]}")
        try:
            names = [name.decode() for name in self._table(file, "sample/id", "S", 1)[()]]
            bounds = self._table(file, "sample/row", "iu", 1)[()]
            n_rows = len(self._table(file, "data", "f", 3))
            s = int(file.attrs["frames_per_row"])
        except (KeyError, TypeError, OSError, ValueError, OverflowError) as error:
            raise self._error("content", "all tables, readable", repr(error)) from error
        if s < 1 or len(bounds) != len(names) + 1 or len(set(names)) != len(names):
            found = f"{len(names)} ids, {len(bounds)} boundaries, {s} frames per row"
            raise self._error("content", "tables that fit", found)
        if bounds[0] != 0 or bounds[-1] != n_rows or (bounds[1:] < bounds[:-1]).any():
            raise self._error("sample/row", f"rising numbers from 0 to {n_rows}", "others")
        return s, dict(zip(names, itertools.pairwise(bounds.tolist()), strict=True))

    def _table(self, file: h5py.File, name: str, kinds: str, n_axes: int) -> h5py.Dataset:
        """Return a table that lies in this very file and is of the kind and size expected."""
        steps = itertools.accumulate(name.split("/"), "{}/{}".format)
        if any(type(file.get(step, getlink=True)) is not h5py.HardLink for step in steps):
            raise self._error(name, "a table in this file", "nothing, or a link elsewhere")
        table = file[name]
        if not isinstance(table, h5py.Dataset) or table.external or table.is_virtual:
            raise self._error(name, "a table in this file", "a group, or data elsewhere")
        if table.dtype.kind not in kinds or table.ndim != n_axes or 0 in table.shape[1:]:
            expected = f"{n_axes} axes of kind {kinds!r}"
            raise self._error(name, expected, f"{table.shape} of {table.dtype}")
        at_once, limit = table.nbytes, _MAX_INDEX_BYTES
        if name == "data":
            row = table.chunks or (1, *table.shape[1:])
            at_once, limit = math.prod(row) * table.dtype.itemsize, _MAX_CHUNK_BYTES
        if at_once > limit:
            raise self._error(name, f"at most {limit} bytes at once", str(at_once))
        return table

    def _error(self, place: str, expected: str, found: str) -> ShardError:
        return ShardError(self.path, place, expected=expected, found=found)
