"""The two data types every later stage works on: a skeleton layout and a sequence of poses.

Axes everywhere: T frames, M bodies, V joints, C channels.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

METRES = ("x", "y", "z")
FRACTIONS = ("x", "y", "score")
# Whole-body layouts have some 130; the graph of a layout is held as joints x joints.
MAX_JOINTS = 1000


@dataclass(frozen=True)
class SkeletonLayout:
    """Which joints a skeleton has and how they hang together.

    ``bones`` and ``pairs`` hold 0-based joint indices; ``pairs`` swap under a left/right flip;
    ``centre`` is the root of the graph partition.  ``channels`` is ``("x", "y", "z")`` in metres
    or ``("x", "y", "score")`` with x and y as fractions of the picture.  Raises ``ValueError`` on
    an index outside the joints, a joint in two pairs, a graph that does not hang together, or more
    than 1000 joints.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]
    centre: int
    pairs: tuple[tuple[int, int], ...] = ()
    channels: tuple[str, ...] = FRACTIONS

    def __post_init__(self) -> None:
        n_joints = len(self.joints)
        if n_joints > MAX_JOINTS:
            raise ValueError(f"layout {self.name:.80}: {n_joints} joints, more than {MAX_JOINTS}")
        named = [self.centre, *(j for ends in (*self.bones, *self.pairs) for j in ends)]
        outside = [j for j in named if not 0 <= j < n_joints]
        if outside:
            raise ValueError(f"layout {self.name}: joint {outside[0]} is not in 0..{n_joints - 1}")
        paired = [j for pair in self.pairs for j in pair]
        if len(set(paired)) != len(paired):
            raise ValueError(f"layout {self.name}: a joint stands in two left/right pairs")
        if self.channels not in (METRES, FRACTIONS):
            raise ValueError(f"layout {self.name}: channels must be {METRES} or {FRACTIONS}")
        if len(_reachable(self.centre, self.bones)) != n_joints:
            raise ValueError(f"layout {self.name}: the bones do not join all {n_joints} joints")

    @property
    def n_joints(self) -> int:
        """How many joints, V."""
        return len(self.joints)

    def mirrored(self) -> NDArray[np.intp]:
        """Return the joint order after swapping left and right, shape (V,)."""
        order = np.arange(self.n_joints)
        for left, right in self.pairs:
            order[[left, right]] = right, left
        return order

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and strings, as stored in ``dataset.json``."""
        return {
            "name": self.name,
            "joints": list(self.joints),
            "bones": [list(b) for b in self.bones],
            "centre": self.centre,
            "pairs": [list(p) for p in self.pairs],
            "channels": list(self.channels),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "SkeletonLayout":
        """Undo :meth:`to_dict`; raises ``ValueError`` naming a key that is missing or wrong."""
        try:
            return cls(
                name=str(data["name"]),
                joints=tuple(str(j) for j in data["joints"]),
                bones=tuple((int(a), int(b)) for a, b in data["bones"]),
                centre=int(data["centre"]),
                pairs=tuple((int(a), int(b)) for a, b in data.get("pairs", ())),
                channels=tuple(str(c) for c in data.get("channels", FRACTIONS)),
            )
        except KeyError as error:
            raise ValueError(f"a skeleton layout needs the key {error}") from error
        # OverflowError: the whole number of an infinity, which Python takes for JSON.
        except (TypeError, OverflowError) as error:
            raise ValueError(
                f"a skeleton layout holds a value of the wrong kind: {error}"
            ) from error


def _reachable(start: int, bones: tuple[tuple[int, int], ...]) -> set[int]:
    neighbours: dict[int, list[int]] = {}
    for a, b in bones:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    seen, waiting = {start}, [start]
    while waiting:
        for joint in neighbours.get(waiting.pop(), ()):
            if joint not in seen:
                seen.add(joint)
                waiting.append(joint)
    return seen


def _absent(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


@dataclass(frozen=True)
class SkeletonSequence:
    """The poses of one recording; T counts every frame of the raw file, also those without bodies.

    - ``joints`` float32 (T, M, V, C), 0 where absent
    - ``present`` bool (T, M): was this body seen in this frame
    - ``pixels`` float32 (T, M, V, 2): x, y as fractions of the picture, 0 where absent
    - ``tracking`` uint8 (T, M, V): 0 not tracked, 1 inferred, 2 tracked; zeros without the source
    - ``body_ids`` int64 (M,): the source's ids, -1 where a slot is only a list position
    - ``times`` float64 (T,): seconds since the recording began, strictly rising

    Shapes and dtypes are checked at birth (``ValueError``); nobody checks again.
    """

    layout: SkeletonLayout
    joints: NDArray[np.float32]
    present: NDArray[np.bool_]
    times: NDArray[np.float64]
    pixels: NDArray[np.float32]
    body_ids: NDArray[np.int64]
    tracking: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 0), np.uint8))

    def __post_init__(self) -> None:
        if self.joints.ndim != 4:
            raise ValueError(f"joints must be (T, M, V, C), got {self.joints.shape}")
        T, M, V, _ = self.joints.shape
        if self.tracking.size == 0:
            object.__setattr__(self, "tracking", np.zeros((T, M, V), np.uint8))
        wanted = {
            "joints": ((T, M, self.layout.n_joints, len(self.layout.channels)), np.float32),
            "present": ((T, M), np.bool_),
            "times": ((T,), np.float64),
            "pixels": ((T, M, V, 2), np.float32),
            "body_ids": ((M,), np.int64),
            "tracking": ((T, M, V), np.uint8),
        }
        for name, (shape, dtype) in wanted.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(
                    f"{name} must be {np.dtype(dtype)} {shape}, got {array.dtype} {array.shape}"
                )

    def __len__(self) -> int:
        return len(self.joints)

    def __repr__(self) -> str:
        T, M, _, _ = self.joints.shape
        return f"SkeletonSequence({self.layout.name}, {T} frames, {M} bodies)"


_NTU_SIDE = ["shoulder", "elbow", "wrist", "hand"]
_NTU_LEG = ["hip", "knee", "ankle", "foot"]
NTU25 = SkeletonLayout(
    name="ntu25",
    joints=(
        "spine base", "spine mid", "neck", "head",
        *(f"left {j}" for j in _NTU_SIDE), *(f"right {j}" for j in _NTU_SIDE),
        *(f"left {j}" for j in _NTU_LEG), *(f"right {j}" for j in _NTU_LEG),
        "spine shoulder", "left hand tip", "left thumb", "right hand tip", "right thumb",
    ),
    bones=(
        (0, 1), (1, 20), (2, 20), (3, 2), (4, 20), (5, 4), (6, 5), (7, 6), (8, 20), (9, 8),
        (10, 9), (11, 10), (12, 0), (13, 12), (14, 13), (15, 14), (16, 0), (17, 16), (18, 17),
        (19, 18), (21, 22), (22, 7), (23, 24), (24, 11),
    ),
    centre=20,
    pairs=(
        (4, 8), (5, 9), (6, 10), (7, 11), (12, 16), (13, 17), (14, 18), (15, 19), (21, 23),
        (22, 24),
    ),
    channels=METRES,
)  # fmt: skip

OPENPOSE18 = SkeletonLayout(
    name="openpose18",
    joints=(
        "nose", "neck",
        "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
        "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
        "right eye", "left eye", "right ear", "left ear",
    ),
    bones=(
        (4, 3), (3, 2), (7, 6), (6, 5), (13, 12), (12, 11), (10, 9), (9, 8), (11, 5), (8, 2),
        (5, 1), (2, 1), (0, 1), (15, 0), (14, 0), (17, 15), (16, 14),
    ),
    centre=1,
    pairs=((2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13), (14, 15), (16, 17)),
    channels=FRACTIONS,
)  # fmt: skip

LAYOUTS = {layout.name: layout for layout in (NTU25, OPENPOSE18)}
