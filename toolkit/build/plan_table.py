"""The rows of a plan as one Arrow table: 300,000 of them cost megabytes and milliseconds.

Besides the columns of ``BASE`` there is one ``split_NAME`` for each split and one ``fact_NAME`` for
each fact, null where a sample has none.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from toolkit.build.planned import (
    NO_SHARD,
    FileStamp,
    FileStamps,
    PlannedSample,
    Stamp,
    look_up_all,
)
from toolkit.samples import Sample, SampleColumns, spread_keys

BASE: dict[str, pa.DataType] = {
    "sample_id": pa.string(),
    "label": pa.int64(),
    "label_name": pa.string(),
    "reason": pa.string(),
    "detail": pa.string(),
    **{
        f"{file}_{part}": kind
        for file in ("poses", "video")
        for part, kind in zip(
            FileStamp._fields, (pa.string(), pa.string(), pa.int64(), pa.int64()), strict=True
        )
    },
    "shard": pa.int64(),
    "superseded": pa.bool_(),
}
SPLIT, FACT = "split_", "fact_"
_AS_LISTED = ("sample_id", "label", "label_name", "detail")
# What decides the outcome of the work on a sample: PlannedSample.work, as columns.
WORK = (
    "label", "reason", "poses_name", "poses_bytes", "poses_mtime_ns", "video_name", "video_bytes",
    "video_mtime_ns",
)  # fmt: skip


def tabulate_samples(samples: Sequence[Sample], *, skeleton_only: bool) -> pa.Table:
    """Return the rows of a listing, every file looked up, none with a shard yet."""
    listed = SampleColumns.of(samples)
    n_rows = len(listed)
    columns = {
        **{name: getattr(listed, name) for name in _AS_LISTED},
        "reason": [reason or "" for reason in listed.reason],
        **_name_stamps("poses", look_up_all(listed.poses)),
        **_name_stamps("video", look_up_all([None] * n_rows if skeleton_only else listed.video)),
        "shard": np.full(n_rows, NO_SHARD),
        "superseded": np.zeros(n_rows, bool),
    }
    return _tabulate(columns, listed.subsets, listed.facts)


def tabulate_rows(rows: Sequence[PlannedSample]) -> pa.Table:
    """Return rows as a table; the reverse of :func:`read_rows`."""
    as_they_are = (*_AS_LISTED, "reason", "shard", "superseded")
    columns = {
        **{name: [getattr(row, name) for row in rows] for name in as_they_are},
        **_name_stamps("poses", _spread_stamps(row.poses.parts for row in rows)),
        **_name_stamps("video", _spread_stamps(row.video.parts for row in rows)),
    }
    subsets, facts = (spread_keys([getattr(row, n) for row in rows]) for n in ("subsets", "facts"))
    return _tabulate(columns, subsets, facts)


def _tabulate(
    columns: Mapping[str, Any],
    subsets: Mapping[str, Sequence[str | None]],
    facts: Mapping[str, Sequence[int | str | None]],
) -> pa.Table:
    base = {name: pa.array(columns[name], kind) for name, kind in BASE.items()}
    # Whole numbers or text, as the values are.
    told = {
        prefix + name: pa.array(values)
        for prefix, spread in ((SPLIT, subsets), (FACT, facts))
        for name, values in sorted(spread.items())
    }
    return pa.table(base | {n: v for n, v in told.items() if v.null_count < len(v)})


def _name_stamps(file: str, stamps: FileStamps) -> dict[str, list[Any]]:
    return {f"{file}_{part}": column for part, column in stamps._asdict().items()}


def _spread_stamps(stamps: Iterable[FileStamp]) -> FileStamps:
    listed = list(stamps)
    return FileStamps(
        folder=[stamp.folder for stamp in listed],
        name=[stamp.name for stamp in listed],
        bytes=[stamp.bytes for stamp in listed],
        mtime_ns=[stamp.mtime_ns for stamp in listed],
    )


def read_rows(table: pa.Table) -> list[PlannedSample]:
    """Return rows of a table as objects."""
    columns = {name: table[name].to_pylist() for name in table.column_names}
    stamps = {file: _stamps(columns, file) for file in ("poses", "video")}
    subsets, facts = (_gather(columns, prefix, len(table)) for prefix in (SPLIT, FACT))
    before = [columns[name] for name in ("sample_id", "label", "label_name")]
    after = [columns[name] for name in ("reason", "detail", "shard", "superseded")]
    parts = (*before, subsets, facts, stamps["poses"], stamps["video"], *after)
    return [PlannedSample(*values) for values in zip(*parts, strict=True)]


def _stamps(columns: Mapping[str, list[Any]], file: str) -> list[Stamp]:
    parts = zip(*(columns[f"{file}_{part}"] for part in FileStamp._fields), strict=True)
    return [Stamp(folder + name, n_bytes, mtime_ns) for folder, name, n_bytes, mtime_ns in parts]


def _gather(columns: Mapping[str, list[Any]], prefix: str, n_rows: int) -> list[dict[str, Any]]:
    named = {n.removeprefix(prefix): v for n, v in columns.items() if n.startswith(prefix)}
    return [
        {name: values[i] for name, values in named.items() if values[i] is not None}
        for i in range(n_rows)
    ]


def numbers(table: pa.Table, name: str) -> NDArray[Any]:
    """Return a column without gaps as a NumPy array."""
    return table[name].to_numpy()


def replace_columns(table: pa.Table, **columns: Any) -> pa.Table:
    """Return the table with other values in some columns."""
    for name, values in columns.items():
        kind = table.schema.field(name).type
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.array(values, kind))
    return table


def take_rows(table: pa.Table, places: NDArray[np.intp]) -> pa.Table:
    """Return rows of a table, nothing copied where they lie one after the other in one piece."""
    whole = table.combine_chunks()
    first = int(places[0]) if len(places) else 0
    if np.array_equal(places, np.arange(first, first + len(places))):
        return whole.slice(first, len(places))
    return whole.take(places).combine_chunks()


def join_tables(tables: Sequence[pa.Table]) -> pa.Table:
    """Return the rows of all tables, null where one lacks a column; empty columns are left out."""
    filled = [table for table in tables if len(table)] or list(tables)
    joined = pa.concat_tables(filled, promote_options="default").combine_chunks()
    told = [n for n in joined.column_names if n in BASE or joined[n].null_count < len(joined)]
    splits, facts = ([n for n in sorted(told) if n.startswith(p)] for p in (SPLIT, FACT))
    return joined.select([*BASE, *splits, *facts])


def find_places(wanted: pa.Table, among: pa.Table) -> NDArray[np.int64]:
    """Return for each row of ``wanted`` the row ``among`` others with its id, -1 for none."""
    places = pc.index_in(wanted["sample_id"], value_set=among["sample_id"].combine_chunks())
    return places.fill_null(-1).to_numpy().astype(np.int64)


def is_same_work(one: pa.Table, other: pa.Table) -> NDArray[np.bool_]:
    """Tell row by row whether the work on a sample would have the same outcome."""
    same = np.ones(len(one), bool)
    for name in WORK:
        same &= pc.equal(one[name], other[name]).to_numpy()
    return same


def write_lines(table: pa.Table) -> pa.Array:
    """Return for each row a text of all that decides the bytes of its shard, for digests.

    Neither an id nor a file name holds a slash, so that no two rows have the same text.
    """
    text = pa.large_string()
    columns = [table[name].cast(text) for name in ("sample_id", "shard", *WORK)]
    ending, slash = pa.scalar("", text), pa.scalar("/", text)
    return pc.binary_join_element_wise(*columns, ending, slash).combine_chunks()
