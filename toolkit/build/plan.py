"""The frozen plan: which samples, from which files, in which shard, fixed before any decoding."""

import hashlib
import json
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from toolkit import __version__
from toolkit.build.options import BuildOptions
from toolkit.errors import PlanError
from toolkit.samples import DataSet, Sample
from toolkit.shards.schema import FORMAT_VERSION
from toolkit.skeleton import SkeletonLayout

NO_SHARD = -1


@dataclass(frozen=True, slots=True)
class Stamp:
    """A source file and what tells whether it is still the same one; empty path: no such file."""

    path: str = ""
    n_bytes: int = 0
    mtime_ns: int = 0

    @classmethod
    def of(cls, path: Path | None) -> "Stamp":
        """Look a file up; a folder counts its files' bytes and its newest change.

        A file that is not there has the stamp of an empty one from 1970.
        """
        if path is None:
            return cls()
        absolute = os.path.abspath(path)  # noqa: PTH100 - resolve() would ask the disk per part
        try:
            info = os.stat(absolute)  # noqa: PTH116 - no Path object per file: there are 600,000
        except FileNotFoundError:
            return cls(absolute)
        if not stat.S_ISDIR(info.st_mode):
            return cls(absolute, info.st_size, info.st_mtime_ns)
        with os.scandir(absolute) as entries:
            infos = [entry.stat() for entry in entries if entry.is_file()]
        n_bytes = sum(i.st_size for i in infos)
        return cls(absolute, n_bytes, max((i.st_mtime_ns for i in infos), default=0))

    @property
    def key(self) -> tuple[str, int, int]:
        """What makes it the same file: name, size, time of change; a moved folder is no change."""
        return os.path.basename(self.path), self.n_bytes, self.mtime_ns  # noqa: PTH119 - hot

    def __str__(self) -> str:
        if not self.path:
            return "no file"
        when = datetime.fromtimestamp(self.mtime_ns / 1e9, timezone.utc)
        return f"{self.path} ({self.n_bytes} bytes of {when:%Y-%m-%d %H:%M:%S.%f} UTC)"


@dataclass(frozen=True, slots=True)
class PlannedSample:
    """One row of the plan.

    ``reason`` is set where the sample is known to be unusable without opening a file; its shard is
    then -1.  A ``superseded`` row stays for its shard's fingerprint only: the same sample has a
    later row, made when its files changed or turned up.
    """

    sample_id: str
    label: int
    label_name: str
    subsets: Mapping[str, str]
    facts: Mapping[str, int | str]
    poses: Stamp
    video: Stamp
    reason: str = ""
    detail: str = ""
    shard: int = NO_SHARD
    superseded: bool = False

    @property
    def work(self) -> tuple[object, ...]:
        """What decides the outcome of the work on this sample."""
        return self.label, self.reason, self.poses.key, self.video.key

    def columns(self) -> dict[str, Any]:
        """Return the manifest columns that the plan alone decides, but for splits and facts."""
        return {
            "sample_id": self.sample_id,
            "label": self.label,
            "label_name": self.label_name,
            "poses": self.poses.path,
            "video": self.video.path,
            "poses_bytes": self.poses.n_bytes,
            "video_bytes": self.video.n_bytes,
        }


def _scaler(options: BuildOptions) -> str:
    # Its releases round pictures differently: two of them in one data set are not the same bytes.
    makes_pictures = not options.skeleton_only and options.source != "shards"
    return f"PyAV {version('av').split('.')[0]}" if makes_pictures else ""


@dataclass(frozen=True)
class PlanHeader:
    """What all samples of a build share."""

    name: str
    layout: SkeletonLayout
    class_names: tuple[str, ...]
    splits: tuple[str, ...]
    default_split: str
    options: BuildOptions
    format_version: int = FORMAT_VERSION
    toolkit_version: str = __version__
    scaler: str = ""

    def parameters(self) -> dict[str, Any]:
        """Return everything that, when it differs, makes other shards."""
        return {
            "data set": self.name,
            "format version": self.format_version,
            "toolkit version": self.toolkit_version,
            "skeleton layout": self.layout.to_dict(),
            "class names": list(self.class_names),
            **{k.replace("_", " "): v for k, v in self.options.to_dict().items()},
            "pictures scaled by": self.scaler,
        }


@dataclass(frozen=True)
class Plan:
    """A header and all rows, superseded ones included, in the order they were planned."""

    header: PlanHeader
    rows: tuple[PlannedSample, ...]

    @property
    def samples(self) -> list[PlannedSample]:
        """The rows that count, one for each planned sample, in the order of their ids."""
        live = [row for row in self.rows if not row.superseded]
        return sorted(live, key=lambda row: row.sample_id)

    def shards(self) -> dict[int, list[PlannedSample]]:
        """Return each shard's rows, superseded ones included."""
        shards: dict[int, list[PlannedSample]] = defaultdict(list)
        for row in self.rows:
            if row.shard != NO_SHARD:
                shards[row.shard].append(row)
        return dict(shards)

    def fingerprints(self) -> dict[int, str]:
        """Return for each shard a digest of its inputs, the parameters and the versions."""
        return {n: self._fingerprint(rows) for n, rows in self.shards().items()}

    @property
    def fingerprint(self) -> str:
        """A digest of the whole plan."""
        return self._fingerprint(self.rows)

    def _fingerprint(self, rows: Sequence[PlannedSample]) -> str:
        digest = hashlib.sha256(json.dumps(self.header.parameters(), sort_keys=True).encode())
        for row in rows:
            digest.update(json.dumps((row.sample_id, row.shard, *row.work)).encode())
        return digest.hexdigest()


def make_plan(
    data: DataSet,
    options: BuildOptions,
    earlier: Plan | None = None,
    is_usable: Callable[[PlannedSample], bool] = lambda _: False,
) -> Plan:
    """Plan a build, or extend an earlier plan by what is new.

    New samples, samples whose missing files turned up, and failed samples whose files or labels
    changed get new shards behind the old ones; old shards keep their rows.  ``is_usable`` tells
    whether a row of the earlier plan has a finished, usable result: such a result is never
    planned again.  Raises ``PlanError`` naming the first difference when the earlier plan had
    other parameters, or when what lies behind a usable result is another file or label now.
    """
    header = PlanHeader(
        data.name,
        data.layout,
        data.class_names,
        data.splits,
        data.default_split,
        options,
        scaler=_scaler(options),
    )
    listed = [_planned(sample, skeleton_only=options.skeleton_only) for sample in data.samples]
    if earlier is None:
        return Plan(header, tuple(_assign(listed, 0, options.samples_per_shard)))
    _refuse_other_parameters(earlier.header, header)
    kept, new = _merge(earlier, listed, is_usable)
    next_shard = max((row.shard for row in kept), default=NO_SHARD) + 1
    return Plan(header, (*kept, *_assign(new, next_shard, options.samples_per_shard)))


def _planned(sample: Sample, *, skeleton_only: bool) -> PlannedSample:
    return PlannedSample(
        sample_id=sample.sample_id,
        label=sample.label,
        label_name=sample.label_name,
        subsets=dict(sample.subsets),
        facts=dict(sample.facts),
        poses=Stamp.of(sample.poses),
        video=Stamp() if skeleton_only else Stamp.of(sample.video),
        reason=sample.reason or "",
        detail=sample.detail,
    )


def _assign(rows: Iterable[PlannedSample], first_shard: int, per_shard: int) -> list[PlannedSample]:
    """Give every row that needs work its shard, ``per_shard`` rows each."""
    out, n_work = [], 0
    for row in rows:
        if row.reason:
            out.append(row)
            continue
        out.append(replace(row, shard=first_shard + n_work // per_shard))
        n_work += 1
    return out


def _refuse_other_parameters(old: PlanHeader, new: PlanHeader) -> None:
    before, now = old.parameters(), new.parameters()
    for name in before | now:
        if before.get(name) != now.get(name):
            raise PlanError(
                f"this output was built with {name} {_short(before.get(name))}, now it is"
                f" {_short(now.get(name))}: choose another --out, or --overwrite to build anew"
            )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _merge(
    earlier: Plan, listed: list[PlannedSample], is_usable: Callable[[PlannedSample], bool]
) -> tuple[list[PlannedSample], list[PlannedSample]]:
    """Return (the old rows as they now stand, the rows that need a new place)."""
    now = {row.sample_id: row for row in listed}
    kept: list[PlannedSample] = []
    new: list[PlannedSample] = []
    for row in earlier.rows:
        fresh = None if row.superseded else now.pop(row.sample_id, None)
        if fresh is None:
            kept.append(row)
        elif row.shard == NO_SHARD:
            (kept if fresh.reason else new).append(fresh)
        elif fresh.work == row.work:
            kept.append(replace(fresh, shard=row.shard))
        elif is_usable(row):
            _refuse_another(row, fresh)
            kept.append(replace(row, subsets=fresh.subsets, facts=fresh.facts))
        else:
            kept.append(replace(row, superseded=True))
            new.append(fresh)
    return kept, sorted((*new, *now.values()), key=lambda row: row.sample_id)


def _refuse_another(old: PlannedSample, new: PlannedSample) -> None:
    """Refuse to keep a result whose recording is another one now; files that are gone are not."""
    changes = []
    if new.label != old.label:
        changes.append(f"label was {old.label_name} and is {new.label_name} now")
    stamps = ("pose file", old.poses, new.poses), ("video", old.video, new.video)
    differing = [(what, was, now) for what, was, now in stamps if was.key != now.key]
    changes += [f"{what} was {was} and is {now} now" for what, was, now in differing if now.path]
    if not changes and not differing:
        changes.append(f"recording was usable and is left out now ({new.reason}: {new.detail})")
    if changes:
        raise PlanError(
            f"sample {old.sample_id}: its {changes[0]}: undo that, choose another --out, or"
            " --overwrite to build anew"
        )
