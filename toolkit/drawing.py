"""Skeletons on a picture: bones in the colours of their sides, outlined to be seen anywhere."""

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.shards.codec import Picture
from toolkit.skeleton import SkeletonLayout

Colour = tuple[int, int, int]

# As red, green, blue; colour-blind eyes tell orange and blue apart too.
SIDES: dict[str, Colour] = {"left": (255, 150, 40), "right": (70, 170, 255)}
MIDDLE: Colour = (245, 245, 245)
_BODIES: tuple[Colour, ...] = ((255, 255, 255), (255, 230, 0))
_OUTLINE: Colour = (0, 0, 0)

# OpenCV draws between pixels when coordinates come as multiples of 1/16.
_SHIFT = 4
# Joints further outside the picture than this are errors of the source, not limbs cut off.
_FURTHEST = 1.0
_SIDE_PER_THICKNESS = 110


def draw_skeleton(
    picture: Picture,
    pixels: NDArray[np.float32],
    present: NDArray[np.generic],
    layout: SkeletonLayout,
    *,
    scale: float = 1.0,
) -> Picture:
    """Return a copy of an RGB picture, enlarged by ``scale``, with the bodies drawn over it.

    ``pixels`` (M, V, 2) are fractions of the picture, ``present`` (M,).  Joints at exactly 0, 0
    were not seen and are left out, and with them their bones.
    """
    canvas = enlarge(picture, scale)
    for body in np.flatnonzero(present).tolist():
        _draw_body(canvas, pixels[body], layout, _BODIES[body % len(_BODIES)])
    return canvas


def enlarge(picture: Picture, scale: float) -> Picture:
    """Return a copy of a picture with both sides ``scale`` times as long."""
    if scale == 1:
        return picture.copy()
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), np.uint8)


def _draw_body(
    canvas: Picture, pixels: NDArray[np.float32], layout: SkeletonLayout, dots: Colour
) -> None:
    height, width = canvas.shape[:2]
    drawn = is_drawn(pixels)
    scaled = np.where(drawn[:, None], pixels, 0) * (width, height)
    thickness = max(1, round(min(height, width) / _SIDE_PER_THICKNESS))
    points = [(x, y) for x, y in (scaled * (1 << _SHIFT)).round().astype(int).tolist()]
    bones = [(a, b) for a, b in layout.bones if drawn[a] and drawn[b]]
    # All outlines first, so that none cuts through a bone drawn before it.
    for a, b in bones:
        cv2.line(canvas, points[a], points[b], _OUTLINE, thickness + 2, cv2.LINE_AA, _SHIFT)
    for a, b in bones:
        colour = bone_colour(layout, a, b)
        cv2.line(canvas, points[a], points[b], colour, thickness, cv2.LINE_AA, _SHIFT)
    radius = round(thickness * 0.9 * (1 << _SHIFT))
    for joint in np.flatnonzero(drawn).tolist():
        cv2.circle(canvas, points[joint], radius, dots, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def is_drawn(pixels: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which joints (..., V) were seen, and not absurdly far outside the picture."""
    inside: NDArray[np.bool_] = (np.abs(pixels - 0.5) <= 0.5 + _FURTHEST).all(-1)
    return inside & pixels.any(-1)


def bone_colour(layout: SkeletonLayout, a: int, b: int) -> Colour:
    """Return the colour of a bone by the side that its joints' names begin with."""
    names = [layout.joints[joint].lower() for joint in (a, b)]
    sides = [side for side in SIDES if any(name.startswith(side) for name in names)]
    return SIDES[sides[0]] if len(sides) == 1 else MIDDLE
