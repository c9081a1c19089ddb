"""Pictures out as a video file; reading one is :mod:`toolkit.readers.video`."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class VideoKind:
    """A codec by its encoder's name, the tag written into the file, encoder options, container."""

    codec: str
    tag: str
    options: dict[str, str]
    container: str


XVID = VideoKind("mpeg4", "XVID", {"qmin": "3", "qmax": "6"}, "avi")
H264 = VideoKind("libx264", "avc1", {"preset": "veryfast", "crf": "20"}, "mp4")


def write_video(
    path: Path, frames: Iterator[NDArray[np.uint8]], kind: VideoKind, fps: float = 30.0
) -> int:
    """Encode RGB frames (H, W, 3) of one even size; return how many there were.

    By one thread: the same frames make the same bytes every time.  The container is the kind's,
    whatever the file's name.  Raises ``ValueError`` without a frame, or at an odd size.
    """
    import av

    first = next(frames, None)
    if first is None or first.shape[0] % 2 or first.shape[1] % 2:
        found = "no frame" if first is None else f"{first.shape[1]}x{first.shape[0]}"
        raise ValueError(f"a video needs frames of even width and height, got {found}")
    n_frames = 0
    with av.open(path, "w", format=kind.container) as container:
        rate = Fraction(fps).limit_denominator(1001)
        stream: Any = container.add_stream(kind.codec, rate=rate, options=kind.options)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        stream.codec_context.codec_tag = kind.tag
        for picture in chain([first], frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            container.mux(stream.encode(frame))
            n_frames += 1
        container.mux(stream.encode(None))
    return n_frames
