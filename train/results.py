"""The files an evaluation leaves in a folder, and the lines it prints."""

import csv
import json
from pathlib import Path
from typing import Any

from train.evaluation import Evaluation
from train.files import write_atomically, write_text
from train.pictures import draw_confusion
from train.scores_file import SCORES_FILE, write_scores

EVALUATION_FILE = "evaluation.json"
PER_CLASS_FILE = "per_class.csv"
CONFUSION_FILE = "confusion.png"

PER_CLASS_COLUMNS = ("class", "n", "correct", "accuracy", "most_confused_with", "n_confused")


def write_evaluation(evaluation: Evaluation, folder: Path) -> None:
    """Write evaluation.json, scores.parquet, per_class.csv and confusion.png to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / EVALUATION_FILE, _format_json(evaluation.to_dict()))
    write_scores(evaluation, folder / SCORES_FILE)
    rows = list_classes(evaluation)
    write_atomically(folder / PER_CLASS_FILE, lambda aside: _write_csv(rows, aside))
    write_atomically(folder / CONFUSION_FILE, lambda aside: draw_confusion(evaluation, aside))


def list_classes(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return a row for every class by :data:`PER_CLASS_COLUMNS`, in the order of labels.

    Of classes equally often confused the first counts; what does not exist is an empty text.
    """
    rows = []
    for label, name in enumerate(evaluation.class_names):
        given = evaluation.confusion[label].copy()
        n, correct = int(given.sum()), int(given[label])
        given[label] = 0
        wrong = int(given.max())
        accuracy = f"{correct / n:.4f}" if n else ""
        rival = evaluation.class_names[int(given.argmax())] if wrong else ""
        values = (name, n, correct, accuracy, rival, wrong)
        rows.append(dict(zip(PER_CLASS_COLUMNS, values, strict=True)))
    return rows


def list_figures(evaluation: Evaluation) -> list[tuple[str, list[float]]]:
    """Return the accuracies by name, each with a second one if samples were dropped.

    The second counts those as wrong.
    """
    figures = [
        ("top-1", [evaluation.top1, evaluation.top1_with_dropped]),
        ("top-5", [evaluation.top5, evaluation.top5_with_dropped]),
        ("mean class", [evaluation.mean_class, evaluation.mean_class_with_dropped]),
    ]
    n_columns = 2 if evaluation.n_dropped else 1
    return [(name, shares[:n_columns]) for name, shares in figures]


def name_figures(evaluation: Evaluation) -> list[str]:
    """Return what the columns of :func:`list_figures` mean."""
    heads = [f"{evaluation.n_samples} samples", f"with {evaluation.n_dropped} dropped as wrong"]
    return heads if evaluation.n_dropped else heads[:1]


def format_evaluation(evaluation: Evaluation) -> str:
    """Return the figures as a small table of text."""
    heads = name_figures(evaluation)
    lines = [f"split {evaluation.split}, {evaluation.subset}", "  ".join([" " * 10, *heads])]
    for name, shares in list_figures(evaluation):
        cells = [f"{share:{len(head)}.2%}" for share, head in zip(shares, heads, strict=True)]
        lines.append("  ".join([f"{name:10}", *cells]))
    return "\n".join([*lines, *format_limits(evaluation)])


def format_limits(evaluation: Evaluation) -> list[str]:
    """Return a sentence on what top-1 can be at all, where that is known: on synthetic data."""
    source = evaluation.source
    if "ceiling" not in source:
        return []
    ceiling, bound = source["ceiling"], source["bound"]
    beyond = f" (none can exceed {bound:.2%})" if bound > ceiling else ""
    return [
        f"synthetic data: the exact ceiling of top-1 with these inputs is {ceiling:.2%}{beyond},"
        f" chance is {source['chance']:.2%}"
    ]


def _format_json(values: dict[str, Any]) -> str:
    """Format for people: indented, but every row of the confusion on one line."""
    rest = {name: value for name, value in values.items() if name != "confusion"}
    rows = ",\n".join(f"  {json.dumps(row)}" for row in values["confusion"])
    text = json.dumps(rest, indent=1, ensure_ascii=False)
    return f'{text[:-2]},\n "confusion": [\n{rows}\n ]\n}}\n'


def _write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, PER_CLASS_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
