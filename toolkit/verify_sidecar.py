"""One shard's files against the plan and each other: the sidecar's rows, size and digest."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import cv2

from toolkit.build.outcomes import Told
from toolkit.errors import ShardError
from toolkit.shards.files import say_unread, sha256_of
from toolkit.shards.manifest import OK
from toolkit.shards.sidecar import FIELD_TYPES, Sidecar, read_sidecar, shard_path, sidecar_path
from toolkit.skeleton import SkeletonLayout
from toolkit.verify_shard import Row, collect_problems, iterate_shard_problems, say_problem

# What a sidecar's row must hold before anything is compared with it.
_ROW_FIELDS = ("sample_id", "status", "label")
_OK_FIELDS = (*_ROW_FIELDS, "n_frames", "n_clips", "n_bodies", "shard", "shard_row")
_VIDEO_FIELDS = (*_OK_FIELDS, "video_frames", "width", "height", "max_drift_ms")


@dataclass(frozen=True)
class ShardCheck:
    """One shard to check, small enough to be sent to any process.

    ``live`` holds the ids of its samples that count, ``superseded`` those that may be left in it.
    """

    folder: Path
    number: int
    fingerprint: str
    layout: SkeletonLayout
    pictures: bool
    live: frozenset[str]
    superseded: frozenset[str]
    deep: bool


@dataclass(frozen=True)
class ShardVerdict:
    """What one shard's check found; ``n_samples`` and ``n_frames`` count usable live rows."""

    problems: tuple[str, ...]
    n_bytes: int = 0
    n_samples: int = 0
    n_frames: int = 0
    n_pictures: int = 0


class CheckedShard(NamedTuple):
    """A shard's verdict, and the rows of its live samples, only from a sound sidecar."""

    number: int
    verdict: ShardVerdict
    rows: Told


def check_shard(check: ShardCheck) -> CheckedShard:
    """Compare one shard with its plan and its sidecar and, if asked, look at all it holds."""
    cv2.setNumThreads(1)
    try:
        sidecar = read_sidecar(check.folder, check.number)
    except ShardError as error:
        return CheckedShard(check.number, ShardVerdict((str(error),)), Told())
    problems = [*_sidecar_problems(check, sidecar)]
    if problems:
        return CheckedShard(check.number, ShardVerdict(tuple(problems)), Told())
    stored = [row for row in sidecar.rows if row["status"] == OK]
    problems = [*_file_problems(check, sidecar)]
    path = shard_path(check.folder, check.number)
    if check.deep and path.exists():
        shard = iterate_shard_problems(path, stored, check.layout, pictures=check.pictures)
        problems += collect_problems(shard)
    usable = [row["n_frames"] for row in stored if row["sample_id"] in check.live]
    looked_at = check.deep and check.pictures
    verdict = ShardVerdict(
        tuple(problems),
        n_bytes=sidecar.n_bytes,
        n_samples=len(usable),
        n_frames=sum(usable),
        n_pictures=sum(row["n_frames"] for row in stored) if looked_at else 0,
    )
    live = Told(row for row in sidecar.rows if row["sample_id"] in check.live)
    return CheckedShard(check.number, verdict, live)


def _sidecar_problems(check: ShardCheck, sidecar: Sidecar) -> Iterator[str]:
    path = sidecar_path(check.folder, check.number)
    if sidecar.fingerprint != check.fingerprint:
        yield say_problem(path, "fingerprint", "that of the plan", "another")
    if not _has_all_fields(sidecar.rows, pictures=check.pictures):
        for number, row in enumerate(sidecar.rows):
            wrong = _wrong_field(row, pictures=check.pictures)
            if wrong:
                yield say_problem(path, f"row {number}: {wrong}", "its type", repr(row.get(wrong)))
                return
    yield from _sample_problems(path, check, Counter(row["sample_id"] for row in sidecar.rows))
    usable = [row for row in sidecar.rows if row["status"] == OK]
    for number, row in enumerate(usable):
        if row["shard"] == check.number and row["shard_row"] == number:
            continue
        for name, value in (("shard", check.number), ("shard_row", number)):
            if row[name] != value:
                yield say_problem(path, f"sample {row['sample_id']}: {name}", value, row[name])


def _has_all_fields(rows: Sequence[Row], *, pictures: bool) -> bool:
    """Tell quickly, column by column, whether no row has a wrong field; False says nothing."""
    try:
        usable = [row for row in rows if row["status"] == OK]
        for names, some in (
            (_ROW_FIELDS, rows),
            (_VIDEO_FIELDS if pictures else _OK_FIELDS, usable),
        ):
            columns = zip(*map(itemgetter(*names), some), strict=True)
            for name, column in zip(names, columns, strict=False):
                allowed = FIELD_TYPES[name]
                kinds = allowed if isinstance(allowed, tuple) else (allowed,)
                if not set(map(type, column)) <= set(kinds):
                    return False
    except KeyError:
        return False
    return True


def _wrong_field(row: Row, *, pictures: bool) -> str:
    """Return the first field of a sidecar's row that is missing or of another type."""
    usable = row.get("status") == OK
    names = _ROW_FIELDS if not usable else _VIDEO_FIELDS if pictures else _OK_FIELDS
    return next((name for name in names if not isinstance(row.get(name), FIELD_TYPES[name])), "")


def _sample_problems(path: Path, check: ShardCheck, counts: Counter[str]) -> Iterator[str]:
    for name in sorted(check.live - counts.keys()):
        yield say_problem(path, f"sample {name}", "a row", "none")
    for name in sorted(counts.keys() - check.live - check.superseded):
        yield say_problem(path, f"sample {name}", "only samples planned for this shard", "another")
    for name in sorted(name for name, n in counts.items() if n > 1):
        yield say_problem(path, f"sample {name}", "one row", "several")


def _file_problems(check: ShardCheck, sidecar: Sidecar) -> Iterator[str]:
    path = shard_path(check.folder, check.number)
    try:
        n_bytes = path.stat().st_size
        if n_bytes != sidecar.n_bytes:
            yield say_problem(path, "size", f"{sidecar.n_bytes} bytes", f"{n_bytes} bytes")
        elif sha256_of(path) != sidecar.sha256:
            yield say_problem(
                path, "sha256", f"{sidecar.sha256[:12]}... of its sidecar", "another digest"
            )
    except OSError as error:
        yield say_problem(path, "file", "a shard", say_unread(error))
