"""Plan and results as one manifest: the plan has the last word on what it fixed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from toolkit.build.plan import Plan
from toolkit.build.plan_table import FACT, SPLIT, find_places
from toolkit.shards.manifest import SPLIT_PREFIX, manifest_frame

Rows = Iterable[Mapping[str, Any]]
Column = NDArray[np.object_]

_PLAIN = ("label", "label_name", "poses_bytes", "video_bytes")
_FIXED = frozenset({*_PLAIN, "poses", "video"})


class Told:
    """Rows as workers tell them, less what the plan has fixed, held as columns.

    Of 300,000 rows as ``dict`` each every one takes a kilobyte and more.  Iterating makes a
    ``dict`` of each row, ``None`` where it lacks a column.
    """

    def __init__(self, rows: "Rows | Told" = ()) -> None:
        self._columns: dict[str, list[Any]] = {"sample_id": [], "status": []}
        self.extend(rows)

    def __len__(self) -> int:
        return len(self._columns["sample_id"])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        names, columns = list(self._columns), self._columns.values()
        return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))

    def extend(self, rows: "Rows | Told") -> None:
        """Add rows; each has a ``sample_id`` and a ``status``."""
        added = rows._columns if isinstance(rows, Told) else _gather(list(rows))
        n_before, n_added = len(self), len(added.get("sample_id", ()))
        for name in added.keys() - self._columns.keys():
            self._columns[name] = [None] * n_before
        for name, column in self._columns.items():
            column.extend(added.get(name) or [None] * n_added)

    def count(self) -> Counter[str]:
        """Return how many rows there are of each status."""
        return Counter(self._columns["status"])

    def pick(self, places: NDArray[np.intp]) -> dict[str, Column]:
        """Return the columns of the rows at some places, None for a place of -1."""
        columns = {}
        for name, column in self._columns.items():
            values = np.empty(len(column) + 1, object)
            values[:-1] = column
            columns[name] = values[places]  # The last one is None, and place -1 is the last one.
        return columns

    @property
    def ids(self) -> list[str]:
        """The ids of the rows."""
        return self._columns["sample_id"]


def _gather(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    kinds = set(map(tuple, rows))
    names = {name for names in kinds for name in names} - _FIXED
    if len(kinds) != 1:
        return {name: [row.get(name) for row in rows] for name in names}
    # Mostly all rows of a shard have the same names, in the same order.
    columns = zip(*(row.values() for row in rows), strict=True)
    return {n: list(column) for n, column in zip(*kinds, columns, strict=True) if n in names}


def join_outcomes(plan: Plan, rows: Told | Rows) -> pd.DataFrame:
    """Return the manifest of all samples whose reason the plan knows or that ``rows`` tell of.

    ``rows`` are sidecars' rows.  Raises ``TypeError`` or ``ValueError`` on values of wrong types.
    """
    rows = rows if isinstance(rows, Told) else Told(rows)
    live = plan.live
    places = find_places(live, pa.table({"sample_id": pa.array(rows.ids, pa.string())}))
    reasons = live["reason"].to_numpy()
    known = (places >= 0) | (reasons != "")
    planned, reasons, places = live.filter(pa.array(known)), reasons[known], places[known]
    told = rows.pick(np.where(reasons == "", places, -1))
    listed = {"status": reasons, "detail": _objects(planned, "detail")}
    for name, said in listed.items():
        told[name] = np.asarray(np.where(reasons == "", told.get(name, None), said), object)
    # The plan has the last word on what it fixed, a result on what both could tell.
    frame = pd.DataFrame(_told(planned) | told | _fixed(planned), dtype=object)
    return manifest_frame(frame, plan.header.splits)


def _told(planned: pa.Table) -> dict[str, Column]:
    names = {n: n.removeprefix(FACT) for n in planned.column_names if n.startswith(FACT)}
    splits = (n.removeprefix(SPLIT) for n in planned.column_names if n.startswith(SPLIT))
    names |= {SPLIT + split: SPLIT_PREFIX + split for split in splits}
    return {column: _objects(planned, name) for name, column in names.items()}


def _fixed(planned: pa.Table) -> dict[str, Column]:
    """Return what ``PlannedSample.columns`` returns of one row."""
    paths = {
        file: _objects(planned, f"{file}_folder") + _objects(planned, f"{file}_name")
        for file in ("poses", "video")
    }
    return {name: _objects(planned, name) for name in ("sample_id", *_PLAIN)} | paths


def _objects(table: pa.Table, name: str) -> Column:
    # As objects: pandas would turn whole numbers with gaps into floats.
    values = np.empty(len(table), object)
    values[:] = table[name].to_pylist()
    return values
