"""Loss and accuracies as sums, so that parts of an epoch and ranks add up exactly."""

from dataclasses import dataclass

import torch
from torch import Tensor

TOP_K = (1, 5)
# Columns of what one step or one clip adds to a tally: weight, loss, and hits.
N_COLUMNS = 2 + len(TOP_K)


def rank_labels(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the place of each true class by its score, 1 for the best, int64 (N,).

    A class of equal score, or a score that is no number, goes before: a network that gives all
    classes the same score earns nothing.
    """
    own = scores.gather(1, labels[:, None])
    return (~(scores < own)).sum(1)


def measure_batch(scores: Tensor, labels: Tensor, weights: Tensor, losses: Tensor) -> Tensor:
    """Return weight and weighted sums of loss, top-1 and top-5 hits, float32 (4,)."""
    place = rank_labels(scores.detach(), labels)
    hits = [(place <= k).float() for k in TOP_K]
    # A padded clip has weight 0; where() also keeps its possible inf or nan out.
    columns = torch.stack([torch.ones_like(hits[0]), losses.detach().float(), *hits], 1)
    return torch.where(weights[:, None] > 0, columns * weights[:, None], 0).sum(0)


@dataclass
class Tally:
    """Sums over clips or samples, in float64, and the time they took where that is measured.

    ``skipped`` were planned and left out because they could not be read.
    """

    weight: float = 0.0
    loss_sum: float = 0.0
    top1_sum: float = 0.0
    top5_sum: float = 0.0
    seconds: float = 0.0
    waited_s: float = 0.0
    skipped: float = 0.0

    def add(self, sums: list[float], planned: float) -> None:
        """Add one row of :func:`measure_batch` for so many planned clips or samples."""
        weight, loss, top1, top5 = sums
        self.weight += weight
        self.skipped += planned - weight
        self.loss_sum += loss
        self.top1_sum += top1
        self.top5_sum += top5

    def means(self) -> dict[str, float]:
        """Return loss, top1 and top5 per clip; empty without any."""
        if self.weight == 0:
            return {}
        return {
            "loss": self.loss_sum / self.weight,
            "top1": self.top1_sum / self.weight,
            "top5": self.top5_sum / self.weight,
        }

    def spend(self, seconds: float, waited_s: float) -> None:
        """Add time, and the part of it spent waiting for data."""
        self.seconds += seconds
        self.waited_s += waited_s

    def speed(self) -> dict[str, float]:
        """Return clips_per_s over all ranks and data_wait, a share of the time."""
        seconds = max(self.seconds, 1e-9)
        return {"clips_per_s": self.weight / seconds, "data_wait": self.waited_s / seconds}
