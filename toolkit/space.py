"""Skeletons in metres as seen by somebody who walks around them."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.drawing import Colour, draw_skeleton
from toolkit.render import BACKGROUND
from toolkit.shards.codec import Picture
from toolkit.shards.reader import Window
from toolkit.skeleton import SkeletonLayout

_FLOOR: Colour = (58, 62, 72)
# Looking down a little shows the floor as a plane.
_TILT = np.deg2rad(12.0)
_MARGIN = 1.15
_TILE_M = 0.5
# Single joints that the source misplaced by metres must not make everybody small.
_OUTLIERS = 0.005
_LEAST_EXTENT_M = 0.5


@dataclass(frozen=True)
class SpaceView:
    """What is looked at: the middle of all bodies of a sample, metres across, the floor's height.

    ``turn`` is an angle in radians around the vertical; 0 looks as the camera does, for which x
    points right, y up and z away.
    """

    centre: tuple[float, float, float]
    extent: float
    floor: float
    turn: float = 0.0

    def turned(self, turn: float) -> "SpaceView":
        """Return the view from another side."""
        return replace(self, turn=turn)

    def project(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return where points (..., 3) in metres lie in a square picture, (..., 2) as fractions.

        There is no perspective.
        """
        x, y, z = np.moveaxis(points - np.array(self.centre, np.float32), -1, 0)
        across = x * np.cos(self.turn) + z * np.sin(self.turn)
        away = z * np.cos(self.turn) - x * np.sin(self.turn)
        up = y * np.cos(_TILT) + away * np.sin(_TILT)
        shown = np.stack([0.5 + across / self.extent, 0.5 - up / self.extent], -1)
        return np.asarray(shown, np.float32)


def look_at(window: Window) -> SpaceView:
    """Return the view that holds all bodies of a sample at every turn."""
    joints = window.joints[window.present > 0].reshape(-1, 3)
    joints = joints[np.isfinite(joints).all(-1) & joints.any(-1)]
    if not len(joints):
        return SpaceView((0.0, 0.0, 0.0), 2.0, -1.0)
    low, high = np.quantile(joints, [_OUTLIERS, 1 - _OUTLIERS], axis=0)
    # Turned, a body sweeps the diagonal of its ground plan.
    ground = float(np.hypot(*(high - low)[[0, 2]]))
    extent = max(ground, float(high[1] - low[1])) * _MARGIN
    x, y, z = ((low + high) / 2).tolist()
    return SpaceView((x, y, z), max(extent, _LEAST_EXTENT_M), float(low[1]))


def draw_space(
    window: Window, frame: int, layout: SkeletonLayout, view: SpaceView, size: int
) -> Picture:
    """Return the bodies of one frame in space as a square picture with a floor below them."""
    picture = np.full((size, size, 3), BACKGROUND, np.uint8)
    _draw_floor(picture, view)
    joints = window.joints[frame]
    placed = view.project(joints)
    pixels = np.where(joints.any(-1, keepdims=True), placed, np.float32(0))
    return draw_skeleton(picture, pixels, window.present[frame], layout)


def _draw_floor(picture: Picture, view: SpaceView) -> None:
    n_tiles = max(1, round(view.extent / 2 / _TILE_M))
    reach = n_tiles * _TILE_M
    x, _, z = view.centre
    steps = np.linspace(-reach, reach, 2 * n_tiles + 1)
    for step in steps.tolist():
        for ends in (((-reach, step), (reach, step)), ((step, -reach), (step, reach))):
            points = np.array([(x + dx, view.floor, z + dz) for dx, dz in ends], np.float32)
            a, b = (view.project(points) * len(picture)).round().astype(int).tolist()
            cv2.line(picture, a, b, _FLOOR, 1, cv2.LINE_AA)
