"""An earlier plan and a new listing: which rows stay, which samples need a new place."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from toolkit.build.plan_table import (
    FACT,
    SPLIT,
    WORK,
    find_places,
    is_same_work,
    join_tables,
    numbers,
    read_rows,
    replace_columns,
    take_rows,
)
from toolkit.build.planned import NO_SHARD, PlannedSample
from toolkit.errors import PlanError

IsUsable = Callable[[PlannedSample], bool]


def merge_listing(
    old: pa.Table, listed: pa.Table, is_usable: IsUsable
) -> tuple[pa.Table, pa.Table]:
    """Return (the old rows as they now stand, the rows that need a new place).

    ``at`` is the place in the listing of each old row's sample, -1 where it is not listed or the
    row is superseded.
    """
    superseded, shard = numbers(old, "superseded"), numbers(old, "shard")
    at = np.where(superseded, -1, find_places(old, listed))
    found = np.flatnonzero(at >= 0)
    idle, changed = shard == NO_SHARD, np.zeros(len(old), bool)
    before, now = take_rows(old.select(WORK), found), take_rows(listed.select(WORK), at[found])
    changed[found] = ~is_same_work(before, now) & ~idle[found]
    turned_up = np.zeros(len(old), bool)
    turned_up[found] = idle[found] & (listed["reason"].to_numpy() == "")[at[found]]
    again = _judge_changed(old, listed, at, changed, is_usable)

    kept = _renew(old, listed, at, changed, again)
    kept = replace_columns(kept, shard=shard, superseded=superseded | again)
    is_new = np.ones(len(listed), bool)
    is_new[at[(at >= 0) & ~turned_up & ~again]] = False
    return take_rows(kept, np.flatnonzero(~turned_up)), take_rows(listed, np.flatnonzero(is_new))


def _renew(
    old: pa.Table,
    listed: pa.Table,
    at: NDArray[np.intp],
    changed: NDArray[np.bool_],
    again: NDArray[np.bool_],
) -> pa.Table:
    """Return the old rows with all that the listing may tell anew of them."""
    # Mostly all is as it was, and nothing has to be copied together.
    if (at >= 0).all() and not changed.any():
        return take_rows(listed, at)
    before = np.arange(len(old))
    now = np.where(at >= 0, len(old) + at, before)
    # A usable result keeps its files; of a changed failure the old row stays as it was.
    files, told = np.where(changed, before, now), np.where(again, before, now)
    table = join_tables([old, listed])
    named = [n for n in table.column_names if n.startswith((SPLIT, FACT))]
    rows = table.take(files)
    for name, column in zip(named, table.select(named).take(told).columns, strict=True):
        rows = rows.set_column(rows.column_names.index(name), name, column)
    return rows


def _judge_changed(
    old: pa.Table,
    listed: pa.Table,
    at: NDArray[np.intp],
    changed: NDArray[np.bool_],
    is_usable: IsUsable,
) -> NDArray[np.bool_]:
    """Return which of the changed rows have no usable result and have to be tried again."""
    places, again = np.flatnonzero(changed), np.zeros_like(changed)
    before, now = read_rows(old.take(places)), read_rows(listed.take(at[places]))
    for place, row, fresh in zip(places.tolist(), before, now, strict=True):
        again[place] = not is_usable(row)
        if not again[place]:
            _refuse_another(row, fresh)
    return again


def _refuse_another(old: PlannedSample, new: PlannedSample) -> None:
    """Refuse to keep a result whose recording is another one now; files that are gone are not."""
    changes = []
    if new.label != old.label:
        changes.append(f"label was {old.label_name} and is {new.label_name} now")
    stamps = ("pose file", old.poses, new.poses), ("video", old.video, new.video)
    differing = [(what, was, now) for what, was, now in stamps if was.key != now.key]
    changes += [f"{what} was {was} and is {now} now" for what, was, now in differing if now.path]
    if not changes and not differing:
        changes.append(f"recording was usable and is left out now ({new.reason}: {new.detail})")
    if changes:
        raise PlanError(
            f"sample {old.sample_id}: its {changes[0]}: undo that, choose another --out, or"
            " --overwrite to build anew"
        )
