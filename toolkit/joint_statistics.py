"""How often bodies and joints were seen: the only part of an inspection that reads shards."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from toolkit.shards.reader import ShardReader
from toolkit.shards.schema import BODIES
from toolkit.shards.sidecar import shard_path
from toolkit.skeleton import METRES, SkeletonLayout

MAX_SHARDS = 16
TRACKED = 2


@dataclass
class JointStatistics:
    """Sums over the frames of the shards that were read.

    ``present`` counts the frames of each body slot, (2,); ``joints`` sums over all present bodies,
    (V,): how often each joint was tracked (metres) or its score (picture fractions).
    """

    layout: SkeletonLayout
    n_shards: int
    n_shards_read: int = 0
    n_frames: int = 0
    present: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BODIES, np.int64))
    joints: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

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


def measure_joints(
    folder: Path, shards: Sequence[int], layout: SkeletonLayout, max_shards: int = MAX_SHARDS
) -> JointStatistics:
    """Read the joints of at most ``max_shards`` shards spread evenly over all of them.

    Raises ``ShardError`` on a shard that cannot be read or has another layout.
    """
    places = np.linspace(0, len(shards) - 1, min(max_shards, len(shards))).round().astype(int)
    statistics = JointStatistics(layout, len(shards), joints=np.zeros(layout.n_joints))
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
            values = file["skeleton/tracking"][()] == TRACKED
        else:
            values = file["skeleton/joints"][..., 2]
    statistics.n_shards_read += 1
    statistics.n_frames += len(present)
    statistics.present += present.sum(0)
    statistics.joints += values[present].sum(0, dtype=np.float64)
