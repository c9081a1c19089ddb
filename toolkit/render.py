"""Skeletons drawn on their pictures, for people to look at: single samples and whole data sets."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.drawing import Colour, draw_skeleton, enlarge, is_drawn
from toolkit.inspection import find_sample
from toolkit.shards.codec import Picture, decode_picture
from toolkit.shards.dataset import DatasetReader
from toolkit.shards.files import write_atomically
from toolkit.shards.manifest import read_manifest
from toolkit.shards.reader import Window
from toolkit.skeleton import METRES, SkeletonLayout

__all__ = [
    "SheetStyle",
    "draw_dataset",
    "draw_sample",
    "draw_skeleton",
    "pick_evenly",
    "write_picture",
]

_BACKGROUND: Colour = (28, 30, 36)
_PAPER: Colour = (12, 13, 16)
_TITLE: Colour = (52, 56, 66)
_INK: Colour = (225, 225, 225)

# Around the bodies, as a share of their extent, and how far a zoom may go.
_MARGIN = 0.1
_LEAST_EXTENT = 0.1
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
    number = _number_of(data, sample_id)
    window = data.sample(number)
    chosen = list(frames) if frames is not None else pick_evenly(len(window), style.n_frames)
    outside = [t for t in chosen if not 0 <= t < len(window)]
    if outside or not chosen:
        asked = f"no frame {outside[0]}" if outside else "no frame was asked for"
        raise ValueError(f"sample {sample_id} has the frames 0 to {len(window) - 1}: {asked}")
    tiles = [_draw_tile(window, t, data.info.layout, style) for t in chosen]
    return _frame_sheet(_title_of(data, number), tiles, style.n_columns)


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


def _number_of(reader: DatasetReader, sample_id: str) -> int:
    found = np.flatnonzero(reader.samples["sample_id"] == sample_id)
    if len(found):
        return int(found[0])
    row = find_sample(read_manifest(reader.folder), sample_id)
    raise ValueError(f"sample {sample_id} cannot be drawn, it is {row['status']}: {row['detail']}")


def _draw_row(reader: DatasetReader, number: int, style: SheetStyle) -> Picture:
    window = reader.sample(number)
    chosen = pick_evenly(len(window), style.n_columns)
    tiles = [_draw_tile(window, t, reader.info.layout, style) for t in chosen]
    return _frame_sheet(_title_of(reader, number), tiles, len(tiles))


def _title_of(reader: DatasetReader, number: int) -> str:
    row = reader.samples.iloc[number]
    return f"{row['label_name']}   {row['sample_id']}   {row['n_frames']} frames"


def _draw_tile(window: Window, frame: int, layout: SkeletonLayout, style: SheetStyle) -> Picture:
    """Return one frame with its caption below."""
    view = _find_view(window) if style.zoom or not window.jpegs else _View()
    if window.jpegs:
        picture = view.crop(decode_picture(window.jpegs[frame]), style.tile_height)
        drift_ms = window.drift_s[frame] * 1000
        caption = f"frame {frame}  video {window.video_index[frame]}  {drift_ms:+.1f} ms"
    else:
        aspect = 16 / 9 if layout.channels == METRES else 4 / 3
        size = style.tile_height, round(style.tile_height * aspect), 3
        picture = np.full(size, _BACKGROUND, np.uint8)
        caption = f"frame {frame}"
    if style.skeletons:
        pixels = view.move(window.pixels[frame])
        picture = draw_skeleton(picture, pixels, window.present[frame], layout)
    return np.vstack([picture, _text_bar(caption, picture.shape[1], _PAPER)])


@dataclass(frozen=True)
class _View:
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


def _find_view(window: Window) -> _View:
    """Return the part of the picture that holds all the bodies of a sample and a margin."""
    seen = window.pixels[is_drawn(window.pixels) & (window.present[..., None] > 0)]
    if not len(seen):
        return _View()
    low, high = seen.min(0), seen.max(0)
    extent = max(float((high - low).max()) * (1 + 2 * _MARGIN), _LEAST_EXTENT)
    left, top = ((low + high) / 2 - extent / 2).tolist()
    if window.jpegs:
        extent = min(extent, 1.0)
        left, top = (min(max(edge, 0.0), 1.0 - extent) for edge in (left, top))
    return _View(left, top, extent)


def _frame_sheet(title: str, tiles: Sequence[Picture], n_columns: int) -> Picture:
    """Lay tiles of one size out in rows below a title."""
    n_columns = min(n_columns, len(tiles))
    framed = [_frame(tile) for tile in tiles]
    blank = np.full_like(framed[0], _PAPER)
    padded = [*framed, *[blank] * (-len(framed) % n_columns)]
    rows = [np.hstack(padded[i : i + n_columns]) for i in range(0, len(padded), n_columns)]
    return np.vstack([_text_bar(title, rows[0].shape[1], _TITLE), *rows])


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


def _text_bar(text: str, width: int, background: Colour) -> Picture:
    """Return a line of text on a bar, in smaller letters where it would not fit."""
    bar = np.full((_BAR_PX, width, 3), background, np.uint8)
    # OpenCV's own letters are ASCII.
    plain = text.encode("ascii", "replace").decode()
    (text_width, _), _ = cv2.getTextSize(plain, _FONT, _FONT_SCALE, 1)
    scale = _FONT_SCALE * min(1.0, (width - 8) / max(text_width, 1))
    cv2.putText(bar, plain, (4, _BAR_PX - 5), _FONT, scale, _INK, 1, cv2.LINE_AA)
    return bar
