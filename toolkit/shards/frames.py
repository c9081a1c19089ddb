"""The frames of a window as they are stored: decoded when they are looked at, not before."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from toolkit.shards.codec import Buffer, Picture, decode_pictures, encode_picture


class _Items(Sequence[Buffer]):
    """A sequence whose items are made one by one."""

    @abstractmethod
    def item(self, at: int) -> Buffer:
        """Return one item, counted from 0."""

    @overload
    def __getitem__(self, at: int) -> Buffer: ...
    @overload
    def __getitem__(self, at: slice) -> list[Buffer]: ...
    def __getitem__(self, at: int | slice) -> Buffer | list[Buffer]:
        if isinstance(at, slice):
            return [self.item(i) for i in range(len(self))[at]]
        return self.item(range(len(self))[at])


class Frames(_Items):
    """The frames of a window, each as something ``decode_picture`` takes.

    That is a JPEG's bytes, or a picture that had to be decoded with others.
    """

    @property
    @abstractmethod
    def stored(self) -> Sequence[memoryview]:
        """The bytes of each frame as they lie in the shard."""

    @property
    @abstractmethod
    def jpegs(self) -> Sequence[Buffer]:
        """Each frame as a JPEG, made anew when looked at where none is stored."""

    @abstractmethod
    def take(self, order: Sequence[int]) -> "Frames":
        """Return the frames in another order, any of them any number of times."""

    @abstractmethod
    def decode(self) -> Picture:
        """Return all frames as RGB, (T, H, W, 3) uint8."""


class JpegFrames(Frames):
    """Frames that are JPEGs; no frames at all are this too."""

    def __init__(self, stored: Sequence[memoryview] = ()) -> None:
        self._stored = stored

    def __len__(self) -> int:
        return len(self._stored)

    def __iter__(self) -> Iterator[Buffer]:
        return iter(self._stored)

    def item(self, at: int) -> Buffer:
        """Return the JPEG."""
        return self._stored[at]

    @property
    def stored(self) -> Sequence[memoryview]:
        """The JPEGs."""
        return self._stored

    @property
    def jpegs(self) -> Sequence[Buffer]:
        """The JPEGs."""
        return self._stored

    def take(self, order: Sequence[int]) -> "JpegFrames":
        """Return the same buffers in that order."""
        return JpegFrames([self._stored[i] for i in order])

    def decode(self) -> Picture:
        """Decode every JPEG, a repeated one once."""
        return decode_pictures(self._stored)


class DecodedFrames(Frames):
    """Frames that cannot be decoded one by one: items are RGB pictures."""

    @abstractmethod
    def item(self, at: int) -> Picture:
        """Return one frame as RGB, (H, W, 3) uint8."""

    @property
    def jpegs(self) -> Sequence[Buffer]:
        """JPEGs of quality 90, made when looked at."""
        return _MadeJpegs(self)

    def decode(self) -> Picture:
        """Return the pictures, copied into one array."""
        first = self.item(0)
        out = np.empty((len(self), *first.shape), np.uint8)
        for at in range(len(self)):
            out[at] = self.item(at)
        return out


class _MadeJpegs(_Items):
    def __init__(self, frames: DecodedFrames) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def item(self, at: int) -> Buffer:
        return encode_picture(self._frames.item(at))


NO_FRAMES = JpegFrames()
