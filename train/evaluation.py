"""What scores of samples are worth: accuracies, with and without samples that were dropped."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from train.errors import TrainError
from train.metrics import rank_labels

# Evaluations that differ in these are not of the same task, judged in the same way.
SHARED = ("split", "subset", "average", "class_names", "dropped")


@dataclass(frozen=True)
class Evaluation:
    """Scores of the samples of a subset, and every figure that follows from them.

    - ``scores`` float32 (S, K): mean over the clips of each sample, of probabilities or of logits
      as ``average`` says; ``labels`` int64 (S,); ``sample_ids`` one for each row
    - ``dropped`` int64 (K,): samples of the subset by true class that the data set planned but
      could not use (docs/paper.md O17); figures ``..._with_dropped`` count them as wrong
    - ``source``: where the scores come from, as JSON values

    Raises ``TrainError`` for scores that are no numbers, or none at all.
    """

    split: str
    subset: str
    average: str
    class_names: tuple[str, ...]
    sample_ids: tuple[str, ...]
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]
    dropped: NDArray[np.int64]
    source: dict[str, Any]

    def __post_init__(self) -> None:
        if not len(self.labels):
            raise TrainError(f"split {self.split} has no usable {self.subset} sample to evaluate")
        broken = np.flatnonzero(~np.isfinite(self.scores).all(1))
        if len(broken):
            raise TrainError(
                f"the scores of {len(broken)} of {self.n_samples} samples are no finite numbers,"
                f" the first is {self.sample_ids[broken[0]]}: the training has diverged, or its"
                " inputs hold such values"
            )

    @property
    def n_samples(self) -> int:
        """Samples evaluated."""
        return len(self.labels)

    @property
    def n_dropped(self) -> int:
        """Planned samples of the subset without usable data."""
        return int(self.dropped.sum())

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """The place of each true class by its score, 1 for the best, (S,)."""
        return rank_labels(torch.from_numpy(self.scores), torch.from_numpy(self.labels)).numpy()

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The class of the highest score, (S,); in a tie not the true one, as in all figures."""
        rivals = self.scores.copy()
        np.put_along_axis(rivals, self.labels[:, None], -np.inf, axis=1)
        return np.where(self.ranks == 1, self.labels, rivals.argmax(1))

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """How many samples of each true class were given each class, (K, K) [true, predicted]."""
        K = len(self.class_names)
        return np.bincount(self.labels * K + self.predicted, minlength=K * K).reshape(K, K)

    @property
    def top1(self) -> float:
        """Share of samples whose true class scores highest."""
        return self._share(1, with_dropped=False)

    @property
    def top5(self) -> float:
        """Share of samples whose true class is among the five highest."""
        return self._share(5, with_dropped=False)

    @property
    def mean_class(self) -> float:
        """Top-1 within each class, averaged over the classes that have samples."""
        return self._mean_class(self.confusion.sum(1))

    @property
    def top1_with_dropped(self) -> float:
        """Top-1 with the dropped samples counted as wrong."""
        return self._share(1, with_dropped=True)

    @property
    def top5_with_dropped(self) -> float:
        """Top-5 with the dropped samples counted as wrong."""
        return self._share(5, with_dropped=True)

    @property
    def mean_class_with_dropped(self) -> float:
        """Mean class accuracy with the dropped samples counted as wrong."""
        return self._mean_class(self.confusion.sum(1) + self.dropped)

    def name_difference(self, other: "Evaluation") -> str:
        """Return the first of :data:`SHARED` in which another one differs, empty if in none."""
        for name in SHARED:
            ours, theirs = getattr(self, name), getattr(other, name)
            if not np.array_equal(ours, theirs):
                return name + (f" ({ours}, {theirs})" if isinstance(ours, str) else "")
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Return every figure as JSON values, the confusion as rows by true class."""
        figures = (
            "split subset average n_samples n_dropped top1 top5 mean_class top1_with_dropped"
            " top5_with_dropped mean_class_with_dropped"
        )
        return {
            **self.source,
            **{name: getattr(self, name) for name in figures.split()},
            "class_names": list(self.class_names),
            "confusion": self.confusion.tolist(),
        }

    def _share(self, k: int, *, with_dropped: bool) -> float:
        n = self.n_samples + with_dropped * self.n_dropped
        return int((self.ranks <= k).sum()) / n

    def _mean_class(self, counts: NDArray[np.int64]) -> float:
        has = counts > 0
        return float((np.diagonal(self.confusion)[has] / counts[has]).mean())
