"""The shards of a plan as tasks: which are done, which have to be made."""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import orjson

from toolkit.build.isolation import SampleLimits
from toolkit.build.outcomes import Told
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


@dataclass(frozen=True, eq=False)
class Tasks(Sequence[ShardTask]):
    """The tasks of the shards of these ``numbers``, each made when it is asked for.

    A task holds its samples as objects: of 300,000 only those at work are in memory.
    """

    plan: Plan
    out: Path
    numbers: Sequence[int]
    fingerprints: Mapping[int, str]
    owner: int | None = None
    limits: SampleLimits | None = None

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, at: int) -> ShardTask: ...
    @overload
    def __getitem__(self, at: slice) -> "Tasks": ...
    def __getitem__(self, at: int | slice) -> "ShardTask | Tasks":
        if isinstance(at, slice):
            return replace(self, numbers=self.numbers[at])
        return self.make(self.numbers[at])

    def make(self, number: int) -> ShardTask:
        """Return the task of the shard of this number."""
        header = self.plan.header
        return ShardTask(
            folder=self.out,
            number=number,
            fingerprint=self.fingerprints[number],
            layout=header.layout,
            options=header.options,
            samples=tuple(self.plan.shards()[number]),
            owner=self.owner,
            limits=self.limits,
        )


def list_tasks(
    plan: Plan,
    out: Path,
    *,
    part: Part | None = None,
    owner: int | None = None,
    limits: SampleLimits | None = None,
) -> Tasks:
    """Return the task of every shard, or of every shard of a part, in the order of their numbers.

    ``owner`` is the process of this machine that the work is for; ``limits`` are those of each
    recording.
    """
    numbers = [number for number in plan.shards() if part is None or number in part]
    return Tasks(plan, out, numbers, plan.fingerprints(), owner, limits)


def sort_out(tasks: Tasks, *, verify: bool = False) -> tuple[Told, Tasks]:
    """Return the manifest rows of the tasks that are done, and the tasks that are left.

    ``verify`` compares the shards' digests too.
    """
    rows, left = Told(), []
    for number in tasks.numbers:
        done = _read_finished(tasks, number, verify=verify)
        if done is None:
            left.append(number)
        else:
            rows.extend(done)
    return rows, replace(tasks, numbers=left)


def _read_finished(
    tasks: Tasks, number: int, *, verify: bool
) -> Sequence[Mapping[str, Any]] | None:
    """Return the rows of a shard that is done, None if it has to be made.

    A shard is trusted for its size, or with ``verify`` for its digest.  One that lost a recording
    whose file was away for a while is made again when the file is back.
    """
    if not sidecar_path(tasks.out, number).exists():
        return None
    try:
        sidecar = read_sidecar(tasks.out, number, _parse_json)
    except ShardError as error:
        logger.warning("shard %d has to be made again: %s", number, error)
        return None
    planned = tasks.plan.shards().outline(number)
    problem = _mismatch(tasks, sidecar, planned)
    problem = problem or (_wrong_digest(tasks.out, sidecar) if verify else "")
    problem = problem or _came_back(tasks, sidecar)
    if problem:
        logger.warning("shard %d has to be made again: %s", number, problem)
        return None
    return [row for row in sidecar.rows if planned.get(row["sample_id"]) is False]


def _parse_json(raw: bytes) -> Any:
    """Return what a JSON text holds: in a third of the time where it is as it should be."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return json.loads(raw)


def _mismatch(tasks: Tasks, sidecar: Sidecar, planned: Mapping[str, bool]) -> str:
    path = shard_path(tasks.out, sidecar.shard)
    if sidecar.fingerprint != tasks.fingerprints[sidecar.shard]:
        return "its sidecar belongs to another plan"
    try:
        n_bytes = path.stat().st_size
    except FileNotFoundError:
        return f"{path} is gone"
    if n_bytes != sidecar.n_bytes:
        return f"{path} has {n_bytes} bytes, its sidecar says {sidecar.n_bytes}"
    return _wrong_rows(sidecar, planned)


def _wrong_rows(sidecar: Sidecar, planned: Mapping[str, bool]) -> str:
    """Say which sample a sidecar does not account for exactly once, or accounts for by mistake."""
    ids = [row["sample_id"] for row in sidecar.rows if row["status"]]
    if ids == list(planned):
        return ""
    found = Counter(ids)
    for sample_id, superseded in planned.items():
        n_rows = found.pop(sample_id, 0)
        # One that was given up later may have kept its row.
        if n_rows != 1 and not (superseded and n_rows == 0):
            return f"its sidecar has {n_rows} rows of {sample_id}"
    return f"its sidecar has a row of {min(found)}" if found else ""


def _came_back(tasks: Tasks, sidecar: Sidecar) -> str:
    """Say which recording was lost for a file that is as it was planned again.

    The plan sees no difference then.  Nothing is said while a usable recording of the same shard
    could not be read once more: it would be lost instead.
    """
    if all(row["status"] != InputChangedError.reason for row in sidecar.rows):
        return ""
    status = {row["sample_id"]: row["status"] for row in sidecar.rows}
    samples = tasks.make(sidecar.shard).samples
    lost = [r for r in samples if status.get(r.sample_id) == InputChangedError.reason]
    back = next((r for r in lost if not r.superseded and _is_as_planned(r)), None)
    if back is None:
        return ""
    usable = [r for r in samples if status.get(r.sample_id) == OK]
    return f"the files of {back.sample_id} are back" if all(map(_is_as_planned, usable)) else ""


def _is_as_planned(row: PlannedSample) -> bool:
    try:
        return row.find_change() is None
    except OSError:
        return False  # Who cannot even look at a file gains nothing by another try.


def _wrong_digest(out: Path, sidecar: Sidecar) -> str:
    path = shard_path(out, sidecar.shard)
    return "" if sha256_of(path) == sidecar.sha256 else f"{path} has another digest than it had"
