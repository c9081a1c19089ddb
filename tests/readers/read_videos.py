"""A video read as a whole: its frames and times, or why it is refused."""

from pathlib import Path

import pytest

from toolkit.errors import VideoFileError
from toolkit.readers.video import DecodedFrame, VideoReader


def read_all(path: Path) -> list[DecodedFrame]:
    with VideoReader(path) as video:
        return list(video)


def times_of(path: Path) -> list[float]:
    return [frame.time_s for frame in read_all(path)]


def refusal_of(path: Path) -> VideoFileError:
    with pytest.raises(VideoFileError) as refusal:
        read_all(path)
    assert refusal.value.path == str(path)
    return refusal.value
