"""Samples taken over from the shards of an earlier extraction: copied, never decoded again."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit.aligned import AlignedSample
from toolkit.build.extracted import AddPicture, Extracted
from toolkit.build.options import BuildOptions
from toolkit.build.planned import PlannedSample
from toolkit.datasets.kinetics import read_class_names
from toolkit.errors import DataNotFoundError, ShardError
from toolkit.samples import DataSet, Sample
from toolkit.shards.dataset import read_dataset_info
from toolkit.shards.files import sha256_of
from toolkit.shards.manifest import OK, SPLIT_PREFIX, read_manifest
from toolkit.shards.reader import ShardReader, Window
from toolkit.shards.schema import DATASET_FILE
from toolkit.shards.sidecar import read_sidecar, shard_path
from toolkit.skeleton import SkeletonLayout, SkeletonSequence

# What a manifest row says of the recording itself, whoever's shard it lies in.
_CARRIED = ("fps", "video_frames", "max_drift_ms", "width", "height", "n_bodies", "detail")


def regroup_options(extraction: Path, samples_per_shard: int) -> BuildOptions:
    """Return the options of samples copied from an extraction: those they were made with."""
    made_with = dict(read_dataset_info(extraction).parameters)
    made_with |= {"source": "shards", "samples_per_shard": samples_per_shard}
    try:
        return BuildOptions(**made_with)
    except TypeError as error:
        path = extraction / DATASET_FILE
        raise ShardError(path, "parameters", expected="build options", found=str(error)) from error


def list_kinetics_motion(extraction: Path) -> DataSet:
    """List the Kinetics-Motion samples of a finished Kinetics extraction, failed ones included.

    Raises ``ShardError`` when the folder is no finished extraction, ``DataNotFoundError`` when it
    holds none of the 30 classes.
    """
    info = read_dataset_info(extraction)
    names = read_class_names(motion_only=True)
    labels = {name: label for label, name in enumerate(names)}
    manifest = read_manifest(extraction)
    wanted = manifest[manifest["label_name"].isin(names)]
    samples = tuple(
        _taken_over(row, labels, extraction, info.splits) for row in wanted.to_dict("records")
    )
    if not samples:
        raise DataNotFoundError(f"{extraction} ({info.name}) holds no class of Kinetics-Motion")
    return DataSet("kinetics-motion", info.layout, names, info.splits, info.default_split, samples)


def _taken_over(
    row: Mapping[Hashable, Any], labels: Mapping[str, int], extraction: Path, splits: Sequence[str]
) -> Sample:
    usable = row["status"] == OK
    subsets = {split: row[SPLIT_PREFIX + split] for split in splits}
    return Sample(
        sample_id=row["sample_id"],
        label=labels[row["label_name"]],
        label_name=row["label_name"],
        subsets={split: str(subset) for split, subset in subsets.items() if not pd.isna(subset)},
        poses=shard_path(extraction, int(row["shard"])) if usable else None,
        facts=_facts_of(row),
        reason=None if usable else str(row["status"]),
        detail="" if usable else str(row["detail"]),
    )


def _facts_of(row: Mapping[Hashable, Any]) -> dict[str, int | str]:
    """Keep what the name told, and where the raw files were: ``poses`` is now a shard."""
    facts = {name: row[name] for name in ("youtube_id", "source_label") if name in row}
    return facts | {"raw_poses": row["poses"], "raw_video": row["video"]}


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
        for stored in window.frames.stored:
            add_picture(bytes(stored))
        columns = dict(self._columns[planned.sample_id])
        detail = columns.pop("detail", "")
        sample = AlignedSample(
            planned.sample_id,
            planned.label,
            _to_sequence(window, reader.layout),
            window.video_index,
            window.drift_s,
            picture_size=(columns.get("width", 0), columns.get("height", 0)),
        )
        return Extracted(sample, columns, [detail] if detail else [])

    def _open(self, path: Path) -> ShardReader:
        if self._reader is None or path != self._path:
            self._leave()
            sidecar = read_sidecar(path.parents[1], int(path.stem))
            # What is copied gets a digest of its own: damage must not be given a clean one.
            if sha256_of(path) != sidecar.sha256:
                raise ShardError(
                    path, "file", expected="the digest in its sidecar", found="another"
                )
            reader = ShardReader(path)
            self._places = {name: i for i, name in enumerate(reader.sample_ids)}
            self._columns = {
                row["sample_id"]: {k: row[k] for k in _CARRIED if k in row} for row in sidecar.rows
            }
            self._path, self._reader = path, reader
        return self._reader

    def _leave(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None


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
