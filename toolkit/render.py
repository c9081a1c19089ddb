"""Skeletons drawn on their pictures, for people to look at: single samples and whole data sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from toolkit.drawing import Colour, draw_skeleton
from toolkit.inspection import find_sample
from toolkit.shards.codec import Picture, decode_picture
from toolkit.shards.dataset import DatasetReader
from toolkit.shards.files import write_atomically
from toolkit.shards.manifest import read_manifest
from toolkit.shards.reader import Window
from toolkit.skeleton import METRES, SkeletonLayout
from toolkit.view import View, find_view

__all__ = [
    "SheetStyle",
    "TilePainter",
    "draw_dataset",
    "draw_sample",
    "draw_skeleton",
    "find_usable",
    "pick_evenly",
    "text_bar",
    "title_of",
    "write_picture",
]

BACKGROUND: Colour = (28, 30, 36)
_PAPER: Colour = (12, 13, 16)
_TITLE: Colour = (52, 56, 66)
_INK: Colour = (225, 225, 225)

_GAP_PX = 2
_BAR_PX = 18
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.4


@dataclass(frozen=True)
class SheetStyle:
    """How a contact sheet looks; pictures are enlarged or shrunk to ``tile_height`` pixels.

    ``zoom`` shows only the part of the picture in which the sample's bodies move; skeletons without
    pictures are always shown so.
    """

    n_frames: int = 8
    n_columns: int = 4
    tile_height: int = 240
    skeletons: bool = True
    zoom: bool = False

    def __post_init__(self) -> None:
        if min(self.n_frames, self.n_columns) < 1 or self.tile_height < 16:
            raise ValueError(f"a contact sheet cannot be drawn as {self}")


def draw_sample(
    data: Path | DatasetReader,
    sample_id: str,
    frames: Sequence[int] | None = None,
    style: SheetStyle = SheetStyle(),
) -> Picture:
    """Return a contact sheet of one usable sample, each frame with its number, video frame, drift.

    ``frames`` are counted within the sample, ``None`` takes ``style.n_frames`` evenly.  Raises
    ``ValueError`` when the sample is unknown or not usable, or has no such frame.
    """
    if isinstance(data, Path):
        with DatasetReader(data) as reader:
            return draw_sample(reader, sample_id, frames, style)
    number = find_usable(data, sample_id)
    window = data.sample(number)
    chosen = list(frames) if frames is not None else pick_evenly(len(window), style.n_frames)
    outside = [t for t in chosen if not 0 <= t < len(window)]
    if outside or not chosen:
        asked = f"no frame {outside[0]}" if outside else "no frame was asked for"
        raise ValueError(f"sample {sample_id} has the frames 0 to {len(window) - 1}: {asked}")
    painter = TilePainter(window, data.info.layout, style)
    tiles = [painter.draw(t) for t in chosen]
    return _frame_sheet(title_of(data, number), tiles, style.n_columns)


def draw_dataset(folder: Path, n_samples: int = 6, style: SheetStyle = SheetStyle()) -> Picture:
    """Return a contact sheet of a data set, one row a sample, spread evenly over the classes.

    Raises ``ValueError`` when the data set has no usable sample, or none is wanted.
    """
    if n_samples < 1:
        raise ValueError(f"cannot draw {n_samples} samples")
    with DatasetReader(folder) as reader:
        if len(reader) == 0:
            raise ValueError(f"{folder} has no usable sample to draw")
        by_class = np.argsort(reader.labels, kind="stable")
        chosen = [int(by_class[i]) for i in pick_evenly(len(reader), n_samples)]
        rows = [_draw_row(reader, number, style) for number in chosen]
    return _stack(rows)


def write_picture(path: Path, rgb: Picture) -> None:
    """Write an RGB picture as PNG or JPEG by the file's name, whole or not at all."""
    suffix = path.suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg"):
        raise ValueError(f"a picture is written as .png or .jpg, not {path.name!r}")
    _, data = cv2.imencode(suffix, rgb[..., ::-1])
    write_atomically(path, lambda aside: aside.write_bytes(data.tobytes()))


def pick_evenly(n: int, n_wanted: int) -> list[int]:
    """Return up to ``n_wanted`` numbers of 0..n-1, both ends included, evenly apart.

    >>> pick_evenly(9, 3)
    [0, 4, 8]
    """
    return np.linspace(0, n - 1, min(n, n_wanted)).round().astype(int).tolist()


def find_usable(reader: DatasetReader, sample_id: str) -> int:
    """Return the number of a usable sample.

    Raises ``ValueError`` with ids like it, or with the reason why the sample is not usable.
    """
    found = np.flatnonzero(reader.samples["sample_id"] == sample_id)
    if len(found):
        return int(found[0])
    row = find_sample(read_manifest(reader.folder), sample_id)
    raise ValueError(f"sample {sample_id} cannot be drawn, it is {row['status']}: {row['detail']}")


def _draw_row(reader: DatasetReader, number: int, style: SheetStyle) -> Picture:
    window = reader.sample(number)
    chosen = pick_evenly(len(window), style.n_columns)
    painter = TilePainter(window, reader.info.layout, style)
    tiles = [painter.draw(t) for t in chosen]
    return _frame_sheet(title_of(reader, number), tiles, len(tiles))


def title_of(reader: DatasetReader, number: int) -> str:
    """Return a sample's class, id and length in one line."""
    row = reader.samples.iloc[number]
    return f"{row['label_name']}   {row['sample_id']}   {row['n_frames']} frames"


class TilePainter:
    """Draws single frames of a sample, each with its number, video frame and drift below."""

    def __init__(self, window: Window, layout: SkeletonLayout, style: SheetStyle) -> None:
        self.window, self.layout, self.style = window, layout, style
        self._view = find_view(window) if style.zoom or not window.frames else View()

    def draw(self, frame: int) -> Picture:
        """Return one frame, ``style.tile_height`` high, with its caption below."""
        window, style = self.window, self.style
        if window.frames:
            picture = self._view.crop(decode_picture(window.frames[frame]), style.tile_height)
            drift_ms = window.drift_s[frame] * 1000
            caption = f"frame {frame}  video {window.video_index[frame]}  {drift_ms:+.1f} ms"
        else:
            aspect = 16 / 9 if self.layout.channels == METRES else 4 / 3
            size = style.tile_height, round(style.tile_height * aspect), 3
            picture = np.full(size, BACKGROUND, np.uint8)
            caption = f"frame {frame}"
        if style.skeletons:
            pixels = self._view.move(window.pixels[frame])
            picture = draw_skeleton(picture, pixels, window.present[frame], self.layout)
        return np.vstack([picture, text_bar(caption, picture.shape[1])])


def _frame_sheet(title: str, tiles: Sequence[Picture], n_columns: int) -> Picture:
    """Lay tiles of one size out in rows below a title."""
    n_columns = min(n_columns, len(tiles))
    framed = [_frame(tile) for tile in tiles]
    blank = np.full_like(framed[0], _PAPER)
    padded = [*framed, *[blank] * (-len(framed) % n_columns)]
    rows = [np.hstack(padded[i : i + n_columns]) for i in range(0, len(padded), n_columns)]
    return np.vstack([text_bar(title, rows[0].shape[1], _TITLE), *rows])


def _frame(tile: Picture) -> Picture:
    sides = (_GAP_PX,) * 4
    framed = cv2.copyMakeBorder(tile, *sides, cv2.BORDER_CONSTANT, value=_PAPER)
    return np.asarray(framed, np.uint8)


def _stack(sheets: Sequence[Picture]) -> Picture:
    """Put sheets one below the other, the narrower ones filled up on the right."""
    width = max(sheet.shape[1] for sheet in sheets)
    padded = []
    for sheet in sheets:
        canvas = np.full((sheet.shape[0], width, 3), _PAPER, np.uint8)
        canvas[:, : sheet.shape[1]] = sheet
        padded.append(canvas)
    return np.vstack(padded)


def text_bar(text: str, width: int, background: Colour = _PAPER) -> Picture:
    """Return a line of text on a bar, in smaller letters where it would not fit."""
    bar = np.full((_BAR_PX, width, 3), background, np.uint8)
    # OpenCV's own letters are ASCII.
    plain = text.encode("ascii", "replace").decode()
    (text_width, _), _ = cv2.getTextSize(plain, _FONT, _FONT_SCALE, 1)
    scale = _FONT_SCALE * min(1.0, (width - 8) / max(text_width, 1))
    cv2.putText(bar, plain, (4, _BAR_PX - 5), _FONT, scale, _INK, 1, cv2.LINE_AA)
    return bar
