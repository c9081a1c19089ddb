"""Samples in, one shard file out: contiguous tables, the same bytes for the same samples."""

import itertools
import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from toolkit import clips
from toolkit.aligned import AlignedSample, Codec
from toolkit.shards.files import flush_to_disk, naming
from toolkit.shards.h264 import GROUP_LENGTH
from toolkit.shards.schema import (
    FORMAT_NAME,
    SHARD_VERSIONS,
    picture_tables,
    tables,
)
from toolkit.shards.stops import hold_stops_back, raise_stops
from toolkit.skeleton import SkeletonLayout

_COPY_BLOCK = 1 << 22


@dataclass(frozen=True)
class Coding:
    """How the pictures handed to a writer were compressed, and by what."""

    codec: Codec = "jpeg"
    encoder: str = ""


class ShardWriter:
    """Collects samples and writes them on :meth:`close`; use it as a context manager.

    Pictures go to a temporary file beside the shard as they come, so memory stays flat whatever
    the length of the videos.  Nothing has the shard's own name before the caller renames it::

        with ShardWriter(path, layout, pictures=True) as writer:
            with writer.sample_pictures() as add:       # dropped again if the block raises
                add(jpeg)
            writer.add(sample)

    With another ``coding`` than JPEG what is added is each frame's part of the stream, and every
    sample's stream begins anew.
    """

    def __init__(
        self, path: Path, layout: SkeletonLayout, *, pictures: bool, coding: Coding = Coding()
    ) -> None:
        self.path, self.layout, self.pictures = path, layout, pictures
        self.coding = coding if pictures else Coding()
        self._samples: list[AlignedSample] = []
        self._spool = _Spool(path.with_suffix(".pictures"))

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.path.unlink(missing_ok=True)
            self._spool.remove()

    @contextmanager
    def sample_pictures(self) -> Iterator["_Spool"]:
        """Take in the pictures of one sample; they are forgotten if the block raises."""
        mark = self._spool.n_pictures
        try:
            yield self._spool
        except BaseException:
            self._spool.rewind(mark)
            raise

    def add(self, sample: AlignedSample) -> None:
        """Add a sample whose pictures, if any, are already taken in."""
        if sample.poses.layout != self.layout:
            raise ValueError(
                f"sample {sample.sample_id}: layout {sample.poses.layout.name} in a shard of"
                f" {self.layout.name}"
            )
        if self.coding.codec == "h264" and min(sample.picture_size) < 1:
            raise ValueError(f"sample {sample.sample_id}: pictures of {sample.picture_size}")
        n_frames = sum(len(s.poses) for s in (*self._samples, sample))
        if self.pictures and self._spool.n_pictures != n_frames:
            raise ValueError(
                f"sample {sample.sample_id}: {n_frames} frames so far but"
                f" {self._spool.n_pictures} pictures"
            )
        self._samples.append(sample)

    def close(self) -> None:
        """Write the file and flush it to the disk; ``OSError`` names it where that fails."""
        columns = _columns(self._samples, self.layout)
        try:
            # An exception raised inside HDF5's calls comes out of it as an error of its own.
            with hold_stops_back() as waiting, _Disk(self.path) as disk:
                self._write(disk, columns)
            raise_stops(waiting)
            flush_to_disk(self.path)
        finally:
            self._spool.remove()

    def _write(self, disk: "_Disk", columns: dict[str, NDArray[np.generic]]) -> None:
        # The oldest file layout has no time stamps or free-space pages: equal in, equal out.
        with h5py.File(disk, "w", libver="earliest") as file:
            layout = json.dumps(self.layout.to_dict(), sort_keys=True)
            # Text of fixed size: HDF5 itself crashes on damaged text of variable size.
            file.attrs["format"] = np.bytes_(FORMAT_NAME)
            file.attrs["format_version"] = SHARD_VERSIONS[self.coding.codec]
            file.attrs["layout"] = np.bytes_(layout)
            for name, table in tables(self.layout).items():
                if name in columns:
                    dtype = columns[name].dtype if table.dtype == "S" else table.dtype
                    file.create_dataset(name, data=columns[name], dtype=dtype)
            if self.pictures:
                self._spool.copy_to(file)
            if self.coding.codec == "h264":
                self._write_groups(file, columns["sample/row"])

    def _write_groups(self, file: h5py.File, rows: NDArray[np.generic]) -> None:
        file.attrs["codec"] = np.bytes_(self.coding.codec)
        file.attrs["encoder"] = np.bytes_(self.coding.encoder.encode())
        begins = [
            frame
            for row, end in itertools.pairwise(rows.tolist())
            for frame in range(row, end, GROUP_LENGTH)
        ]
        columns = {
            "rgb/size": [sample.picture_size for sample in self._samples],
            "rgb/crc32": self._spool.crcs([*begins, self._spool.n_pictures]),
        }
        for name, column in columns.items():
            table = picture_tables("h264")[name]
            data = np.array(column, table.dtype).reshape(-1, *table.rest)
            file.create_dataset(name, data=data)


class _Disk:
    """The file that HDF5 writes to; what fails there is raised when HDF5 is done.

    HDF5 that is told of a full disk ends the whole process with a segmentation fault.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._error: OSError | None = None

    def __enter__(self) -> "_Disk":
        self._file = self._path.open("w+b", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._file.close()
        # HDF5 may stumble over what could not be written: then this is why.
        if self._error is not None and (kind is None or issubclass(kind, Exception)):
            raise OSError(self._error.errno, self._error.strerror, str(self._path)) from error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size) or b""

    def readinto(self, block: memoryview) -> int:
        return self._file.readinto(block) or 0

    def write(self, block: memoryview) -> int:
        """Write all of a block, or nothing any more once something failed."""
        rest = memoryview(block).cast("B")
        try:
            while self._error is None and len(rest):
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._error = error
        return len(block)

    def truncate(self, size: int) -> int:
        try:
            if self._error is None:
                self._file.truncate(size)
        except OSError as error:
            self._error = error
        return size

    def flush(self) -> None:
        """Do nothing: there is no buffer, and ``flush_to_disk`` comes at the end."""


class _Spool:
    """Pictures waiting on disk for their number to be known."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._ends: list[int] = [0]

    @property
    def n_pictures(self) -> int:
        return len(self._ends) - 1

    def __call__(self, jpeg: bytes) -> None:
        if self._file is None:
            self._file = self._path.open("w+b")
        with naming(self._path):
            self._file.write(jpeg)
        self._ends.append(self._ends[-1] + len(jpeg))

    def rewind(self, n_pictures: int) -> None:
        del self._ends[n_pictures + 1 :]
        if self._file is not None:
            with naming(self._path):
                self._file.seek(self._ends[-1])
                self._file.truncate()

    def copy_to(self, file: h5py.File) -> None:
        n_bytes = self._ends[-1]
        file.create_dataset("rgb/offset", data=np.array(self._ends, "<i8"))
        data = file.create_dataset("rgb/data", shape=(n_bytes,), dtype="|u1")
        if self._file is None:
            return
        with naming(self._path):
            self._file.seek(0)
        for start in range(0, n_bytes, _COPY_BLOCK):
            block = self._file.read(min(_COPY_BLOCK, n_bytes - start))
            data[start : start + len(block)] = np.frombuffer(block, np.uint8)

    def crcs(self, bounds: Sequence[int]) -> list[int]:
        """Return the CRC-32 of the bytes of the pictures from each bound up to the next."""
        if self._file is None:
            return []
        self._file.seek(0)
        return [
            zlib.crc32(self._file.read(self._ends[end] - self._ends[begin]))
            for begin, end in itertools.pairwise(bounds)
        ]

    def remove(self) -> None:
        if self._file is None:
            return
        try:
            with naming(self._path):  # Where the disk is full, what is left to write fails here.
                self._file.close()
        finally:
            self._path.unlink(missing_ok=True)


def _columns(
    samples: Sequence[AlignedSample], layout: SkeletonLayout
) -> dict[str, NDArray[np.generic]]:
    lengths = np.array([len(s.poses) for s in samples], np.int64)
    rows = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    cut = [clips.tile(int(n)) for n in lengths]
    wanted = tables(layout)

    def frames(name: str, parts: list[NDArray[Any]]) -> NDArray[np.generic]:
        table = wanted[name]
        empty = np.zeros((0, *table.rest), table.dtype)
        return np.concatenate([empty, *parts], dtype=np.dtype(table.dtype), casting="same_kind")

    return {
        "sample/id": np.array([s.sample_id.encode() for s in samples], "S" if samples else "S1"),
        "sample/row": rows,
        "sample/label": np.array([s.label for s in samples], "<i4"),
        "clip/sample": np.repeat(np.arange(len(samples)), [len(c[0]) for c in cut]),
        "clip/start": frames("clip/start", [c[0] + row for c, row in zip(cut, rows, strict=False)]),
        "clip/n_valid": frames("clip/n_valid", [c[1] for c in cut]),
        "frame/video_index": frames("frame/video_index", [s.video_index for s in samples]),
        "frame/drift_s": frames("frame/drift_s", [s.drift_s for s in samples]),
        "skeleton/joints": frames("skeleton/joints", [s.poses.joints for s in samples]),
        "skeleton/present": frames(
            "skeleton/present", [s.poses.present.view(np.uint8) for s in samples]
        ),
        "skeleton/tracking": frames("skeleton/tracking", [s.poses.tracking for s in samples]),
        "skeleton/pixels": frames("skeleton/pixels", [s.poses.pixels for s in samples]),
    }
