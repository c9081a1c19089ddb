"""The manifest: one row for every planned sample, for pandas."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.shards.files import write_atomically
from toolkit.shards.parquet import read_table, to_frame
from toolkit.shards.schema import MANIFEST_FILE

if TYPE_CHECKING:
    import pandas as pd

OK = "ok"

# Column -> pandas type; facts (setup, youtube_id, ...) and split_* columns come on top.
COLUMNS: dict[str, str] = {
    "sample_id": "string",
    "status": "string",
    "detail": "string",
    "label": "int32",
    "label_name": "string",
    "n_frames": "Int32",
    "n_clips": "Int32",
    "n_bodies": "Int32",
    "fps": "Float64",
    "video_frames": "Int32",
    "max_drift_ms": "Float64",
    "width": "Int32",
    "height": "Int32",
    "shard": "Int32",
    "shard_row": "Int32",
    "poses": "string",
    "video": "string",
    "poses_bytes": "Int64",
    "video_bytes": "Int64",
}
SPLIT_PREFIX = "split_"


def read_manifest(
    path: str | os.PathLike[str], columns: Sequence[str] | None = None
) -> "pd.DataFrame":
    """Return the manifest of a data set folder (or of the Parquet file itself), sorted by id.

    Of ``columns``, if given, nothing else is read: of five million rows all take gigabytes.  Raises
    ``ShardError`` naming the file when it is missing, damaged or lacks a column, read or not.
    """
    file = Path(path)
    file = file / MANIFEST_FILE if file.is_dir() else file
    table = read_table(file, "a Parquet manifest", COLUMNS, columns)
    splits = [name for name in table.column_names if name.startswith(SPLIT_PREFIX)]
    types = COLUMNS | dict.fromkeys(splits, "string")
    return to_frame(file, table, {n: types[n] for n in table.column_names if n in types})


def manifest_frame(
    rows: "Iterable[Mapping[str, Any]] | pd.DataFrame", splits: Sequence[str]
) -> "pd.DataFrame":
    """Return typed manifest rows sorted by id; facts follow the fixed columns in order of name."""
    # Late: what reads and writes shards alone starts in a third of the time without it.
    import pandas as pd

    # As objects: pandas would turn whole numbers with gaps into floats.
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), dtype=object)
    split_columns = [SPLIT_PREFIX + split for split in splits]
    facts = sorted(set(frame.columns) - set(COLUMNS) - set(split_columns))
    frame = frame.reindex(columns=[*COLUMNS, *split_columns, *facts])
    types = COLUMNS | dict.fromkeys(split_columns, "string")
    types |= {name: _fact_type(frame[name]) for name in facts}
    return frame.astype(types).sort_values("sample_id", ignore_index=True)


def write_manifest(frame: "pd.DataFrame", folder: Path) -> None:
    """Write the manifest of a data set folder, whole or not at all."""
    write_atomically(folder / MANIFEST_FILE, lambda aside: frame.to_parquet(aside, index=False))


def splits_of(frame: "pd.DataFrame") -> list[str]:
    """Return the splits a manifest has columns for."""
    return [c.removeprefix(SPLIT_PREFIX) for c in frame.columns if c.startswith(SPLIT_PREFIX)]


def title_split(split: str) -> str:
    """Return what to call a split where nothing else says that it is one; some are named so."""
    return split if split == "split" else f"split {split}"


def _fact_type(values: "pd.Series[Any]") -> str:
    known = values.dropna()
    return "Int32" if len(known) and all(isinstance(v, int) for v in known) else "string"
