"""The pictures and test figures of a finished run, beside its checkpoints."""

import json
from pathlib import Path
from typing import Any

from train.errors import TrainError
from train.evaluate import evaluate_run
from train.evaluation import Evaluation
from train.files import RunFolder, write_atomically, write_text
from train.pictures import draw_curves
from train.results import (
    CONFUSION_FILE,
    PER_CLASS_FILE,
    format_limits,
    list_figures,
    name_figures,
    write_evaluation,
)

CURVES_FILE = "curves.png"
TEST_HEADING = "## Test"


def write_report(run: Path, shards: Path | None) -> Evaluation | None:
    """Draw curves.png, and with shards evaluate the last checkpoint and tell its test figures.

    With shards it also writes what ``train.evaluate`` does, and the test section of summary.md,
    which replaces that of an earlier report.  Raises ``TrainError`` or ``ShardError``.
    """
    folder = RunFolder(run)
    epochs = read_epochs(folder.metrics)
    write_atomically(run / CURVES_FILE, lambda aside: draw_curves(epochs, aside))
    if shards is None:
        return None
    evaluation = evaluate_run(run, shards)
    write_evaluation(evaluation, run)
    text = folder.summary.read_text(encoding="utf-8") if folder.summary.exists() else ""
    before = text.partition(f"\n{TEST_HEADING}\n")[0].rstrip("\n")
    write_text(folder.summary, f"{before}\n\n{format_test(evaluation)}")
    return evaluation


def read_epochs(path: Path) -> list[dict[str, Any]]:
    """Read the epochs' records of metrics.jsonl; raises ``TrainError`` if there is none.

    A bad line is named; a last one that a kill has cut short is left out.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise TrainError(f"{path} cannot be read: {error}") from error
    # What follows the last newline is empty or was never finished.
    records = [_parse_record(path, number, line) for number, line in enumerate(lines[:-1], 1)]
    epochs = [record for record in records if record["kind"] == "epoch"]
    if not epochs:
        raise TrainError(f"{path} tells of no finished epoch yet")
    return epochs


def format_test(evaluation: Evaluation) -> str:
    """Return the test figures of a run as a section of Markdown."""
    heads = ["", *name_figures(evaluation)]
    rows = [heads, ["-"] * len(heads)]
    rows += [
        [name, *(f"{share:.2%}" for share in shares)] for name, shares in list_figures(evaluation)
    ]
    return "\n".join(
        [
            TEST_HEADING,
            "",
            f"Split {evaluation.split}, {evaluation.source['checkpoint']}: {evaluation.average}"
            " averaged over all clips of each sample.",
            "",
            *(f"| {' | '.join(cells)} |" for cells in rows),
            "",
            *(f"{sentence[0].upper()}{sentence[1:]}.\n" for sentence in format_limits(evaluation)),
            f"Accuracy of each class: [{PER_CLASS_FILE}]({PER_CLASS_FILE}).",
            "",
            f"![Training curves]({CURVES_FILE})",
            f"![Confusion]({CONFUSION_FILE})",
            "",
        ]
    )


def _parse_record(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
        return {"kind": record["kind"], **record}
    except (ValueError, KeyError, TypeError) as error:
        raise TrainError(
            f"{path}: line {number}: expected a JSON object with a kind, found {line[:60]!r}"
        ) from error
