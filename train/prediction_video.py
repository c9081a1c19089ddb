"""A video with the skeletons drawn in, and below the classes that the network takes it for."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.drawing import draw_skeleton
from toolkit.readers.picture import PictureEncoder
from toolkit.readers.video import VideoReader
from toolkit.shards import SkeletonLayout, Window, decode_picture
from train.prediction import Prediction

Picture = NDArray[np.uint8]

# Larger pictures are shrunk to this short side in pixels, smaller ones enlarged to the other.
SHORT_SIDE, LEAST_SIDE = 480, 360
# Height and width of the ground of a skeleton without a video.
BLANK = 480, 640
LINE_PX = 26
PAPER, INK = (18, 20, 24), (235, 235, 235)
# Blue and orange: told apart by colour-blind eyes.
FIRST, OTHERS = (230, 140, 40), (70, 120, 190)
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.5


def iterate_frames(
    prediction: Prediction, window: Window, layout: SkeletonLayout, video: Path | None
) -> Iterator[Picture]:
    """Yield every frame (H, W, 3), of even size, of a video; of the poses where there is none.

    ``window`` holds all pose frames and tells which video frame each belongs to.
    """
    for row, picture in _iterate_pictures(window, video):
        scale = max(1.0, LEAST_SIDE / min(picture.shape[:2]))
        pixels, present = window.pixels[row], window.present[row]
        drawn = draw_skeleton(picture, pixels, present, layout, scale=scale)
        yield _make_even(np.vstack([drawn, draw_bars(prediction, row, drawn.shape[1])]))


def read_rate(video: Path | None, prediction: Prediction) -> float:
    """Return the frames a second of what :func:`iterate_frames` yields."""
    if video is None:
        return prediction.fps
    with VideoReader(video) as reader:
        return reader.fps or prediction.fps


def _iterate_pictures(window: Window, video: Path | None) -> Iterator[tuple[int, Picture]]:
    """Yield pose frame and picture, in the order of the pictures."""
    if video is None:
        for row in range(len(window)):
            yield row, np.full((*BLANK, 3), PAPER, np.uint8)
        return
    # The same way to colours and rotation that stored pictures have gone.
    encoder = PictureEncoder(short_side=SHORT_SIDE, quality=95)
    with VideoReader(video) as reader:
        for frame in reader:
            row = int(np.searchsorted(window.video_index, frame.index))
            jpeg = encoder.encode(frame.picture, reader.rotation)
            yield min(row, len(window) - 1), decode_picture(jpeg)


def draw_bars(prediction: Prediction, row: int, width: int) -> Picture:
    """Return the likeliest classes of the clip at a pose frame, a bar each, as wide as a frame."""
    best = prediction.best(prediction.probabilities[prediction.clip_at(row)])
    panel = np.full((LINE_PX * len(best) + 8, width, 3), PAPER, np.uint8)
    for line, (name, share) in enumerate(best):
        top = 4 + line * LINE_PX
        end = round(share * (width - 8))
        colour = OTHERS if line else FIRST
        cv2.rectangle(panel, (4, top + 2), (4 + end, top + LINE_PX - 3), colour, cv2.FILLED)
        # OpenCV's own letters are ASCII.
        text = f"{share:4.0%} {name}".encode("ascii", "replace").decode()
        x, y = 10, top + LINE_PX - 9
        # A shadow, no outline: thicker letters of OpenCV 5 are wider too, and would stick out.
        cv2.putText(panel, text, (x + 1, y + 1), FONT, FONT_SCALE, (0, 0, 0), 1, cv2.LINE_AA)
        cv2.putText(panel, text, (x, y), FONT, FONT_SCALE, INK, 1, cv2.LINE_AA)
    return panel


def _make_even(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
