"""A build from its plan to the finished data set folder: plan, work, ledger, manifest."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from toolkit.build.executors import run_tasks
from toolkit.build.ledger import Ledger
from toolkit.build.options import BuildOptions
from toolkit.build.plan import (
    NO_SHARD,
    Plan,
    PlannedSample,
    make_plan,
)
from toolkit.build.plan_file import read_plan, write_plan
from toolkit.build.worker import ShardTask, build_shard
from toolkit.errors import PlanError, ShardError
from toolkit.samples import DataSet
from toolkit.shards.dataset import DatasetInfo
from toolkit.shards.manifest import OK, SPLIT_PREFIX, manifest_frame, write_manifest
from toolkit.shards.schema import (
    DATASET_FILE,
    MANIFEST_FILE,
    PLAN_FILE,
    SHARD_FOLDER,
    shard_name,
)
from toolkit.shards.sidecar import Sidecar, read_sidecar, shard_path, sidecar_path

logger = logging.getLogger(__name__)

Progress = Callable[[list[dict[str, Any]]], object]


@dataclass(frozen=True)
class BuildSettings:
    """How a build runs; none of this changes its result."""

    out: Path
    n_jobs: int = 1
    overwrite: bool = False
    limit: int | None = None


def plan_build(data: DataSet, options: BuildOptions, settings: BuildSettings) -> Plan:
    """Return the plan, extended from the one in the output folder if there is one; writes nothing.

    Raises ``PlanError`` when the folder was built with other parameters, or when a file behind a
    finished sample is another one now.
    """
    if settings.limit is not None:
        data = replace(data, samples=data.samples[: settings.limit])
    earlier = None if settings.overwrite else read_plan(settings.out)
    if earlier is None:
        _refuse_foreign_output(settings)
    return make_plan(data, options, earlier, lambda row: _was_ok(settings.out, row))


def list_finished(plan: Plan, settings: BuildSettings) -> set[int]:
    """Return the shards that are done already and would be left as they are."""
    if settings.overwrite:
        return set()
    return {t.number for t in _tasks(plan, settings.out) if _finished(t) is not None}


def run_build(plan: Plan, settings: BuildSettings, progress: Progress) -> Ledger:
    """Do what is left of a plan and write manifest and ``dataset.json``; return the ledger.

    ``progress`` is called with the manifest rows of each shard, done before or now.
    """
    out = settings.out
    if settings.overwrite:
        _remove_output(out)
    (out / SHARD_FOLDER).mkdir(parents=True, exist_ok=True)
    write_plan(plan, out)
    _remove_leftovers(plan, out)
    rows = _known_rows(plan)
    tasks = []
    for task in _tasks(plan, out):
        done = _finished(task)
        if done is None:
            tasks.append(task)
        else:
            rows.extend(done)
    progress(list(rows))
    for finished in run_tasks(build_shard, tasks, settings.n_jobs):
        rows.extend(finished)
        progress(finished)
    return _finalise(plan, rows, out)


def _tasks(plan: Plan, out: Path) -> Iterator[ShardTask]:
    fingerprints = plan.fingerprints()
    header = plan.header
    for number, samples in sorted(plan.shards().items()):
        yield ShardTask(
            folder=out,
            number=number,
            fingerprint=fingerprints[number],
            layout=header.layout,
            options=header.options,
            samples=tuple(samples),
            owner=os.getpid(),
        )


def _finished(task: ShardTask) -> list[dict[str, Any]] | None:
    """Return the rows of a shard that is done, None if it has to be made."""
    if not sidecar_path(task.folder, task.number).exists():
        return None
    try:
        sidecar = read_sidecar(task.folder, task.number)
    except ShardError as error:
        logger.warning("making shard %d again: %s", task.number, error)
        return None
    problem = _mismatch(task, sidecar)
    if problem:
        logger.warning("making shard %d again: %s", task.number, problem)
        return None
    live = {row.sample_id for row in task.samples if not row.superseded}
    return [dict(row) for row in sidecar.rows if row["sample_id"] in live]


def _mismatch(task: ShardTask, sidecar: Sidecar) -> str:
    path = shard_path(task.folder, task.number)
    if sidecar.fingerprint != task.fingerprint:
        return "its sidecar belongs to another plan"
    if not path.exists():
        return f"{path} is gone"
    if path.stat().st_size != sidecar.n_bytes:
        return f"{path} has {path.stat().st_size} bytes, its sidecar says {sidecar.n_bytes}"
    return ""


def _known_rows(plan: Plan) -> list[dict[str, Any]]:
    """Return the rows of samples that need no work: their reason is known from the listing."""
    return [
        {**row.columns(), "status": row.reason, "detail": row.detail}
        for row in plan.samples
        if row.shard == NO_SHARD
    ]


def _refuse_foreign_output(settings: BuildSettings) -> None:
    """A manifest without its plan is somebody's: it must not be overwritten by the way."""
    for name in (DATASET_FILE, MANIFEST_FILE):
        if (settings.out / name).exists() and not settings.overwrite:
            raise PlanError(
                f"{settings.out} holds {name} but no {PLAN_FILE}, so it cannot be gone on with:"
                " choose another --out, or --overwrite to build anew"
            )


def _was_ok(out: Path, row: PlannedSample) -> bool:
    if not sidecar_path(out, row.shard).exists():
        return False
    try:
        return row.sample_id in _usable_ids(out, row.shard)
    except ShardError:
        return False  # The shard is made again anyway, as _finished tells.


@lru_cache(maxsize=64)
def _usable_ids(out: Path, shard: int) -> frozenset[str]:
    rows = read_sidecar(out, shard).rows
    return frozenset(str(row["sample_id"]) for row in rows if row["status"] == OK)


def _remove_output(out: Path) -> None:
    """Remove what an earlier build left, and nothing else that may lie in the folder."""
    for name in (DATASET_FILE, MANIFEST_FILE, PLAN_FILE):
        (out / name).unlink(missing_ok=True)
    # Sidecars first: a build cut short here must not look done.
    for pattern in ("[0-9]*.json", "[0-9]*.h5"):
        for path in (out / SHARD_FOLDER).glob(pattern):
            path.unlink()


def _remove_leftovers(plan: Plan, out: Path) -> None:
    """Remove what killed builds left half-written, and shards that no plan names any more."""
    folders = (out, out / SHARD_FOLDER)
    for path in (p for folder in folders for p in folder.glob(".*")):
        # .NAME.PROCESS.writing or .pictures; one that is still at work keeps its files.
        parts = path.name.split(".")
        ours = parts[-1] in ("writing", "pictures") and parts[-2].isdecimal()
        if ours and not _is_alive(int(parts[-2])):
            path.unlink(missing_ok=True)
    planned = {shard_name(number) for number in plan.shards()}
    for path in (out / SHARD_FOLDER).glob("[0-9]*"):
        if path.stem not in planned and path.suffix in (".h5", ".json"):
            path.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # It runs, as another user.
    return True


def _finalise(plan: Plan, rows: list[dict[str, Any]], out: Path) -> Ledger:
    ledger = Ledger(len(plan.samples))
    ledger.add(rows)
    ledger.check()
    write_manifest(_manifest(plan, rows), out)
    header = plan.header
    DatasetInfo(
        name=header.name,
        format_version=header.format_version,
        toolkit_version=header.toolkit_version,
        fingerprint=plan.fingerprint,
        parameters=header.options.to_dict(),
        layout=header.layout,
        class_names=header.class_names,
        splits=header.splits,
        default_split=header.default_split,
        counts={"planned": ledger.planned, **ledger.outcomes},
    ).write(out)
    return ledger


def _manifest(plan: Plan, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Join results with what the plan now says of splits and names: those may change freely."""
    planned = {row.sample_id: row for row in plan.samples}
    full = []
    for row in rows:
        source = planned[row["sample_id"]]
        splits = {SPLIT_PREFIX + split: subset for split, subset in source.subsets.items()}
        full.append({**source.facts, **splits, **row, **source.columns()})
    return manifest_frame(full, plan.header.splits)
