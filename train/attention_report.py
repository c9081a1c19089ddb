"""Where a trained network looks: f_cross on arms and legs, by the part that counts."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.shards import BODIES, SkeletonLayout
from train.batch import Batch
from train.models import capture_attention
from train.saved_run import SavedRun

ARMS = ("elbow", "wrist", "hand")
LEGS = ("knee", "ankle", "foot")


@dataclass
class _Sums:
    """Sums of f_cross (V,) and their number, by the part that counts."""

    total: dict[int, NDArray[np.float64]] = field(default_factory=dict)
    count: dict[int, int] = field(default_factory=dict)

    def add(self, part: int, gate: NDArray[np.float64]) -> None:
        self.total[part] = self.total.get(part, 0) + gate
        self.count[part] = self.count.get(part, 0) + 1

    def mean(self, part: int) -> NDArray[np.float64]:
        return self.total[part] / self.count[part]


def select_joints(layout: SkeletonLayout, words: tuple[str, ...]) -> list[int]:
    """Return the joints whose names hold one of the words."""
    names = [name.lower() for name in layout.joints]
    return [joint for joint, name in enumerate(names) if any(word in name for word in words)]


def measure_contrasts(
    loaded: SavedRun, batches: Iterable[Batch], parts: NDArray[np.int64]
) -> dict[str, dict[int, float]]:
    """Return the mean f_cross of arm joints minus that of leg joints, by module and part p.

    ``parts`` holds the part that counts by sample number.  Means over clips, frames and first
    bodies; empty without f_cross, or where the layout names no arms and legs.
    """
    layout = loaded.data.layout
    arms, legs = select_joints(layout, ARMS), select_joints(layout, LEGS)
    if not arms or not legs:
        return {}
    return {
        name: {p: float(s.mean(p)[arms].mean() - s.mean(p)[legs].mean()) for p in sorted(s.count)}
        for name, s in _sum_gates(loaded, batches, parts).items()
    }


def _sum_gates(
    loaded: SavedRun, batches: Iterable[Batch], parts: NDArray[np.int64]
) -> dict[str, _Sums]:
    """Run clips through the network and sum what its modules said of each joint."""
    sums: dict[str, _Sums] = {}
    with torch.inference_mode():
        for batch in batches:
            with capture_attention(loaded.model, BODIES) as maps:
                loaded.forward(loaded.model, batch)
            # Weight 0: a clip that stands in for one that cannot be read.
            is_own = (batch.weight > 0).numpy()
            counted = parts[batch.sample.numpy()[is_own]].tolist()
            for name, (gates,) in maps.items():
                if gates.cross_gate is None:
                    continue
                # The first body alone: the second one of a single person is made of zeros.
                rows = gates.cross_gate[:, 0].mean(1).double().cpu().numpy()[is_own]
                for part, row in zip(counted, rows, strict=True):
                    sums.setdefault(name, _Sums()).add(part, row)
    return sums


def format_contrasts(contrasts: dict[str, dict[int, float]]) -> str:
    """Return them as one sentence."""
    texts = [
        f"{name}: " + ", ".join(f"p={p} {value:+.4f}" for p, value in by_part.items())
        for name, by_part in contrasts.items()
    ]
    return "mean f_cross of arms minus legs, " + "; ".join(texts)


def contrasts_to_json(contrasts: dict[str, dict[int, float]]) -> dict[str, Any]:
    """Return them with the parts as text."""
    return {name: {f"p={p}": v for p, v in by.items()} for name, by in contrasts.items()}
