"""Pictures from the scene family and the part that counts alone."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_BACKGROUNDS = np.array(
    [(0.30, 0.42, 0.62), (0.62, 0.40, 0.30), (0.34, 0.58, 0.36), (0.58, 0.55, 0.30)]
)
_TEXTURE = 0.05
_FRAME_NOISE = 0.02
# Each frame takes its noise from another place of one larger field.
_NOISE_MARGIN = 64

Picture = NDArray[np.uint8]


def render_scene(
    s: int, p: int, n_parts: int, size: tuple[int, int], rng: np.random.Generator
) -> Picture:
    """Draw the static picture (height, width, 3), RGB, of scene family ``s`` and part ``p``.

    The background colour tells (s, p), the object's shape tells p: bar and disc for two parts,
    then triangle and ring.  Brightness, texture, and the object's colour and place are nuisances.
    """
    width, height = size
    colour = _BACKGROUNDS[s * n_parts + p] * rng.uniform(0.8, 1.2)
    texture = rng.standard_normal((height, width, 1), np.float32) * _TEXTURE
    picture = np.clip((colour + texture) * 255, 0, 255).astype(np.uint8)
    object_colour = rng.integers(0, 256, 3).tolist()
    centre = (rng.uniform(0.3, 0.7, 2) * size).round().astype(int).tolist()
    return _draw_object(picture, p, centre, object_colour)


def _draw_object(picture: Picture, p: int, centre: list[int], colour: list[int]) -> Picture:
    import cv2

    x, y = centre
    r = max(2, round(0.13 * min(picture.shape[:2])))
    if p == 0:
        cv2.rectangle(picture, (x - 2 * r, y - r // 2), (x + 2 * r, y + r // 2), colour, -1)
    elif p == 1:
        cv2.circle(picture, (x, y), r, colour, -1)
    elif p == 2:
        corners = np.array([(x - r, y + r), (x + r, y + r), (x, y - r)], np.int32)
        cv2.fillPoly(picture, [corners], colour)
    else:
        cv2.circle(picture, (x, y), r, colour, max(1, r // 3))
    return picture


def iterate_frames(picture: Picture, n_frames: int, rng: np.random.Generator) -> Iterator[Picture]:
    """Yield ``picture`` with fresh noise, frame by frame."""
    import cv2

    height, width, _ = picture.shape
    field = rng.standard_normal((height + _NOISE_MARGIN, width + _NOISE_MARGIN, 3), np.float32)
    noise = (field * (_FRAME_NOISE * 255)).round().astype(np.int16)
    for y, x in rng.integers(0, _NOISE_MARGIN + 1, (n_frames, 2)):
        patch = np.ascontiguousarray(noise[y : y + height, x : x + width])
        yield np.asarray(cv2.add(picture, patch, dtype=cv2.CV_8U), np.uint8)
