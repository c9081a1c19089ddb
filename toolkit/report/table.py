"""The manifest as columns that a page can search, sort and filter: all samples, no paths."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from toolkit.page import Pack
from toolkit.shards.manifest import COLUMNS, OK, SPLIT_PREFIX, title_split

# The page packs a row's number into 21 bits (ROW_BITS in page/rows.js).
MAX_SAMPLES = 2**21
# A fact of more values than this is a name (youtube_id) or a path, not something to count by.
_MAX_CATEGORIES = 1000
_EMPTY = np.uint16(0xFFFF)
_RANKS = (OK, "train", "val", "test")
# NTU and Kinetics name the class once more, as a number.
_SAID_AGAIN = ("action", "source_label")


@dataclass(frozen=True)
class _Column:
    """How a column is shown: as ``text``, as a ``category`` to filter by, or as a ``number``."""

    name: str
    title: str
    kind: str
    unit: str = ""


_FIRST = (
    _Column("sample_id", "sample", "text"),
    _Column("status", "status", "category"),
    _Column("label_name", "class", "category"),
    _Column("n_frames", "frames", "number", "frames"),
    _Column("n_clips", "clips", "number", "clips"),
    _Column("n_bodies", "bodies", "category"),
    _Column("max_drift_ms", "drift", "number", "ms"),
    _Column("video_frames", "video frames", "number"),
    _Column("fps", "rate", "number", "fps"),
)
_LAST = (_Column("detail", "detail", "text"),)


def pack_table(manifest: pd.DataFrame, pack: Pack) -> list[dict[str, Any]]:
    """Add the manifest's columns to a pack and return what the page's header says of each.

    Columns without a value are left out, and so are the paths of the raw files.  Raises
    ``ValueError`` on more samples than the page can sort.
    """
    if len(manifest) > MAX_SAMPLES:
        raise ValueError(f"a report holds at most {MAX_SAMPLES:,} samples, not {len(manifest):,}")
    columns = [*_FIRST, *_list_splits(manifest), *_list_facts(manifest), *_LAST]
    always = ("sample_id", "status", "detail")
    return [
        asdict(column) | _pack_values(manifest[column.name], column.kind, pack)
        for column in columns
        if column.name in always or manifest[column.name].notna().any()
    ]


def _list_splits(manifest: pd.DataFrame) -> Iterator[_Column]:
    for name in manifest.columns:
        if name.startswith(SPLIT_PREFIX):
            yield _Column(name, title_split(name.removeprefix(SPLIT_PREFIX)), "category")


def _list_facts(manifest: pd.DataFrame) -> Iterator[_Column]:
    for name in manifest.columns:
        known = name in COLUMNS or name in _SAID_AGAIN or name.startswith(SPLIT_PREFIX)
        if not known and manifest[name].nunique() <= min(_MAX_CATEGORIES, _n_repeated(manifest)):
            yield _Column(name, name.replace("_", " "), "category")


def _n_repeated(manifest: pd.DataFrame) -> int:
    """Return the most values a fact may have: one that differs everywhere is a second id."""
    return max(len(manifest) - 1, 1)


def _pack_values(values: "pd.Series[Any]", kind: str, pack: Pack) -> dict[str, Any]:
    if kind == "text":
        return {"values": values.fillna("").astype(str).tolist()}
    if kind == "number":
        return {"values": pack.add(values.to_numpy(np.float32, na_value=np.nan))}
    names = sorted(values.dropna().unique().tolist(), key=_by_rank)
    codes = pd.Index(names).get_indexer(values.astype(object))
    stored = np.where(codes < 0, _EMPTY, codes).astype(np.uint16)
    return {"names": [str(name) for name in names], "values": pack.add(stored)}


def _by_rank(name: Any) -> tuple[int, Any]:
    """Sort ``ok`` before the reasons, subsets as they are used; numbers by value, else letters."""
    return _RANKS.index(name) if name in _RANKS else len(_RANKS), name
