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
        about = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
        columns = [table[name] for name in ("sample_id", "label", "scores")]
    # Damaged pages, foreign files and lacking columns: pyarrow's errors are these three kinds.
    except (OSError, ValueError, KeyError) as error:
        raise TrainError(f"{path} is no readable score file: {error}") from error
    if about.get("version") != FORMAT_VERSION:
        raise TrainError(
            f"{path}: metadata: expected {FORMAT_NAME} version {FORMAT_VERSION},"
            f" found {about.get('version', 'none')}"
        )
    return _to_evaluation(path, about, *columns)


def _to_evaluation(
    path: Path, about: dict[str, Any], ids: Any, labels: Any, rows: Any
) -> Evaluation:
    K = len(about["class_names"])
    evaluation = Evaluation(
        split=about["split"],
        subset=about["subset"],
        average=about["average"],
        class_names=tuple(about["class_names"]),
        sample_ids=tuple(ids.to_pylist()),
        labels=labels.to_numpy().astype(np.int64),
        scores=_to_scores(path, rows, K),
        dropped=np.array(about["dropped"], np.int64),
        source=about["source"],
    )
    if len(set(evaluation.sample_ids)) != evaluation.n_samples:
        raise TrainError(f"{path}: column sample_id: expected every sample once, found some twice")
    if evaluation.labels.min() < 0 or evaluation.labels.max() >= K:
        raise TrainError(
            f"{path}: column label: expected 0 to {K - 1},"
            f" found {evaluation.labels.min()} to {evaluation.labels.max()}"
        )
    return evaluation


def _to_scores(path: Path, rows: Any, n_classes: int) -> NDArray[np.float32]:
    flat = np.concatenate([chunk.flatten().to_numpy() for chunk in rows.chunks] or [np.empty(0)])
    if flat.size != len(rows) * n_classes:
        raise TrainError(
            f"{path}: column scores: expected {n_classes} in each of {len(rows)} rows,"
            f" found {flat.size} in all"
        )
    return flat.astype(np.float32).reshape(len(rows), n_classes)
