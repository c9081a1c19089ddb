"""Plan and results as one manifest: the plan has the last word on what it fixed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from toolkit.build.plan import Plan
from toolkit.build.plan_table import FACT, SPLIT, find_places
from toolkit.shards.manifest import SPLIT_PREFIX, manifest_frame

Rows = Sequence[Mapping[str, Any]]
Column = NDArray[np.object_]


def join_outcomes(plan: Plan, rows: Rows) -> pd.DataFrame:
    """Return the manifest of all samples whose reason the plan knows or that ``rows`` tell of.

    ``rows`` are sidecars' rows.  Raises ``TypeError`` or ``ValueError`` on values of wrong types.
    """
    live = plan.live
    results = pa.table({"sample_id": pa.array([row["sample_id"] for row in rows], pa.string())})
    places, reasons = find_places(live, results), live["reason"].to_numpy()
    known = (places >= 0) | (reasons != "")
    planned, reasons, places = live.filter(pa.array(known)), reasons[known], places[known]
    told = _gather(rows, np.where(reasons == "", places, -1))
    listed = {"status": reasons, "detail": _objects(planned, "detail")}
    for name, said in listed.items():
        told[name] = np.asarray(np.where(reasons == "", told.get(name, None), said), object)
    # The plan has the last word on what it fixed, a result on what both could tell.
    frame = pd.DataFrame(_told(planned) | told | _fixed(planned), dtype=object)
    return manifest_frame(frame, plan.header.splits)


def _gather(rows: Rows, places: NDArray[np.intp]) -> dict[str, Column]:
    """Return the columns of the rows at some places, None where a row lacks one or is not there."""
    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = np.empty(len(rows) + 1, object)
        values[:-1] = [row.get(name) for row in rows]
        columns[name] = values[places]  # The last one is None, and place -1 is the last one.
    return columns


def _told(planned: pa.Table) -> dict[str, Column]:
    names = {n: n.removeprefix(FACT) for n in planned.column_names if n.startswith(FACT)}
    splits = (n.removeprefix(SPLIT) for n in planned.column_names if n.startswith(SPLIT))
    names |= {SPLIT + split: SPLIT_PREFIX + split for split in splits}
    return {column: _objects(planned, name) for name, column in names.items()}


def _fixed(planned: pa.Table) -> dict[str, Column]:
    """Return what ``PlannedSample.columns`` returns of one row."""
    plain = ("sample_id", "label", "label_name", "poses_bytes", "video_bytes")
    paths = {
        file: _objects(planned, f"{file}_folder") + _objects(planned, f"{file}_name")
        for file in ("poses", "video")
    }
    return {name: _objects(planned, name) for name in plain} | paths


def _objects(table: pa.Table, name: str) -> Column:
    # As objects: pandas would turn whole numbers with gaps into floats.
    values = np.empty(len(table), object)
    values[:] = table[name].to_pylist()
    return values
