"""Poses from the posture and the motions alone: two layouts, in fractions of the picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

N_FRAMES_PER_CYCLE = 16 / 1.5
_HEAD_SHIFT = 0.05
_SWING = 0.06
_JITTER = 0.005
_OCCLUDED_JITTER = 0.1

# Motions 0..3 of the arms: where they are held (outward, upward), and along what they swing.
_ARM_HOLD = 0.08 * np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
_ARM_SWING = 0.2 * np.array([(1, 0), (0, 1), (1, 0), (0, 1)])
# Motions 0..3 of the legs: along x, along y, along either diagonal; held where they are.
_LEG_HOLD = np.zeros((4, 2))
_LEG_SWING = np.array([(1, 0), (0, 1), (0.5**0.5, 0.5**0.5), (0.5**0.5, -(0.5**0.5))])


@dataclass(frozen=True)
class Limb:
    """Joints that move together, each by its weight; ``outward`` is the sign of x away from it."""

    weights: dict[int, float]
    outward: int
    is_arm: bool


@dataclass(frozen=True)
class Figure:
    """A standing person: joints (V, 2) as x, y with y down, head joints, and the four limbs.

    The limbs are right arm, left arm, right leg, left leg.
    """

    joints: NDArray[np.float64]
    head: tuple[int, ...]
    limbs: tuple[Limb, Limb, Limb, Limb]

    def part(self, limb: int, n_parts: int) -> int:
        """Return which part a limb belongs to: arms and legs, or each limb its own."""
        return limb // 2 if n_parts == 2 else limb


@dataclass(frozen=True)
class Poses:
    """Joints ``xy`` (T, V, 2) in picture fractions, ``score`` (T, V), ``occluded`` (T, V)."""

    xy: NDArray[np.float64]
    score: NDArray[np.float64]
    occluded: NDArray[np.bool_]


# The OpenPose-18 template.
OPENPOSE_FIGURE = Figure(
    joints=np.array([
        (0.50, 0.18), (0.50, 0.28), (0.43, 0.28), (0.39, 0.40), (0.37, 0.52), (0.57, 0.28),
        (0.61, 0.40), (0.63, 0.52), (0.45, 0.54), (0.44, 0.70), (0.44, 0.86), (0.55, 0.54),
        (0.56, 0.70), (0.56, 0.86), (0.48, 0.16), (0.52, 0.16), (0.46, 0.17), (0.54, 0.17),
    ]),
    head=(0, 14, 15, 16, 17),
    limbs=(
        Limb({3: 0.5, 4: 1.0}, outward=-1, is_arm=True),
        Limb({6: 0.5, 7: 1.0}, outward=1, is_arm=True),
        Limb({9: 0.5, 10: 1.0}, outward=-1, is_arm=False),
        Limb({12: 0.5, 13: 1.0}, outward=1, is_arm=False),
    ),
)  # fmt: skip

# The same person with the joints of NTU: hands, tips and thumbs follow the wrist, feet the ankle.
NTU_FIGURE = Figure(
    joints=np.array([
        (0.50, 0.53), (0.50, 0.40), (0.50, 0.24), (0.50, 0.16),
        (0.57, 0.28), (0.61, 0.40), (0.63, 0.52), (0.635, 0.56),
        (0.43, 0.28), (0.39, 0.40), (0.37, 0.52), (0.365, 0.56),
        (0.545, 0.54), (0.56, 0.70), (0.56, 0.86), (0.57, 0.89),
        (0.455, 0.54), (0.44, 0.70), (0.44, 0.86), (0.43, 0.89),
        (0.50, 0.28), (0.64, 0.60), (0.615, 0.575), (0.36, 0.60), (0.385, 0.575),
    ]),
    head=(2, 3),
    limbs=(
        Limb({9: 0.5, 10: 1.0, 11: 1.0, 23: 1.0, 24: 1.0}, outward=-1, is_arm=True),
        Limb({5: 0.5, 6: 1.0, 7: 1.0, 21: 1.0, 22: 1.0}, outward=1, is_arm=True),
        Limb({17: 0.5, 18: 1.0, 19: 1.0}, outward=-1, is_arm=False),
        Limb({13: 0.5, 14: 1.0, 15: 1.0}, outward=1, is_arm=False),
    ),
)  # fmt: skip


def render_poses(
    figure: Figure,
    q: int,
    a: tuple[int, ...],
    rng: np.random.Generator,
    *,
    n_frames: int,
    occlusion: float = 0.0,
) -> Poses:
    """Draw one recording of the posture ``q`` in which part k makes the motion ``a[k]``.

    Nuisances: size, place, phase and speed of each part, joint jitter, and the share of joints of
    a frame that are occluded: badly placed and of low score.
    """
    size, shift = rng.uniform(0.85, 1.15), rng.uniform(-0.04, 0.04, 2)
    xy = figure.joints + _move_parts(figure, a, n_frames, rng)
    xy[:, figure.head, 0] += _HEAD_SHIFT if q else -_HEAD_SHIFT
    xy = (xy - 0.5) * size + 0.5 + shift
    occluded = rng.random(xy.shape[:2]) < occlusion
    spread = np.where(occluded, _OCCLUDED_JITTER, _JITTER)
    xy += rng.standard_normal(xy.shape) * spread[..., None]
    score = np.where(
        occluded, rng.uniform(0.05, 0.3, spread.shape), rng.uniform(0.7, 1, spread.shape)
    )
    return Poses(xy, score, occluded)


def _move_parts(
    figure: Figure, a: tuple[int, ...], n_frames: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return how far each joint is from its place in the figure, (T, V, 2) with y down."""
    swings = [_swing(n_frames, rng) for _ in a]
    moved = np.zeros((n_frames, len(figure.joints), 2))
    for number, limb in enumerate(figure.limbs):
        part = figure.part(number, len(a))
        hold, swing = (_ARM_HOLD, _ARM_SWING) if limb.is_arm else (_LEG_HOLD, _LEG_SWING)
        outward, upward = hold[a[part]]
        place = np.array([outward * limb.outward, -upward]) + swings[part] * swing[a[part]]
        for joint, weight in limb.weights.items():
            moved[:, joint] += weight * place
    return moved


def _swing(n_frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    amplitude, speed = _SWING * rng.uniform(0.8, 1.2), rng.uniform(0.9, 1.1)
    turns = np.arange(n_frames) * speed / N_FRAMES_PER_CYCLE
    return np.asarray(amplitude * np.sin(2 * np.pi * turns + rng.uniform(0, 2 * np.pi)))[:, None]
