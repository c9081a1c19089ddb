"""Samples taken over from the shards of an earlier extraction: copied, never decoded again."""

from pathlib import Path
from typing import Any

import numpy as np

from toolkit.build.extract import AddPicture, Extracted
from toolkit.build.plan import PlannedSample
from toolkit.errors import ShardError
from toolkit.shards.reader import ShardReader, Window
from toolkit.shards.sidecar import read_sidecar
from toolkit.shards.writer import AlignedSample
from toolkit.skeleton import SkeletonLayout, SkeletonSequence

# What a manifest row says of the recording itself, whoever's shard it lies in.
_CARRIED = ("fps", "video_frames", "max_drift_ms", "width", "height", "n_bodies", "detail")


class ShardSource:
    """Reads planned samples whose pose "file" is a finished shard; keeps one shard open."""

    def __init__(self) -> None:
        self._path = Path()
        self._reader: ShardReader | None = None
        self._columns: dict[str, dict[str, Any]] = {}
        self._places: dict[str, int] = {}

    def extract(self, planned: PlannedSample, add_picture: AddPicture) -> Extracted:
        """Copy a sample's frames and what its manifest row says of them."""
        reader = self._open(Path(planned.poses.path))
        if planned.sample_id not in self._places:
            raise ShardError(reader.path, "sample/id", expected=planned.sample_id, found="others")
        window = reader.sample(self._places[planned.sample_id])
        for jpeg in window.jpegs:
            add_picture(bytes(jpeg))
        columns = dict(self._columns[planned.sample_id])
        detail = columns.pop("detail", "")
        sample = AlignedSample(
            planned.sample_id,
            planned.label,
            _to_sequence(window, reader.layout),
            window.video_index,
            window.drift_s,
        )
        return Extracted(sample, columns, [detail] if detail else [])

    def _open(self, path: Path) -> ShardReader:
        if self._reader is None or path != self._path:
            if self._reader is not None:
                self._reader.close()
            sidecar = read_sidecar(path.parents[1], int(path.stem))
            self._columns = {
                row["sample_id"]: {k: row[k] for k in _CARRIED if k in row} for row in sidecar.rows
            }
            self._path, self._reader = path, ShardReader(path)
            self._places = {name: i for i, name in enumerate(self._reader.sample_ids)}
        return self._reader


def _to_sequence(window: Window, layout: SkeletonLayout) -> SkeletonSequence:
    n_frames, n_bodies = window.present.shape
    return SkeletonSequence(
        layout=layout,
        joints=window.joints,
        present=window.present.astype(bool),
        times=np.arange(n_frames, dtype=np.float64),
        pixels=window.pixels,
        body_ids=np.full(n_bodies, -1, np.int64),
        tracking=window.tracking,
    )
