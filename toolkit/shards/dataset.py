"""A whole data set folder: what ``dataset.json`` says, and all shards behind one numbering."""

import os
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolkit.clips import CLIP_LENGTH
from toolkit.errors import ShardError
from toolkit.shards.files import read_json, write_json
from toolkit.shards.manifest import OK, SPLIT_PREFIX, read_manifest
from toolkit.shards.reader import ShardReader, Window
from toolkit.shards.schema import DATASET_FILE, FORMAT_VERSION, MANIFEST_FILE
from toolkit.shards.sidecar import shard_path
from toolkit.skeleton import SkeletonLayout

if TYPE_CHECKING:
    import pandas as pd

# More shards than this give their files back, the longest unused first: file handles are scarce.
_MAX_OPEN = 256
# Of others it stays known what is in them, up to so many bytes in all, in every process that reads:
# the next window may be from any shard, and to look into one takes as long as to decode a window.
_MAX_RESTING_BYTES = 64 * 10**6

# What the manifest must say of every usable sample.
_NUMBERS = ("shard", "shard_row", "label", "n_frames")


@dataclass(frozen=True)
class DatasetInfo:
    """What ``dataset.json`` holds."""

    name: str
    format_version: int
    toolkit_version: str
    fingerprint: str
    parameters: Mapping[str, Any]
    layout: SkeletonLayout
    class_names: tuple[str, ...]
    splits: tuple[str, ...]
    default_split: str
    counts: Mapping[str, int]

    def write(self, folder: Path) -> None:
        """Write ``dataset.json``, whole or not at all."""
        data = {**vars(self), "layout": self.layout.to_dict()}
        write_json(folder / DATASET_FILE, data)


def read_dataset_info(folder: str | os.PathLike[str]) -> DatasetInfo:
    """Read ``dataset.json``; raises ``ShardError`` naming what is missing or of another version."""
    path = Path(folder) / DATASET_FILE
    data = read_json(path, "the description of a ctxtool data set")
    version = data.get("format_version")
    if version != FORMAT_VERSION:
        raise ShardError(path, "format_version", expected=str(FORMAT_VERSION), found=str(version))
    try:
        return DatasetInfo(
            name=str(data["name"]),
            format_version=FORMAT_VERSION,
            toolkit_version=str(data["toolkit_version"]),
            fingerprint=str(data["fingerprint"]),
            parameters=dict(data["parameters"]),
            layout=SkeletonLayout.from_dict(data["layout"]),
            class_names=tuple(map(str, data["class_names"])),
            splits=tuple(map(str, data["splits"])),
            default_split=str(data["default_split"]),
            counts={str(k): int(v) for k, v in data["counts"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ShardError(path, "content", expected="all fields", found=repr(error)) from error


class DatasetReader:
    """All usable samples of a data set folder behind one numbering, in the manifest's order.

    ``len`` is the number of samples with status ok.  Like a single reader it opens late, once per
    process, and may be pickled to workers.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.info = read_dataset_info(self.folder)
        usable = self._read_usable(_NUMBERS)
        numbers = {c: _whole_numbers(self.folder, usable[c]) for c in _NUMBERS}
        self._shard, self._row, self.labels, self.n_frames = (numbers[c] for c in _NUMBERS)
        self._open: OrderedDict[int, ShardReader] = OrderedDict()
        self._resting = _Resting()

    def __enter__(self) -> "DatasetReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        # The manifest, if it was looked at, is read again rather than sent to every worker.
        state = {k: v for k, v in self.__dict__.items() if k != "samples"}
        return state | {"_open": OrderedDict(), "_resting": _Resting()}

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def samples(self) -> "pd.DataFrame":
        """The manifest rows of the usable samples; row i is sample i of this reader."""
        return self._read_usable(None)

    def _read_usable(self, columns: Sequence[str] | None) -> "pd.DataFrame":
        manifest = read_manifest(self.folder, columns and ["status", *columns])
        return manifest[manifest["status"] == OK].reset_index(drop=True)

    def subset(self, split: str, subset: str) -> NDArray[np.intp]:
        """Return the numbers of the samples in a subset, e.g. ``("xsub", "train")``.

        Raises ``ValueError`` naming the splits there are.
        """
        if split not in self.info.splits:
            raise ValueError(f"{self.folder} offers the splits {self.info.splits}, not {split!r}")
        name = SPLIT_PREFIX + split
        column = self._read_usable([name])[name]
        return np.flatnonzero((column == subset).fillna(False).to_numpy(bool))

    def close(self) -> None:
        """Close all shards; they open again on the next access."""
        self._resting = _Resting()
        while self._open:
            self._open.popitem()[1].close()

    def sample(self, sample: int) -> Window:
        """Return all frames of a sample."""
        reader, row = self._locate(sample)
        return reader.sample(row)

    def window(self, sample: int, start: int, length: int = CLIP_LENGTH) -> Window:
        """Return ``length`` frames of a sample from ``start`` on (see ``ShardReader.window``)."""
        reader, row = self._locate(sample)
        return reader.window(row, start, length)

    def clips(self, sample: int) -> list[Window]:
        """Return the 16-frame clips that tile a sample, in order."""
        reader, row = self._locate(sample)
        return [reader.clip(int(clip)) for clip in reader.clips_of(row)]

    def _locate(self, sample: int) -> tuple[ShardReader, int]:
        if not 0 <= sample < len(self):
            raise IndexError(f"{self.folder} has {len(self)} usable samples, no number {sample}")
        reader, row = self._reader(int(self._shard[sample])), int(self._row[sample])
        if not 0 <= row < len(reader) or reader.labels[row] != self.labels[sample]:
            raise ShardError(
                reader.path, f"sample {row}", expected="the manifest's label", found="another"
            )
        return reader, row

    def _reader(self, shard: int) -> ShardReader:
        if shard not in self._open:
            reader = self._resting.take(shard)
            if reader is None:
                reader = ShardReader(shard_path(self.folder, shard))
            self._open[shard] = reader
            if len(self._open) > _MAX_OPEN:
                self._resting.put(*self._open.popitem(last=False))
        self._open.move_to_end(shard)
        return self._open[shard]


class _Resting:
    """Readers whose files are closed; the longest unused are forgotten when all take too much."""

    def __init__(self) -> None:
        self._readers: OrderedDict[int, ShardReader] = OrderedDict()
        self._nbytes = 0

    def put(self, shard: int, reader: ShardReader) -> None:
        reader.rest()
        self._readers[shard] = reader
        self._nbytes += reader.nbytes
        while self._nbytes > _MAX_RESTING_BYTES:
            self._nbytes -= self._readers.popitem(last=False)[1].nbytes

    def take(self, shard: int) -> ShardReader | None:
        reader = self._readers.pop(shard, None)
        if reader is not None:
            self._nbytes -= reader.nbytes
        return reader


def _whole_numbers(folder: Path, column: "pd.Series[Any]") -> NDArray[np.int32]:
    try:
        return column.to_numpy(np.int32)
    except (TypeError, ValueError, OverflowError) as error:
        raise ShardError(
            folder / MANIFEST_FILE, f"column {column.name}", expected="numbers", found=str(error)
        ) from error
