"""The end of a build: every planned sample accounted for, manifest and ``dataset.json`` written."""

from collections.abc import Sequence
from pathlib import Path

from toolkit.build.ledger import Ledger
from toolkit.build.leftovers import remove_dead
from toolkit.build.outcomes import Told, join_outcomes
from toolkit.build.parts import forget_count, name_parts, read_count
from toolkit.build.plan import Plan
from toolkit.build.plan_file import read_plan
from toolkit.build.tasks import list_tasks, sort_out
from toolkit.errors import DataNotFoundError, PlanError
from toolkit.shards.dataset import DatasetInfo
from toolkit.shards.manifest import write_manifest
from toolkit.shards.schema import PLAN_FILE

_MOST_NAMED = 20


def finalize_build(out: Path) -> tuple[Plan, Ledger]:
    """Write manifest and ``dataset.json`` of a build whose shards are all made.

    Raises ``DataNotFoundError`` where nothing was planned, and ``PlanError`` naming the shards
    that are not done and, where it is known, the parts that have to run.
    """
    plan = read_plan(out)
    if plan is None:
        raise DataNotFoundError(
            f"{out} holds no {PLAN_FILE}: nothing was built there; begin with an extracting command"
        )
    rows, left = sort_out(list_tasks(plan, out))
    if left:
        raise PlanError(_say_missing(left.numbers, out))
    return plan, finish(plan, rows, out)


def finish(plan: Plan, rows: Told, out: Path) -> Ledger:
    """Write what makes a folder of shards a data set; ``rows`` are those of all shards.

    Raises ``ValueError`` unless every planned sample has its row.
    """
    ledger = Ledger(len(plan))
    ledger.add_counts(known_rows(plan).count())
    ledger.add_counts(rows.count())
    ledger.check()
    write_manifest(join_outcomes(plan, rows), out)
    _describe(plan, ledger).write(out)
    forget_count(out)
    # Every shard is made: what is half-written is nobody's, on whatever machine it was begun.
    remove_dead(out, finished=True)
    return ledger


def _describe(plan: Plan, ledger: Ledger) -> DatasetInfo:
    header = plan.header
    return DatasetInfo(
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
    )


def known_rows(plan: Plan) -> Told:
    """Return the rows of samples that need no work: their reason is known from the listing."""
    idle = plan.idle
    columns = (idle[name].to_pylist() for name in ("sample_id", "reason", "detail"))
    names = ("sample_id", "status", "detail")
    return Told(dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def _say_missing(shards: Sequence[int], out: Path) -> str:
    names = ", ".join(map(str, shards[:_MOST_NAMED]))
    more = f" and {len(shards) - _MOST_NAMED} more" if len(shards) > _MOST_NAMED else ""
    are, them = ("shard is", "it") if len(shards) == 1 else ("shards are", "them")
    count = read_count(out)
    parts = [f"--part {part}," for part in name_parts(shards, count)] if count else []
    run = f"with {' '.join(parts)} or without --part" if parts else "again"
    return (
        f"{out}: {len(shards)} {are} not done ({names}{more}): run the command {run} to make {them}"
    )
