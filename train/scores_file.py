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
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        about = dict(json.loads((table.schema.metadata or {}).get(_KEY, b"{}")))
        columns = [table[name] for name in ("sample_id", "label", "scores")]
    # Damaged pages, foreign files and lacking columns: pyarrow's errors are these three kinds.
    except (OSError, ValueError, KeyError) as error:
        raise TrainError(f"{path} is no readable score file: {error}") from error
    if about.get("version") != FORMAT_VERSION:
        raise TrainError(
            f"{path}: metadata: expected {FORMAT_NAME} version {FORMAT_VERSION},"
            f" found {about.get('version', 'none')}"
        )
    return _to_evaluation(path, _check_about(path, about), columns)


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
    if dropped.shape != (len(names),):
        raise TrainError(
            f"{path}: metadata: expected dropped samples of {len(names)} classes,"
            f" found {dropped.size} numbers"
        )
    return {**facts, "class_names": names, "dropped": dropped, "source": source}


def _to_evaluation(path: Path, about: dict[str, Any], columns: list[Any]) -> Evaluation:
    ids, K = columns[0].to_pylist(), len(about["class_names"])
    if len(set(ids)) != len(ids):
        raise TrainError(f"{path}: column sample_id: expected every sample once, found some twice")
    return Evaluation(
        sample_ids=tuple(map(str, ids)),
        labels=_to_labels(path, columns[1], K),
        scores=_to_scores(path, columns[2], K),
        **about,
    )


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
    try:
        return np.stack(column.to_numpy()).astype(np.float32).reshape(len(column), n_classes)
    # Rows of different lengths, empty ones, and texts.
    except (TypeError, ValueError) as error:
        raise TrainError(
            f"{path}: column scores: expected {n_classes} numbers in every row, found {error}"
        ) from error
