"""The pictures of a report; matplotlib is loaded only here and only when one is drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.evaluation import Evaluation

DPI = 150
COLOURS = {"training": "#1f5fa8", "validation": "#d1602a"}
# Points of a longer curve are not marked one by one.
MAX_MARKED = 40
# More classes than this have no room for a number in each cell, for large names, or for names.
MAX_NUMBERED, MAX_LARGE, MAX_NAMED = 15, 40, 100
# Numbers on cells of a larger share than this are white, to be read on the dark colour.
WHITE_ABOVE = 0.35


def draw_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draw the confusion matrix as PNG, every row a true class in shares of its samples.

    Colours go by the square root of a share, or rare confusions could not be seen.  Classes that
    neither occur nor are predicted are left out.
    """
    from matplotlib.colors import PowerNorm

    counts = evaluation.confusion
    shown = np.flatnonzero(counts.sum(0) + counts.sum(1))
    counts = counts[np.ix_(shown, shown)]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = new_figure(*2 * [float(np.clip(2 + 0.19 * len(shown), 4, 13))])
    axes = figure.add_subplot()
    image = axes.imshow(shares, norm=PowerNorm(0.5, 0, 1), cmap="Blues", interpolation="nearest")
    axes.set_title(
        f"{evaluation.split}, {evaluation.subset}: top-1 {evaluation.top1:.2%},"
        f" n = {evaluation.n_samples}"
    )
    _name_ticks(axes, [evaluation.class_names[label] for label in shown], shown)
    if len(shown) <= MAX_NUMBERED:
        _number_cells(axes, counts, shares)
    figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.046, pad=0.03)
    # The names' length is not known before they are drawn.
    figure.savefig(path, dpi=DPI, format="png", bbox_inches="tight")


def draw_curves(epochs: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw loss and accuracy over epochs as PNG, training and validation (paper, Fig. 5).

    ``epochs`` are the records of :func:`~train.report.read_epochs`.
    """
    figure = new_figure(9, 3.6)
    loss, accuracy = figure.subplots(1, 2)
    _draw_panel(loss, epochs, "loss")
    loss.set(ylabel="loss")
    loss.set_ylim(bottom=0)
    _draw_panel(accuracy, epochs, "top1", 100)
    accuracy.set(ylabel="top-1 accuracy [%]", ylim=(0, 100))
    figure.tight_layout()
    figure.savefig(path, dpi=DPI, format="png")


def _draw_panel(axes: Any, epochs: Sequence[dict[str, Any]], name: str, scale: float = 1.0) -> None:
    for label, key in (("training", name), ("validation", f"val_{name}")):
        # Not every epoch need be validated.
        points = [(epoch["epoch"], scale * epoch[key]) for epoch in epochs if key in epoch]
        if points:
            marker = "o" if len(points) <= MAX_MARKED else None
            axes.plot(*zip(*points, strict=True), color=COLOURS[label], label=label,
                      marker=marker, markersize=3)  # fmt: skip
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of this size in inches, drawn by pixels."""
    # Without pyplot nothing global is touched: no window system, no figure that stays open.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def _name_ticks(axes: Any, names: Sequence[str], labels: NDArray[np.intp]) -> None:
    if len(names) > MAX_NAMED:
        ticks = np.arange(0, len(names), 50)
        axes.set_xticks(ticks, labels[ticks])
        axes.set_yticks(ticks, labels[ticks])
        axes.set(xlabel="predicted class (label)", ylabel="true class (label)")
        return
    size = 8 if len(names) <= MAX_LARGE else 6
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set(xlabel="predicted class", ylabel="true class")


def _number_cells(axes: Any, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > WHITE_ABOVE else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
