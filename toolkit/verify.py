"""Is a data set folder whole, and does it agree with itself: files, hashes, manifest, contents."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2

from toolkit.build.executors import run_tasks
from toolkit.build.plan import Plan
from toolkit.build.plan_file import read_plan
from toolkit.errors import ShardError
from toolkit.shards.dataset import read_dataset_info
from toolkit.shards.files import say_unread, sha256_of
from toolkit.shards.manifest import OK
from toolkit.shards.schema import MANIFEST_FILE, PLAN_FILE, SHARD_FOLDER
from toolkit.shards.sidecar import FIELD_TYPES, Sidecar, read_sidecar, shard_path, sidecar_path
from toolkit.skeleton import SkeletonLayout
from toolkit.verify_manifest import iterate_info_problems, iterate_manifest_problems
from toolkit.verify_shard import Row, iterate_shard_problems, say_problem

Progress = Callable[[int, int], object]

# What a sidecar's row must hold before anything is compared with it.
_ROW_FIELDS = ("sample_id", "status", "label")
_OK_FIELDS = (*_ROW_FIELDS, "n_frames", "n_clips", "n_bodies", "shard", "shard_row")
_VIDEO_FIELDS = (*_OK_FIELDS, "video_frames", "width", "height", "max_drift_ms")


@dataclass(frozen=True)
class VerifyReport:
    """How much was checked, and a sentence naming file and place for each thing that is wrong.

    ``n_samples`` and ``n_frames`` are those of usable samples; ``n_pictures`` counts the frames
    whose pictures were decoded, 0 without ``deep``.
    """

    folder: Path
    problems: tuple[str, ...]
    n_shards: int = 0
    n_bytes: int = 0
    n_samples: int = 0
    n_frames: int = 0
    n_pictures: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return what the report tells as plain JSON values."""
        return {"ok": self.ok, **asdict(self), "folder": str(self.folder)}

    def __str__(self) -> str:
        n = len(self.problems)
        found = "no problem" if n == 0 else "1 problem" if n == 1 else f"{n} problems"
        return (
            f"{self.folder}: {self.n_shards} shards, {self.n_bytes} bytes, {self.n_samples}"
            f" samples, {self.n_frames} frames, {self.n_pictures} pictures decoded: {found}"
        )


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
    """What one shard's check found; ``rows``, of the live samples, only from a sound sidecar."""

    problems: tuple[str, ...]
    rows: tuple[Row, ...] = ()
    n_bytes: int = 0
    n_pictures: int = 0


def verify_dataset(
    folder: Path, *, deep: bool, n_jobs: int = 1, progress: Progress | None = None
) -> VerifyReport:
    """Check every file of a data set folder against the plan, the sidecars and each other.

    ``deep`` also opens the shards, decodes every picture and looks into every table.  ``progress``
    is called with the number of shards done and of all shards.  What is wrong with the data is
    told in the report and never raised.
    """
    try:
        plan = read_plan(folder)
    except ShardError as error:
        return VerifyReport(folder, (str(error),))
    if plan is None:
        problem = say_problem(
            folder / PLAN_FILE, "file", "a folder that ctxtool built", "nothing there"
        )
        return VerifyReport(folder, (problem,))
    checks = _list_checks(folder, plan, deep=deep)
    finished = _is_finished(folder, plan, checks)
    problems = [*_foreign_files(folder, plan)]
    if not finished:
        problems.append(_say_unfinished(folder, checks))
        checks = [check for check in checks if _is_done(check)]
    verdicts = _run_checks(checks, n_jobs, progress)
    problems += [problem for verdict in verdicts for problem in verdict.problems]
    rows = [row for verdict in verdicts for row in verdict.rows]
    if finished:
        problems += _collect(iterate_manifest_problems(folder, plan, rows))
        problems += _collect(iterate_info_problems(folder, plan))
    usable = [row for row in rows if row["status"] == OK]
    return VerifyReport(
        folder,
        tuple(dict.fromkeys(problems)),
        n_shards=len(verdicts),
        n_bytes=sum(verdict.n_bytes for verdict in verdicts),
        n_samples=len(usable),
        n_frames=sum(row["n_frames"] for row in usable),
        n_pictures=sum(verdict.n_pictures for verdict in verdicts),
    )


def _list_checks(folder: Path, plan: Plan, *, deep: bool) -> list[ShardCheck]:
    header, fingerprints, shards = plan.header, plan.fingerprints(), plan.shards()
    pictures = not header.options.skeleton_only
    outlines = ((number, shards.outline(number)) for number in shards)
    return [
        ShardCheck(
            folder,
            number,
            fingerprints[number],
            header.layout,
            pictures,
            live=frozenset(name for name, superseded in rows.items() if not superseded),
            superseded=frozenset(name for name, superseded in rows.items() if superseded),
            deep=deep,
        )
        for number, rows in outlines
    ]


def _foreign_files(folder: Path, plan: Plan) -> Iterator[str]:
    """Yield files beside the shards that could be taken for one, or that a dead build left."""
    planned = {
        path for n in plan.shards() for path in (shard_path(folder, n), sidecar_path(folder, n))
    }
    for path in sorted((folder / SHARD_FOLDER).glob("*")):
        if path in planned:
            continue
        if path.name.startswith(".") and path.suffix in (".writing", ".pictures"):
            yield say_problem(
                path, "file", "none, no build being under way", "what one left behind"
            )
        elif path.suffix in (".h5", ".json"):
            yield say_problem(path, "file", "only the shards of the plan", "another one")


def _is_finished(folder: Path, plan: Plan, checks: Sequence[ShardCheck]) -> bool:
    """Tell a finished build, damaged or not, from one under way or being extended."""
    if not (folder / MANIFEST_FILE).exists():
        return False
    if all(map(_is_done, checks)):
        return True
    try:
        # While new shards are made the manifest is still that of the plan before.
        return read_dataset_info(folder).fingerprint == plan.fingerprint
    except ShardError:
        return True


def _is_done(check: ShardCheck) -> bool:
    return sidecar_path(check.folder, check.number).exists()


def _say_unfinished(folder: Path, checks: Sequence[ShardCheck]) -> str:
    n_done = sum(map(_is_done, checks))
    found = f"{n_done} of {len(checks)} shards done: run the same command again to go on"
    return say_problem(folder / MANIFEST_FILE, "file", "a finished build", found)


def _run_checks(
    checks: Sequence[ShardCheck], n_jobs: int, progress: Progress | None
) -> list[ShardVerdict]:
    """Return the verdicts in the order of the shards, whichever was done first."""
    verdicts: dict[int, ShardVerdict] = {}
    for number, verdict in run_tasks(_check_numbered, checks, n_jobs):
        verdicts[number] = verdict
        if progress is not None:
            progress(len(verdicts), len(checks))
    return [verdicts[check.number] for check in checks]


def _check_numbered(check: ShardCheck) -> tuple[int, ShardVerdict]:
    return check.number, check_shard(check)


def check_shard(check: ShardCheck) -> ShardVerdict:
    """Compare one shard with its plan and its sidecar and, if asked, look at all it holds."""
    cv2.setNumThreads(1)
    try:
        sidecar = read_sidecar(check.folder, check.number)
    except ShardError as error:
        return ShardVerdict((str(error),))
    problems = [*_sidecar_problems(check, sidecar)]
    if problems:
        return ShardVerdict(tuple(problems))
    problems = [*_file_problems(check, sidecar)]
    stored = [row for row in sidecar.rows if row["status"] == OK]
    path = shard_path(check.folder, check.number)
    if check.deep and path.exists():
        shard = iterate_shard_problems(path, stored, check.layout, pictures=check.pictures)
        problems += _collect(shard)
    looked_at = check.deep and check.pictures
    return ShardVerdict(
        tuple(problems),
        tuple(row for row in sidecar.rows if row["sample_id"] in check.live),
        n_bytes=sidecar.n_bytes,
        n_pictures=sum(row["n_frames"] for row in stored) if looked_at else 0,
    )


def _sidecar_problems(check: ShardCheck, sidecar: Sidecar) -> Iterator[str]:
    path = sidecar_path(check.folder, check.number)
    if sidecar.fingerprint != check.fingerprint:
        yield say_problem(path, "fingerprint", "that of the plan", "another")
    for number, row in enumerate(sidecar.rows):
        wrong = _wrong_field(row, pictures=check.pictures)
        if wrong:
            yield say_problem(path, f"row {number}: {wrong}", "its type", repr(row.get(wrong)))
            return
    yield from _sample_problems(path, check, Counter(row["sample_id"] for row in sidecar.rows))
    usable = [row for row in sidecar.rows if row["status"] == OK]
    for number, row in enumerate(usable):
        for name, value in (("shard", check.number), ("shard_row", number)):
            if row[name] != value:
                yield say_problem(path, f"sample {row['sample_id']}: {name}", value, row[name])


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


def _collect(problems: Iterable[str]) -> list[str]:
    """Return all sentences, the last of them what stopped the search, if anything did."""
    out: list[str] = []
    try:
        for problem in problems:
            out.append(problem)
    except ShardError as error:
        out.append(str(error))
    return out
