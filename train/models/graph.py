"""The skeleton graph and its partition into three adjacency matrices (ST-GCN, section 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.model_config import CHOICES

GRAPH_VARIANTS = CHOICES["graph_variant"]

Bones = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class SkeletonGraph:
    """Joints, undirected bones (0-based) and the joint that the partition is centred on."""

    n_joints: int
    bones: tuple[tuple[int, int], ...]
    centre: int

    def adjacency(self, variant: str = "spatial") -> NDArray[np.float64]:
        """Return the partition of this graph, see :func:`build_adjacency`."""
        return build_adjacency(self.n_joints, self.bones, self.centre, variant)


def measure_distances(n_joints: int, bones: Bones, centre: int) -> NDArray[np.int64]:
    """Return each joint's number of bones to the centre, shape (V,).

    Raises ``ValueError`` for a joint outside the skeleton or one that no bone path reaches.
    """
    named = [centre, *(joint for bone in bones for joint in bone)]
    outside = [joint for joint in named if not 0 <= joint < n_joints]
    if outside:
        raise ValueError(f"joint {outside[0]} is not one of the {n_joints} joints of the graph")
    distance = np.full(n_joints, -1, np.int64)
    distance[centre] = 0
    for _ in range(n_joints):
        for a, b in bones:
            for near, far in ((a, b), (b, a)):
                if distance[near] >= 0 and not 0 <= distance[far] <= distance[near] + 1:
                    distance[far] = distance[near] + 1
    lonely = np.flatnonzero(distance < 0)
    if lonely.size:
        raise ValueError(f"no path of bones joins joint {lonely[0]} to the centre joint {centre}")
    return distance


def build_adjacency(
    n_joints: int, bones: Bones, centre: int, variant: str = "spatial"
) -> NDArray[np.float64]:
    """Return the three normalised adjacency matrices, float64 (3, V, V): row source, column target.

    - ``spatial``: source as far from the centre as the target, farther, nearer
    - ``release``: the same after cutting distances at one bone, as the released ST-GCN code
      computes it; edges between two far joints then count as "farther"
    - ``v01``: the joints themselves, source nearer (or level), source farther, each normalised
      by its own column sums, as in the first public ST-GCN code

    The first two add up to the adjacency with self loops, every column divided by its sum.
    """
    distance = measure_distances(n_joints, bones, centre).astype(np.float64)
    linked = np.eye(n_joints, dtype=bool)
    for a, b in bones:
        linked[a, b] = linked[b, a] = True
    loops = np.eye(n_joints, dtype=bool)
    if variant == "release":
        distance = np.where(distance > 1, np.inf, distance)
    source, target = distance[:, None], distance[None, :]
    if variant == "spatial":
        parts = np.stack([source == target, source > target, source < target])
    elif variant == "release":
        parts = np.stack([loops, (source >= target) & ~loops, source < target])
    elif variant == "v01":
        parts = np.stack([loops, (source <= target) & ~loops, source > target])
        own_sums = (parts & linked).sum(axis=1, keepdims=True)
        return (parts & linked) / np.maximum(own_sums, 1)
    else:
        raise ValueError(f"graph variant must be one of {GRAPH_VARIANTS}, got {variant!r}")
    return (parts & linked) / linked.sum(axis=0)
