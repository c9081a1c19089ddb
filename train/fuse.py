"""``python -m train.fuse``: add up the scores of several runs on the same samples."""

import math
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from train.command_line import EPILOG, run_command, set_up_logging
from train.errors import TrainError
from train.evaluation import Evaluation
from train.results import format_evaluation, write_evaluation
from train.scores_file import SCORES_FILE, read_scores


def fuse_files(paths: Sequence[Path], weights: Sequence[float] | None = None) -> Evaluation:
    """Average score files by sample, equally or by weights of any sum.

    Rows may stand in any order; the first file's is kept.  Raises ``ValueError`` for weights that
    do not fit, ``TrainError`` naming the two files that are not of the same samples.
    """
    weights = _check_weights(weights or [1.0] * len(paths), len(paths))
    first, *others = [read_scores(path) for path in paths]
    total = weights[0] * first.scores.astype(np.float64)
    for path, weight, other in zip(paths[1:], weights[1:], others, strict=True):
        _check_alike(paths[0], first, path, other)
        row_of = {name: row for row, name in enumerate(other.sample_ids)}
        order = [row_of[name] for name in first.sample_ids]
        _check_labels(first, other.labels[order], path)
        total += weight * other.scores[order]
    return Evaluation(
        split=first.split,
        subset=first.subset,
        average=first.average,
        class_names=first.class_names,
        sample_ids=first.sample_ids,
        labels=first.labels,
        scores=(total / sum(weights)).astype(np.float32),
        dropped=first.dropped,
        source={
            "fused": [
                {"file": str(path), "weight": weight, **evaluation.source}
                for path, weight, evaluation in zip(paths, weights, [first, *others], strict=True)
            ]
        },
    )


def parse_weights(text: str) -> list[float]:
    """Read numbers separated by commas; raises ``ValueError`` naming what is none."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise ValueError(
            f"weights must be numbers separated by commas, got {text!r}: {error}"
        ) from error


def _check_weights(weights: Sequence[float], n_files: int) -> Sequence[float]:
    if len(weights) != n_files:
        raise ValueError(f"{len(weights)} weights are given for {n_files} score files")
    if not all(math.isfinite(w) and w >= 0 for w in weights) or sum(weights) == 0:
        raise ValueError(f"weights must not be negative, nor all 0; got {list(weights)}")
    return weights


def _check_alike(first_path: Path, first: Evaluation, path: Path, other: Evaluation) -> None:
    difference = first.name_difference(other)
    if difference:
        raise TrainError(f"{first_path} and {path} differ in {difference}: not to be fused")
    lone = sorted(set(first.sample_ids) ^ set(other.sample_ids))
    if lone:
        holder = first_path if lone[0] in first.sample_ids else path
        raise TrainError(
            f"{first_path} and {path} hold different samples: {len(lone)} are in one only, such as"
            f" {lone[0]} in {holder}"
        )


def _check_labels(first: Evaluation, labels: np.ndarray, path: Path) -> None:
    wrong = np.flatnonzero(first.labels != labels)
    if len(wrong):
        row = wrong[0]
        raise TrainError(
            f"{path}: sample {first.sample_ids[row]}: expected label {first.labels[row]} as in the"
            f" first file, found {labels[row]}"
        )


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.argument("scores", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--weights", metavar="W,W,...", help="One for each, of any sum.  [default: equal]")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False),
              help="Where to write the results.")  # fmt: skip
def fuse(scores: tuple[Path, ...], weights: str | None, out: Path) -> None:
    """Fuse SCORES: score files of train.evaluate, or run folders that hold a scores.parquet.

    The weighted mean of the scores of each sample is its fused score, and is judged as that of one
    network.  All files must be of the same samples, and all hold softmax scores or all logits.
    Writes the same files as train.evaluate.

    \b
    Example:
      python -m train.fuse runs/rgb runs/skeleton --weights 1,2 --out runs/late-fusion
    """
    set_up_logging()
    paths = [path / SCORES_FILE if path.is_dir() else path for path in scores]
    if (out / SCORES_FILE).resolve() in [path.resolve() for path in paths]:
        raise click.UsageError(f"--out {out} would write over one of the files to fuse")
    evaluation = fuse_files(paths, None if weights is None else parse_weights(weights))
    write_evaluation(evaluation, out)
    click.echo(format_evaluation(evaluation))


if __name__ == "__main__":
    run_command(fuse)
