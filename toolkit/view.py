"""The part of a picture in which the bodies of a sample move, to show it larger."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.drawing import enlarge, is_drawn
from toolkit.shards.codec import Picture
from toolkit.shards.reader import Window

# Around the bodies, as a share of their extent, and how far a zoom may go.
_MARGIN = 0.1
_LEAST_EXTENT = 0.1


@dataclass(frozen=True)
class View:
    """The part of the picture that is shown: its corner and its extent, both as fractions.

    The extent is the same in x and y, so the part has the proportions of the whole.
    """

    left: float = 0.0
    top: float = 0.0
    extent: float = 1.0

    def crop(self, picture: Picture, height: int) -> Picture:
        """Return the part of a picture, enlarged to ``height`` pixels."""
        # Warping does not average what it shrinks, so that is done before.
        picture = enlarge(picture, min(1.0, height / (len(picture) * self.extent)))
        rows, columns = picture.shape[:2]
        scale = height / (rows * self.extent)
        # Pixel centres lie at halves: the shift below keeps edges, not centres, where they belong.
        shift_x = scale * (0.5 - self.left * columns) - 0.5
        shift_y = scale * (0.5 - self.top * rows) - 0.5
        matrix = np.array([[scale, 0, shift_x], [0, scale, shift_y]])
        size = max(1, round(columns * self.extent * scale)), height
        part = cv2.warpAffine(
            picture, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(part, np.uint8)

    def move(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return joints as fractions of the part; 0, 0 means unseen and stays where it is."""
        moved = (pixels - (self.left, self.top)) / self.extent
        return np.where(pixels.any(-1, keepdims=True), moved, 0).astype(np.float32)


def find_view(window: Window) -> View:
    """Return the part of the picture that holds all the bodies of a sample and a margin."""
    seen = window.pixels[is_drawn(window.pixels) & (window.present[..., None] > 0)]
    if not len(seen):
        return View()
    low, high = seen.min(0), seen.max(0)
    extent = max(float((high - low).max()) * (1 + 2 * _MARGIN), _LEAST_EXTENT)
    left, top = ((low + high) / 2 - extent / 2).tolist()
    if window.frames:
        extent = min(extent, 1.0)
        left, top = (min(max(edge, 0.0), 1.0 - extent) for edge in (left, top))
    return View(left, top, extent)
