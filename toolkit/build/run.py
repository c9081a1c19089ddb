"""A build from its plan to the finished data set folder: plan, work, ledger, manifest."""

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path

from toolkit.build.executors import run_tasks
from toolkit.build.finish import finish, known_rows
from toolkit.build.isolation import SampleLimits
from toolkit.build.ledger import Ledger
from toolkit.build.leftovers import remove_dead, remove_output, remove_unplanned
from toolkit.build.lock import planning
from toolkit.build.options import BuildOptions
from toolkit.build.outcomes import Told
from toolkit.build.parts import Part, count_samples, refuse_moved, write_count
from toolkit.build.plan import Plan, PlannedSample, make_plan
from toolkit.build.plan_file import is_stored, read_plan, write_plan
from toolkit.build.site import refuse_unseen
from toolkit.build.tasks import Rows, list_tasks, sort_out
from toolkit.build.worker import ShardTask, build_shard
from toolkit.errors import PlanError, ShardError
from toolkit.samples import DataSet
from toolkit.shards.manifest import OK
from toolkit.shards.schema import DATASET_FILE, MANIFEST_FILE, PLAN_FILE, SHARD_FOLDER
from toolkit.shards.sidecar import read_sidecar, sidecar_path

Progress = Callable[[Told], object]


@dataclass(frozen=True)
class BuildSettings:
    """How a build runs; none of this changes its result.

    ``part`` leaves all other shards, manifest and ``dataset.json`` to others.  ``scheduler`` is
    the address of a dask scheduler whose workers do the work, or ``local-cluster:N``.  Without
    ``limits`` recordings are read in the process that writes the shard: one that crashes ends it.
    ``verify_existing`` makes finished shards again whose digest is another one now.
    """

    out: Path
    n_jobs: int = 1
    overwrite: bool = False
    limit: int | None = None
    part: Part | None = None
    scheduler: str | None = None
    limits: SampleLimits | None = field(default_factory=SampleLimits)
    verify_existing: bool = False


def plan_build(data: DataSet, options: BuildOptions, settings: BuildSettings) -> Plan:
    """Return the plan, extended from the one in the output folder if there is one; writes nothing.

    Raises ``PlanError`` when the folder was built with other parameters, or when a file behind a
    finished sample is another one now.
    """
    earlier = None if settings.overwrite else read_plan(settings.out)
    return _plan(data, options, settings, earlier)


def plan_part(data: DataSet, options: BuildOptions, settings: BuildSettings) -> Plan:
    """Return the plan that all parts share, from the output folder, written there if it is new.

    Raises ``PlanError`` as ``plan_build`` does, and when the plan there would have to change in
    more than new samples: other parts are at work on it.
    """
    with planning(settings.out):
        earlier = read_plan(settings.out)
        plan = _plan(data, options, settings, earlier)
        if earlier is not None:
            refuse_moved(earlier, plan)
        if plan != earlier:
            write_plan(plan, settings.out)
        if settings.part is not None:
            write_count(settings.out, settings.part)
    return plan


def list_finished(plan: Plan, settings: BuildSettings) -> set[int]:
    """Return the shards that are done already and would be left as they are."""
    if settings.overwrite:
        return set()
    tasks = list_tasks(plan, settings.out)
    _, left = sort_out(tasks, verify=settings.verify_existing)
    return set(tasks.numbers).difference(left.numbers)


def run_build(plan: Plan, settings: BuildSettings, progress: Progress) -> Ledger:
    """Do what is left of a plan and write manifest and ``dataset.json``; return the ledger.

    ``progress`` is called with the manifest rows of each shard, done before or now.
    """
    out = settings.out
    if settings.overwrite:
        remove_output(out)
    (out / SHARD_FOLDER).mkdir(parents=True, exist_ok=True)
    # Left as it is where nothing changed: machines at work know it by its time of change.
    if not is_stored(plan, out):
        write_plan(plan, out)
    remove_dead(out)
    remove_unplanned(plan, out)
    rows = _make_shards(plan, settings, progress, known_rows(plan))
    return finish(plan, rows, out)


def run_part(plan: Plan, settings: BuildSettings, progress: Progress) -> Ledger:
    """Do what is left of one part of a plan; return the ledger of its shards' samples."""
    (settings.out / SHARD_FOLDER).mkdir(parents=True, exist_ok=True)
    remove_dead(settings.out)
    rows = _make_shards(plan, settings, progress, Told())
    ledger = Ledger(count_samples(plan, settings.part))
    ledger.add_counts(rows.count())
    ledger.check()
    return ledger


def _make_shards(plan: Plan, settings: BuildSettings, progress: Progress, known: Told) -> Told:
    """Return the rows of all shards asked for; ``known`` are told as done with the first."""
    # Whoever works elsewhere has another parent.
    owner = None if settings.scheduler else os.getpid()
    tasks = list_tasks(plan, settings.out, part=settings.part, owner=owner, limits=settings.limits)
    rows, left = sort_out(tasks, verify=settings.verify_existing)
    if settings.part is not None:
        for task in left:
            refuse_unseen(task)
    known.extend(rows)
    progress(known)
    # Closed at once when interrupted: what was under way is tidied up before anything is said.
    with closing(_run(left, settings)) as results:
        for finished in map(Told, results):
            rows.extend(finished)
            progress(finished)
    return rows


def _run(tasks: Sequence[ShardTask], settings: BuildSettings) -> Generator[Rows, None, None]:
    if settings.scheduler is None or not tasks:
        return run_tasks(
            build_shard, tasks, settings.n_jobs, tidy=partial(remove_dead, settings.out)
        )
    from toolkit.build.cluster import run_on_cluster

    return run_on_cluster(tasks, settings.scheduler)


def _plan(
    data: DataSet, options: BuildOptions, settings: BuildSettings, earlier: Plan | None
) -> Plan:
    if settings.limit is not None:
        data = replace(data, samples=data.samples[: settings.limit])
    if earlier is None:
        _refuse_foreign_output(settings)
    options = _name_encoder(options)
    return make_plan(data, options, earlier, lambda row: _was_ok(settings.out, row))


def _name_encoder(options: BuildOptions) -> BuildOptions:
    """Return the options with the encoder that will be used: another one makes other bytes."""
    if options.codec == "jpeg" or options.skeleton_only or options.source == "shards":
        return options
    from toolkit.readers.group_encoder import name_encoder

    return replace(options, encoder=name_encoder(options.crf))


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
        return False  # The shard is made again anyway, as read_finished tells.


@lru_cache(maxsize=64)
def _usable_ids(out: Path, shard: int) -> frozenset[str]:
    rows = read_sidecar(out, shard).rows
    return frozenset(str(row["sample_id"]) for row in rows if row["status"] == OK)
