"""The pictures of a report; matplotlib is loaded only here and only when one is drawn."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.evaluation import Evaluation

DPI = 150
TRAIN_COLOUR, VALIDATION_COLOUR = "#1f5fa8", "#d1602a"
# More classes than this have no room for a number in each cell, or for their names.
MAX_NUMBERED, MAX_NAMED = 15, 100


def draw_confusion(evaluation: Evaluation, path: Path) -> None:
    """Draw the confusion matrix as PNG, every row a true class in shares of its samples.

    Classes that neither occur nor are predicted are left out.
    """
    counts = evaluation.confusion
    shown = np.flatnonzero(counts.sum(0) + counts.sum(1))
    counts = counts[np.ix_(shown, shown)]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names = [evaluation.class_names[label] for label in shown]
    side = float(np.clip(2.6 + 0.2 * len(names), 4.5, 16))
    figure = _new_figure(side + 1, side)
    axes = figure.add_subplot()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues", interpolation="nearest")
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_title(f"{evaluation.subset}: top-1 {evaluation.top1:.2%}, n = {evaluation.n_samples}")
    _name_ticks(axes, names, shown)
    if len(names) <= MAX_NUMBERED:
        _number_cells(axes, counts, shares)
    figure.colorbar(image, ax=axes, label="share of the true class", fraction=0.046, pad=0.03)
    _save(figure, path)


def draw_curves(epochs: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw loss and accuracy over epochs as PNG, training and validation (paper, Fig. 5)."""
    figure = _new_figure(9, 3.6)
    panels = (("loss", "loss", 1.0), ("top1", "top-1 accuracy [%]", 100.0))
    for place, (name, title, scale) in enumerate(panels, 1):
        axes = figure.add_subplot(1, 2, place)
        for prefix, label, colour in (
            ("", "training", TRAIN_COLOUR),
            ("val_", "validation", VALIDATION_COLOUR),
        ):
            points = [(e["epoch"], scale * e[prefix + name]) for e in epochs if prefix + name in e]
            if points:
                marker = "o" if len(points) <= 40 else None
                axes.plot(*zip(*points, strict=True), color=colour, label=label, marker=marker,
                          markersize=3, linewidth=1.5)  # fmt: skip
        axes.set(xlabel="epoch", ylabel=title)
        axes.set_ylim(bottom=0, top=100 if name == "top1" else None)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    _save(figure, path)


def _new_figure(width: float, height: float) -> Any:
    # Without pyplot nothing global is touched: no window system, no figure that stays open.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=DPI, format="png")


def _name_ticks(axes: Any, names: Sequence[str], labels: NDArray[np.intp]) -> None:
    if len(names) > MAX_NAMED:
        ticks = np.linspace(0, len(names) - 1, 11).round().astype(int)
        axes.set_xticks(ticks, labels[ticks])
        axes.set_yticks(ticks, labels[ticks])
        return
    size = 8 if len(names) <= 40 else 6
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)


def _number_cells(axes: Any, counts: NDArray[np.int64], shares: NDArray[np.float64]) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
