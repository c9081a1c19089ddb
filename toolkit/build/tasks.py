"""The shards of a plan as tasks: which are done, which have to be made."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from toolkit.build.isolation import SampleLimits
from toolkit.build.parts import Part
from toolkit.build.plan import Plan
from toolkit.build.planned import PlannedSample
from toolkit.build.worker import ShardTask
from toolkit.errors import InputChangedError, ShardError
from toolkit.shards.files import sha256_of
from toolkit.shards.manifest import OK
from toolkit.shards.sidecar import Sidecar, read_sidecar, shard_path, sidecar_path

logger = logging.getLogger(__name__)

Rows = list[dict[str, Any]]


def list_tasks(
    plan: Plan,
    out: Path,
    *,
    part: Part | None = None,
    owner: int | None = None,
    limits: SampleLimits | None = None,
) -> Iterator[ShardTask]:
    """Yield the task of every shard, or of every shard of a part, in the order of their numbers.

    ``owner`` is the process of this machine that the work is for; ``limits`` are those of each
    recording.
    """
    fingerprints = plan.fingerprints()
    header = plan.header
    for number, samples in sorted(plan.shards().items()):
        if part is None or number in part:
            yield ShardTask(
                folder=out,
                number=number,
                fingerprint=fingerprints[number],
                layout=header.layout,
                options=header.options,
                samples=tuple(samples),
                owner=owner,
                limits=limits,
            )


def sort_out(tasks: Iterable[ShardTask], *, verify: bool = False) -> tuple[Rows, list[ShardTask]]:
    """Return the manifest rows of the tasks that are done, and the tasks that are left.

    ``verify`` compares the shards' digests too.
    """
    rows, left = [], []
    for task in tasks:
        done = read_finished(task, verify=verify)
        if done is None:
            left.append(task)
        else:
            rows.extend(done)
    return rows, left


def read_finished(task: ShardTask, *, verify: bool = False) -> Rows | None:
    """Return the rows of a shard that is done, None if it has to be made.

    A shard is trusted for its size, or with ``verify`` for its digest.  One that lost a recording
    whose file was away for a while is made again when the file is back.
    """
    if not sidecar_path(task.folder, task.number).exists():
        return None
    try:
        sidecar = read_sidecar(task.folder, task.number)
    except ShardError as error:
        logger.warning("shard %d has to be made again: %s", task.number, error)
        return None
    problem = _mismatch(task, sidecar) or (_wrong_digest(task, sidecar) if verify else "")
    problem = problem or _came_back(task, sidecar)
    if problem:
        logger.warning("shard %d has to be made again: %s", task.number, problem)
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
    return _wrong_rows(task, sidecar)


def _wrong_rows(task: ShardTask, sidecar: Sidecar) -> str:
    """Say which sample a sidecar does not account for exactly once, or accounts for by mistake."""
    found = Counter(str(row.get("sample_id")) for row in sidecar.rows if row.get("status"))
    counts = {row.sample_id: found.pop(row.sample_id, 0) for row in task.samples}
    for row in task.samples:
        # One that was given up later may have kept its row.
        if counts[row.sample_id] not in ((0, 1) if row.superseded else (1,)):
            return f"its sidecar has {counts[row.sample_id]} rows of {row.sample_id}"
    return f"its sidecar has a row of {min(found)}" if found else ""


def _came_back(task: ShardTask, sidecar: Sidecar) -> str:
    """Say which recording was lost for a file that is as it was planned again.

    The plan sees no difference then.  Nothing is said while a usable recording of the same shard
    could not be read once more: it would be lost instead.
    """
    status = {row["sample_id"]: row["status"] for row in sidecar.rows}
    lost = [r for r in task.samples if status.get(r.sample_id) == InputChangedError.reason]
    back = next((r for r in lost if not r.superseded and _is_as_planned(r)), None)
    if back is None:
        return ""
    usable = [r for r in task.samples if status.get(r.sample_id) == OK]
    return f"the files of {back.sample_id} are back" if all(map(_is_as_planned, usable)) else ""


def _is_as_planned(row: PlannedSample) -> bool:
    try:
        return row.find_change() is None
    except OSError:
        return False  # Who cannot even look at a file gains nothing by another try.


def _wrong_digest(task: ShardTask, sidecar: Sidecar) -> str:
    path = shard_path(task.folder, task.number)
    return "" if sha256_of(path) == sidecar.sha256 else f"{path} has another digest than it had"
