"""Is a data set folder whole, and does it agree with itself: files, hashes, manifest, contents."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from toolkit.build.executors import run_tasks
from toolkit.build.outcomes import Told
from toolkit.build.plan import Plan
from toolkit.build.plan_file import read_plan
from toolkit.errors import ShardError
from toolkit.shards.dataset import read_dataset_info
from toolkit.shards.manifest import read_manifest
from toolkit.shards.schema import MANIFEST_FILE, PLAN_FILE, SHARD_FOLDER
from toolkit.shards.sidecar import shard_path, sidecar_path
from toolkit.verify_manifest import iterate_info_problems, iterate_manifest_problems
from toolkit.verify_shard import collect_problems, say_problem
from toolkit.verify_sidecar import ShardCheck, ShardVerdict, check_shard

Progress = Callable[[int, int], object]


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
    verdicts, rows = _run_checks(checks, n_jobs, progress)
    problems += [problem for verdict in verdicts for problem in verdict.problems]
    if finished:
        # Of five million rows it takes gigabytes: it is read once.
        manifest = cache(lambda: read_manifest(folder))
        problems += collect_problems(iterate_manifest_problems(folder, plan, rows, manifest))
        problems += collect_problems(iterate_info_problems(folder, plan, manifest))
    return VerifyReport(
        folder,
        tuple(dict.fromkeys(problems)),
        n_shards=len(verdicts),
        n_bytes=sum(verdict.n_bytes for verdict in verdicts),
        n_samples=sum(verdict.n_samples for verdict in verdicts),
        n_frames=sum(verdict.n_frames for verdict in verdicts),
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
) -> tuple[list[ShardVerdict], Told]:
    """Return the verdicts in the order of the shards, whichever was done first, and all rows."""
    verdicts: dict[int, ShardVerdict] = {}
    rows = Told()
    for checked in run_tasks(check_shard, checks, n_jobs):
        verdicts[checked.number] = checked.verdict
        rows.extend(checked.rows)
        if progress is not None:
            progress(len(verdicts), len(checks))
    return [verdicts[check.number] for check in checks], rows
