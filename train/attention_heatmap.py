"""Mean weight of each joint in each class, over the clips of a subset: as numbers and picture."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.shards import BODIES
from train.attention_maps import GATES, check_attention
from train.attention_pictures import TITLES, WEIGHT_COLOURS
from train.batch import Batch
from train.models import capture_attention
from train.pictures import DPI, new_figure
from train.saved_run import SavedRun

# More classes than this are drawn without their names.
MAX_NAMED = 120
COLUMNS = ("module", "gate", "class", "joint", "mean", "n_bodies")


@dataclass
class JointMeans:
    """Sums of one gate of one module: ``total`` (K, V) over ``count`` (K,) bodies of clips."""

    total: NDArray[np.float64]
    count: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.count = np.zeros(len(self.total), np.int64)

    def add(self, labels: NDArray[np.int64], weights: NDArray[np.float64]) -> None:
        """Take in bodies: their classes (n,) and the weights of their joints (n, V)."""
        np.add.at(self.total, labels, weights)
        np.add.at(self.count, labels, 1)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean weights (K, V), nan for a class without a body."""
        with np.errstate(invalid="ignore"):
            mean: NDArray[np.float64] = self.total / self.count[:, None]
        return mean


def measure_joints(loaded: SavedRun, batches: Iterable[Batch]) -> dict[str, dict[str, JointMeans]]:
    """Return the mean weights by module and gate, over frames and over the bodies present.

    A body counts in a clip in which it is present at all, unless the clip stands in for one that
    cannot be read.  Raises ``TrainError`` for a network without attention.
    """
    check_attention(loaded)
    found: dict[str, dict[str, JointMeans]] = {}
    shape = len(loaded.data.class_names), loaded.data.layout.n_joints
    with torch.inference_mode():
        for batch in batches:
            with capture_attention(loaded.model, BODIES) as maps:
                loaded.forward(loaded.model, batch)
            here = batch.present.any(1) & (batch.weight > 0)[:, None]
            labels = batch.label[:, None].expand(-1, BODIES)[here].numpy()
            for name, (gates,) in maps.items():
                means = found.setdefault(name.rpartition(".")[2], {})
                for gate, attribute in GATES.items():
                    weights = getattr(gates, attribute)
                    if weights is not None:
                        rows = weights.mean(2).double().cpu()[here].numpy()
                        means.setdefault(gate, JointMeans(np.zeros(shape))).add(labels, rows)
    return found


def write_joint_means(
    loaded: SavedRun, found: dict[str, dict[str, JointMeans]], path: Path
) -> None:
    """Write a CSV file with a row for each module, gate, class and joint."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for module, gates in found.items():
            for gate, means in gates.items():
                for label in np.flatnonzero(means.count).tolist():
                    name, count = loaded.data.class_names[label], int(means.count[label])
                    for joint, mean in zip(
                        loaded.data.layout.joints, means.mean[label], strict=True
                    ):
                        writer.writerow([module, gate, name, joint, f"{mean:.6f}", count])


def draw_heatmap(loaded: SavedRun, gates: dict[str, JointMeans], path: Path) -> None:
    """Draw one module as PNG: a panel for each gate, classes below one another, joints across."""
    joints = loaded.data.layout.joints
    shown = np.flatnonzero(next(iter(gates.values())).count)
    names = [loaded.data.class_names[label] for label in shown]
    named = len(names) <= MAX_NAMED
    height = float(np.clip(0.17 * len(names), 0.7, 20))
    figure = new_figure(0.2 * len(joints) * len(gates) + 2.6, height + 1.9)
    panels = figure.subplots(1, len(gates), squeeze=False)[0]
    for axes, (gate, means) in zip(panels, gates.items(), strict=True):
        image = axes.imshow(means.mean[shown], cmap=WEIGHT_COLOURS, aspect="auto")
        axes.set_title(TITLES[gate], fontsize=10)
        axes.set_xticks(range(len(joints)), joints, rotation=90, fontsize=7)
        first = axes is panels[0]
        axes.set_yticks(
            range(len(names)) if first and named else [], names if first and named else [],
            fontsize=7,
        )  # fmt: skip
        bar: Any = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
        bar.ax.tick_params(labelsize=7)
    figure.savefig(path, dpi=DPI, format="png", bbox_inches="tight")
