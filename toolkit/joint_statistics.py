"""How often bodies and joints were seen: the only part of an inspection that reads shards."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from toolkit.aligned import BODIES
from toolkit.shards.reader import ShardReader
from toolkit.shards.sidecar import shard_path
from toolkit.skeleton import METRES, SkeletonLayout

MAX_SHARDS = 16
TRACKED = 2
STATES = ("not tracked", "inferred", "tracked")
N_SCORE_BINS = 10


@dataclass
class JointStatistics:
    """Sums over the frames of the shards that were read.

    ``present`` counts the frames of each body slot, (2,); ``joints`` sums over all present bodies,
    (V,): how often each joint was tracked (metres) or its score (picture fractions); ``levels``
    counts the single joints by tracking state, or by score in ten equal steps from 0 to 1.
    """

    layout: SkeletonLayout
    n_shards: int
    n_shards_read: int = 0
    n_frames: int = 0
    present: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BODIES, np.int64))
    joints: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    levels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def quantity(self) -> str:
        """What the joints' numbers mean; empty where the source tells nothing of single joints."""
        if not self.joints.any():
            return ""
        return "share tracked" if self.layout.channels == METRES else "mean score"

    def present_shares(self) -> list[float]:
        """Return for each body slot the share of frames in which it is present."""
        return (self.present / max(self.n_frames, 1)).tolist()

    def joint_means(self) -> dict[str, float]:
        """Return the quantity of each joint by name; empty where there is none."""
        if not self.quantity:
            return {}
        means = self.joints / self.present.sum()
        return dict(zip(self.layout.joints, means.tolist(), strict=True))

    def level_counts(self) -> dict[str, int]:
        """Return how many joints had each tracking state or score; empty where none is told."""
        if not self.quantity:
            return {}
        names: tuple[str, ...] = STATES
        if self.layout.channels != METRES:
            edges = np.linspace(0, 1, N_SCORE_BINS + 1)
            names = tuple(f"{a:.1f} to {b:.1f}" for a, b in itertools.pairwise(edges))
        return dict(zip(names, self.levels.tolist(), strict=True))


def measure_joints(
    folder: Path, shards: Sequence[int], layout: SkeletonLayout, max_shards: int = MAX_SHARDS
) -> JointStatistics:
    """Read the joints of at most ``max_shards`` shards spread evenly over all of them.

    Raises ``ShardError`` on a shard that cannot be read or has another layout.
    """
    places = np.linspace(0, len(shards) - 1, min(max_shards, len(shards))).round().astype(int)
    n_levels = len(STATES) if layout.channels == METRES else N_SCORE_BINS
    statistics = JointStatistics(
        layout,
        len(shards),
        joints=np.zeros(layout.n_joints),
        levels=np.zeros(n_levels, np.int64),
    )
    for place in places.tolist():
        _add_shard(statistics, shard_path(folder, shards[place]))
    return statistics


def _add_shard(statistics: JointStatistics, path: Path) -> None:
    with ShardReader(path) as reader:
        # Asking for its layout makes the reader check the whole file before it is used as one.
        metric = reader.layout.channels == METRES
    with h5py.File(path, "r", locking=False) as file:
        present = file["skeleton/present"][()] > 0
        if metric:
            levels = file["skeleton/tracking"][()]
            values = levels == TRACKED
        else:
            values = file["skeleton/joints"][..., 2]
            levels = (values * N_SCORE_BINS).clip(0, N_SCORE_BINS - 1).astype(np.uint8)
    statistics.n_shards_read += 1
    statistics.n_frames += len(present)
    statistics.present += present.sum(0)
    statistics.joints += values[present].sum(0, dtype=np.float64)
    n_levels = len(statistics.levels)
    statistics.levels += np.bincount(levels[present].ravel(), minlength=n_levels)[:n_levels]
