"""Parquet tables that may come from strangers: claims are checked before anything is decoded."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.bounded import check_regular
from toolkit.errors import ShardError

if TYPE_CHECKING:
    import pandas as pd

# Of these every one that a build writes is far below.
MAX_BYTES = 4 << 30
MAX_COLUMNS = 500
MAX_CELLS = 250_000_000
# Text as it is in memory: a dictionary of one long word says it a million times in a byte each.
MAX_TEXT_BYTES = 1 << 30


def read_table(
    path: Path, what: str, needed: Collection[str] = (), columns: Collection[str] | None = None
) -> Any:
    """Return a ``pyarrow.Table`` of flat columns whose text is plain; no row may cost under a byte.

    The file must have the columns ``needed``; of those it has only ``columns`` are read.  Raises
    ``ShardError``: not a Parquet file, damaged, or claims that do not fit in memory.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        size = _check_size(path)
        with parquet.ParquetFile(path) as file:
            text = _check_claims(path, file, size)
            names = file.schema_arrow.names
        missing = [name for name in (*needed, *(columns or ())) if name not in names]
        if missing:
            raise ShardError(path, "columns", expected=f"a column {missing[0]}", found="none")
        with parquet.ParquetFile(path, read_dictionary=text) as file:
            table = file.read(None if columns is None else list(columns))
        table.validate()
        return _spell_out(path, table)
    except FileNotFoundError as error:
        raise ShardError(path, "file", expected=what, found="nothing there") from error
    # pyarrow's own kinds share no other ancestor, and Thrift's trouble comes as OSError.
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ShardError(path, "file", expected=what, found=_say(error)) from error


def _say(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _check_size(path: Path) -> int:
    info = path.stat()
    check_regular(path, info, MAX_BYTES)
    return info.st_size


def _check_claims(path: Path, file: Any, size: int) -> list[str]:
    """Return the columns of text; refuse more cells than fit and what is not flat."""
    import pyarrow as pa

    schema, n_rows = file.schema_arrow, file.metadata.num_rows
    names = schema.names
    limit = min(size, MAX_CELLS // max(len(names), 1))
    if not 0 <= n_rows <= limit:
        expected = f"at most {limit} rows in {size} bytes and {len(names)} columns"
        raise ShardError(path, "metadata", expected=expected, found=f"{n_rows} rows")
    if len(names) > MAX_COLUMNS or len(set(names)) != len(names):
        expected = f"at most {MAX_COLUMNS} columns, each once"
        raise ShardError(path, "metadata", expected=expected, found=f"{len(names)} columns")
    odd = next((f for f in schema if pa.types.is_nested(f.type) or _is_foreign(f.type)), None)
    if odd is not None:
        expected = "numbers or text"
        raise ShardError(path, f"column {odd.name}", expected=expected, found=str(odd.type))
    return [field.name for field in schema if _is_text(field.type)]


def _is_foreign(kind: Any) -> bool:
    import pyarrow as pa

    return isinstance(kind, pa.BaseExtensionType) or pa.types.is_fixed_size_binary(kind)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        fits(kind)
        for fits in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def _spell_out(path: Path, table: Any) -> Any:
    """Replace dictionaries by the words they stand for, if all the words fit."""
    import pyarrow as pa

    n_bytes = sum(map(_count_bytes, table.columns))
    if n_bytes > MAX_TEXT_BYTES:
        expected = f"at most {MAX_TEXT_BYTES} bytes of text"
        raise ShardError(path, "rows", expected=expected, found=str(n_bytes))
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            plain = table.column(place).cast(field.type.value_type)
            table = table.set_column(place, field.name, plain)
    return table


def _count_bytes(column: Any) -> int:
    """Return how many bytes of text a column of dictionaries stands for."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_dictionary(column.type):
        return 0
    return sum(
        pc.sum(pc.take(pc.binary_length(chunk.dictionary), chunk.indices)).as_py() or 0
        for chunk in column.chunks
    )


def to_frame(path: Path, table: Any, types: Mapping[str, str]) -> "pd.DataFrame":
    """Return a table for pandas, the columns that are named in the given pandas types.

    What the file's metadata says about pandas is not asked.  Raises ``ShardError`` naming a column
    that holds something else, or a gap where the type has none.
    """
    import pandas as pd
    import pyarrow as pa

    kinds = {"string": pa.string(), "int32": pa.int32(), "Int32": pa.int32()}
    kinds |= {"Int64": pa.int64(), "Float64": pa.float64()}
    for place, name in enumerate(table.column_names):
        if name in types:
            column = _cast(path, name, table.column(place), kinds[types[name]])
            table = table.set_column(place, name, column)
    nullable = {pa.string(): pd.StringDtype(), pa.int32(): pd.Int32Dtype()}
    nullable |= {pa.int64(): pd.Int64Dtype(), pa.float64(): pd.Float64Dtype()}
    frame: pd.DataFrame = table.replace_schema_metadata(None).to_pandas(types_mapper=nullable.get)
    plain = {name: kind for name, kind in types.items() if kind.islower() and kind != "string"}
    for name in plain:
        if frame[name].isna().any():
            expected, found = "a number in each row", "a gap"
            raise ShardError(path, f"column {name}", expected=expected, found=found)
    return frame.astype(plain)


def _cast(path: Path, name: str, column: Any, kind: Any) -> Any:
    """Return a column in another width, but never text made of numbers or the reverse."""
    import pyarrow as pa

    is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    fits = is_number if kind != pa.string() else _is_text(column.type)
    expected = "text" if kind == pa.string() else f"numbers ({kind})"
    try:
        if fits or column.null_count == len(column):
            return column.cast(kind)
    except (ValueError, pa.ArrowException) as error:
        found = str(error)
        raise ShardError(path, f"column {name}", expected=expected, found=found) from error
    raise ShardError(path, f"column {name}", expected=expected, found=str(column.type))
