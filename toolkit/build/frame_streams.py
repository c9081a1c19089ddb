"""How the pictures of one recording become what is stored: JPEG by JPEG, or a stream of H.264."""

from collections.abc import Callable
from typing import Protocol

import av

from toolkit.build.extracted import AddPicture
from toolkit.build.options import BuildOptions
from toolkit.readers.group_encoder import GroupEncoder
from toolkit.readers.picture import PictureEncoder


class FrameStream(Protocol):
    """Takes in pictures and hands on the bytes of each frame, in order, some time later."""

    def add(self, picture: av.VideoFrame, rotation: int) -> None:
        """Take in a picture, to be turned clockwise."""

    def repeat(self) -> None:
        """Take in the picture added last once more, for the next frame."""

    def finish(self) -> None:
        """Hand on what is left."""


def stream_opener(options: BuildOptions) -> Callable[[AddPicture], FrameStream]:
    """Return what opens a recording's stream; one a process, its scaler keeps buffers."""
    encoder = PictureEncoder(short_side=options.frame_size, quality=options.quality)
    if options.codec == "jpeg":
        return lambda hand_on: JpegStream(encoder, hand_on)
    return lambda hand_on: GroupStream(encoder, options.crf, hand_on)


class JpegStream:
    """Every picture compressed by itself; one that serves several frames is compressed once."""

    def __init__(self, encoder: PictureEncoder, hand_on: AddPicture) -> None:
        self._encoder, self._hand_on = encoder, hand_on
        self._jpeg = b""

    def add(self, picture: av.VideoFrame, rotation: int) -> None:
        """Compress a picture and hand it on."""
        self._jpeg = self._encoder.encode(picture, rotation)
        self._hand_on(self._jpeg)

    def repeat(self) -> None:
        """Hand the same JPEG on again."""
        self._hand_on(self._jpeg)

    def finish(self) -> None:
        """Do nothing: every JPEG was handed on at once."""


class GroupStream:
    """Pictures compressed with those before them in their group."""

    def __init__(self, scaler: PictureEncoder, crf: int, hand_on: AddPicture) -> None:
        self._scaler, self._crf, self._hand_on = scaler, crf, hand_on
        self._encoder: GroupEncoder | None = None

    def add(self, picture: av.VideoFrame, rotation: int) -> None:
        """Scale and turn a picture and take it in."""
        planes = self._scaler.prepare(picture, rotation)
        if self._encoder is None:
            height, width = planes[0].shape
            self._encoder = GroupEncoder(width, height, self._crf)
        self._pass_on(self._encoder.add(planes))

    def repeat(self) -> None:
        """Take the last picture in once more: where nothing changes, hardly a byte is stored."""
        if self._encoder is None:
            raise ValueError("there is no picture to repeat")
        self._pass_on(self._encoder.repeat())

    def finish(self) -> None:
        """Hand on what the encoder kept back to look ahead."""
        if self._encoder is not None:
            self._pass_on(self._encoder.finish())

    def _pass_on(self, frames: list[bytes]) -> None:
        for frame in frames:
            self._hand_on(frame)
