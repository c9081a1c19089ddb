"""A build from its plan to the finished data set folder: plan, work, ledger, manifest."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
    changed_inputs,
    make_plan,
)
from toolkit.build.plan_file import read_plan, write_plan
from toolkit.build.worker import ShardTask, build_shard
from toolkit.errors import PlanError, ShardError
from toolkit.samples import DataSet
from toolkit.shards.dataset import DatasetInfo
from toolkit.shards.manifest import OK, SPLIT_PREFIX, manifest_frame, write_manifest
from toolkit.shards.schema import DATASET_FILE, MANIFEST_FILE, PLAN_FILE, SHARD_FOLDER
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
    plan = make_plan(data, options, earlier)
    if earlier is not None:
        _refuse_changed_results(earlier, plan, settings.out)
    return plan


def run_build(plan: Plan, settings: BuildSettings, progress: Progress) -> Ledger:
    """Do what is left of a plan and write manifest and ``dataset.json``; return the ledger.

    ``progress`` is called with the manifest rows of each shard, done before or now.
    """
    out = settings.out
    if settings.overwrite:
        _remove_output(out)
    (out / SHARD_FOLDER).mkdir(parents=True, exist_ok=True)
    write_plan(plan, out)
    _remove_leftovers(out)
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


def _refuse_changed_results(earlier: Plan, plan: Plan, out: Path) -> None:
    """Files behind a usable sample must not change under it; failed samples are tried again."""
    for old, new in changed_inputs(earlier, plan):
        if _was_ok(out, old):
            name, before, now = _changed_file(old, new)
            raise PlanError(
                f"sample {old.sample_id}: its {name} was {before} and is {now} now:"
                " restore it, choose another --out, or --overwrite to build anew"
            )


def _was_ok(out: Path, row: PlannedSample) -> bool:
    if not sidecar_path(out, row.shard).exists():
        return False
    try:
        rows = read_sidecar(out, row.shard).rows
    except ShardError:
        return False  # The shard is made again anyway, as _finished tells.
    return any(r["sample_id"] == row.sample_id and r["status"] == OK for r in rows)


def _changed_file(old: PlannedSample, new: PlannedSample) -> tuple[str, str, str]:
    if old.poses != new.poses:
        return "pose file", str(old.poses), str(new.poses)
    return "video", str(old.video), str(new.video)


def _remove_output(out: Path) -> None:
    """Remove what an earlier build left, and nothing else that may lie in the folder."""
    for name in (DATASET_FILE, MANIFEST_FILE, PLAN_FILE):
        (out / name).unlink(missing_ok=True)
    # Sidecars first: a build cut short here must not look done.
    for pattern in ("[0-9]*.json", "[0-9]*.h5"):
        for path in (out / SHARD_FOLDER).glob(pattern):
            path.unlink()


def _remove_leftovers(out: Path) -> None:
    """Remove half-written shards of killed builds, but not those of one that is at work."""
    for path in (out / SHARD_FOLDER).glob(".*.writing"):
        writer = path.name.split(".")[-2]
        if not (writer.isdecimal() and _is_alive(int(writer))):
            path.unlink(missing_ok=True)
            path.with_suffix(".pictures").unlink(missing_ok=True)


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
        full.append({**source.facts, **splits, **row})
    return manifest_frame(full, plan.header.splits)
