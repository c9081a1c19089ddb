"""A sample as moving pictures: skeletons over the stored frames, in space beside them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.clips import tile
from toolkit.errors import FileError
from toolkit.gif_file import write_gif
from toolkit.render import (
    SheetStyle,
    TilePainter,
    draw_sample,
    find_usable,
    pick_evenly,
    text_bar,
    title_of,
    write_picture,
)
from toolkit.shards.codec import Picture
from toolkit.shards.dataset import DatasetReader
from toolkit.shards.files import write_atomically
from toolkit.shards.reader import Window
from toolkit.skeleton import METRES, SkeletonLayout
from toolkit.space import draw_space, look_at
from toolkit.video_file import H264, VideoKind, write_video

MOVING = (".mp4", ".gif")
STILL = (".png", ".jpg", ".jpeg")
_SECONDS_A_TURN = 8.0
# What every build of FFmpeg has, where it came without libx264.
_MPEG4 = VideoKind("mpeg4", "mp4v", {"qmin": "2", "qmax": "5"}, "mp4")


@dataclass(frozen=True)
class RenderOptions:
    """What to draw of a sample: one of its clips or all, its size, speed and part.

    ``height`` is that of the frames in pixels; ``fps`` None is the poses' own rate; ``zoom``
    shows the part of the picture in which the bodies move.
    """

    clip: int | None = None
    height: int = 360
    fps: float | None = None
    zoom: bool = False


def render_sample(
    folder: Path, sample_id: str, path: Path, options: RenderOptions = RenderOptions()
) -> int:
    """Write a sample as ``.mp4``, ``.gif``, ``.png`` or ``.jpg``; return how many frames are shown.

    A video or GIF has every frame, a picture is a contact sheet of eight, or of a whole clip.
    Raises ``ValueError`` on another ending, an unknown or failed sample, or a clip it does not
    have, ``FileError`` where nothing can be written.
    """
    kind = path.suffix.lower()
    if kind not in MOVING + STILL:
        raise ValueError(f"{path.name}: a sample is drawn as {', '.join(MOVING + STILL)}")
    style = SheetStyle(tile_height=options.height, zoom=options.zoom)
    with DatasetReader(folder) as reader:
        number = find_usable(reader, sample_id)
        frames = _choose_frames(reader, number, sample_id, options.clip)
        fps = options.fps or float(reader.info.parameters.get("pose_fps", 30.0))
        try:
            if kind in STILL:
                if options.clip is None:
                    frames = pick_evenly(len(frames), style.n_frames)
                write_picture(path, draw_sample(reader, sample_id, frames, style))
            else:
                movie = _Movie(reader.sample(number), reader.info.layout, style, fps)
                _write_movie(path, lambda: movie.draw(frames, title_of(reader, number)), fps)
        except OSError as error:
            found = str(error.strerror or error)
            raise FileError(path, "file", expected="a place to write to", found=found) from error
    return len(frames)


def _choose_frames(
    reader: DatasetReader, number: int, sample_id: str, clip: int | None
) -> Sequence[int]:
    n_frames = int(reader.n_frames[number])
    if clip is None:
        return range(n_frames)
    starts, lengths = tile(n_frames)
    if not 0 <= clip < len(starts):
        raise ValueError(f"sample {sample_id} has the clips 0 to {len(starts) - 1}: no clip {clip}")
    return range(int(starts[clip]), int(starts[clip] + lengths[clip]))


class _Movie:
    """Draws the frames of one sample, with space beside the picture where joints are in metres."""

    def __init__(
        self, window: Window, layout: SkeletonLayout, style: SheetStyle, fps: float
    ) -> None:
        self._window, self._layout, self._fps = window, layout, fps
        self._painter = TilePainter(window, layout, style)
        self._view = look_at(window) if layout.channels == METRES else None

    def draw(self, frames: Sequence[int], title: str) -> Iterator[Picture]:
        """Yield every frame, all of one even size, with a title above."""
        for i, frame in enumerate(frames):
            picture = self._painter.draw(frame)
            if self._view is not None:
                turn = 2 * np.pi * i / (self._fps * _SECONDS_A_TURN)
                view, size = self._view.turned(turn), len(picture)
                space = draw_space(self._window, frame, self._layout, view, size)
                picture = np.hstack([picture, space])
            picture = np.vstack([text_bar(title, picture.shape[1]), picture])
            height, width = (side - side % 2 for side in picture.shape[:2])
            yield np.ascontiguousarray(picture[:height, :width])


def _write_movie(path: Path, draw: Callable[[], Iterator[Picture]], fps: float) -> None:
    if path.suffix.lower() == ".gif":
        write_atomically(path, lambda aside: write_gif(aside, draw, fps))
    else:
        kind = H264 if _can_encode(H264.codec) else _MPEG4
        write_atomically(path, lambda aside: write_video(aside, draw(), kind, fps))


def _can_encode(codec: str) -> bool:
    from av.codec import Codec
    from av.codec.codec import UnknownCodecError

    try:
        return bool(Codec(codec, "w"))
    except UnknownCodecError:
        return False
