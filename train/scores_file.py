"""``scores.parquet``: the scores of every sample of an evaluation, for fusing and for pandas.

One row a sample: ``sample_id``, ``label``, ``predicted`` and ``scores``, a list of K float32.  What
an :class:`~train.evaluation.Evaluation` holds besides stands as JSON in the file's metadata.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.errors import TrainError
from train.evaluation import Evaluation
from train.files import write_atomically

SCORES_FILE = "scores.parquet"
FORMAT_NAME = "ctxtool-scores"
FORMAT_VERSION = 1
_KEY = FORMAT_NAME.encode()
# Thirty times the largest evaluation; of a claim of more nothing is read.
MAX_VALUES = 250_000_000
MAX_BYTES = 4 << 30


def write_scores(evaluation: Evaluation, path: Path) -> None:
    """Write a score file, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    K = len(evaluation.class_names)
    scores = pa.FixedSizeListArray.from_arrays(pa.array(evaluation.scores.ravel()), K)
    table = pa.table(
        {
            "sample_id": pa.array(evaluation.sample_ids, pa.string()),
            "label": evaluation.labels,
            "predicted": evaluation.predicted,
            "scores": scores,
        }
    )
    about = {
        "version": FORMAT_VERSION,
        "split": evaluation.split,
        "subset": evaluation.subset,
        "average": evaluation.average,
        "class_names": list(evaluation.class_names),
        "dropped": evaluation.dropped.tolist(),
        "source": evaluation.source,
    }
    table = table.replace_schema_metadata({_KEY: json.dumps(about).encode()})
    write_atomically(path, lambda aside: pq.write_table(table, aside))


def read_scores(path: Path) -> Evaluation:
    """Read a score file; raises ``TrainError`` naming file and place of what is wrong."""
    import pyarrow as pa

    try:
        table = _read_table(path)
        about = dict(json.loads((table.schema.metadata or {}).get(_KEY, b"{}")))
        columns = [table[name] for name in ("sample_id", "label", "scores")]
    # Damaged pages, foreign files and lacking columns; not all of pyarrow's errors are ValueErrors.
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise TrainError(f"{path} is no readable score file: {error}") from error
    if about.get("version") != FORMAT_VERSION:
        raise TrainError(
            f"{path}: metadata: expected {FORMAT_NAME} version {FORMAT_VERSION},"
            f" found {about.get('version', 'none')}"
        )
    return _to_evaluation(path, _check_about(path, about), columns)


def _read_table(path: Path) -> Any:
    """Return the table of a file whose claims fit into memory, ids as a dictionary."""
    from pyarrow import parquet

    # A folder would be read as one table, a pipe waited for.
    if path.exists() and not path.is_file():
        raise ValueError("expected a file, found a folder, a pipe or a device")
    with parquet.ParquetFile(path, read_dictionary=["sample_id"]) as file:
        claims = file.metadata
        groups = [claims.row_group(g) for g in range(claims.num_row_groups)]
        chunks = [group.column(c) for group in groups for c in range(claims.num_columns)]
        _check_claims("values", [chunk.num_values for chunk in chunks], MAX_VALUES)
        _check_claims("bytes", [chunk.total_uncompressed_size for chunk in chunks], MAX_BYTES)
        return file.read()


def _check_claims(what: str, claims: list[int], limit: int) -> None:
    """Refuse what the parts of a file claim to hold where it is too much, in one or in all."""
    # In a sum alone, a part of fewer than none would hide one of far too many.
    if min(claims, default=0) < 0 or sum(claims) > limit:
        raise ValueError(
            f"expected parts of 0 or more {what}, together at most {limit},"
            f" found parts of {min(claims)} to {max(claims)}, together {sum(claims)}"
        )


def _check_about(path: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata by the names of ``Evaluation``'s fields."""
    try:
        facts = {name: str(about[name]) for name in ("split", "subset", "average")}
        names = tuple(map(str, about["class_names"]))
        dropped = np.array(about["dropped"], np.int64)
        source = dict(about["source"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise TrainError(
            f"{path}: metadata: expected what an evaluation holds, found {error!r}"
        ) from error
    if dropped.shape != (len(names),) or (dropped < 0).any():
        raise TrainError(
            f"{path}: metadata: expected dropped samples of {len(names)} classes,"
            f" found {dropped.size} numbers from {dropped.min(initial=0)} on"
        )
    return {**facts, "class_names": names, "dropped": dropped, "source": source}


def _to_evaluation(path: Path, about: dict[str, Any], columns: list[Any]) -> Evaluation:
    ids, K = _to_ids(path, columns[0]), len(about["class_names"])
    labels, scores = _to_labels(path, columns[1], K), _to_scores(path, columns[2], K)
    try:
        return Evaluation(sample_ids=ids, labels=labels, scores=scores, **about)
    except TrainError as error:
        raise TrainError(f"{path}: {error}") from error


def _to_ids(path: Path, column: Any) -> tuple[str, ...]:
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if column.null_count or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise TrainError(
            f"{path}: column sample_id: expected a text in every row, found {kind}"
            f" with {column.null_count} rows empty"
        )
    # Counted before they are spelt out: one long text may stand for a million rows.
    if len(column.unique()) != len(column):
        raise TrainError(f"{path}: column sample_id: expected every sample once, found some twice")
    return tuple(column.to_pylist())


def _to_labels(path: Path, column: Any, n_classes: int) -> NDArray[np.int64]:
    labels = column.to_numpy()
    if not np.issubdtype(labels.dtype, np.integer):
        raise TrainError(
            f"{path}: column label: expected a whole number in every row, found {column.type}"
            f" with {column.null_count} rows empty"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < n_classes:
        raise TrainError(
            f"{path}: column label: expected 0 to {n_classes - 1},"
            f" found {labels.min()} to {labels.max()}"
        )
    return labels.astype(np.int64)


def _to_scores(path: Path, column: Any, n_classes: int) -> NDArray[np.float32]:
    import pyarrow as pa

    types, kind = pa.types, column.type
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    of = kind.value_type if is_list else kind
    try:
        # Texts that look like numbers would pass for them.
        if not is_list or not (types.is_floating(of) or types.is_integer(of)):
            raise TypeError(str(kind))
        rows = np.stack(column.to_numpy()) if len(column) else np.empty((0, n_classes))
        return rows.astype(np.float32).reshape(len(column), n_classes)
    # Rows of different lengths, and empty ones.
    except (TypeError, ValueError) as error:
        raise TrainError(
            f"{path}: column scores: expected {n_classes} numbers in every row, found {error}"
        ) from error
