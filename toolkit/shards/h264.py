"""Frames stored as H.264: closed groups of 16, each decoded by itself, and no frame too many."""

import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.clips import CLIP_LENGTH
from toolkit.errors import CtxtoolError, ShardError
from toolkit.shards.codec import Picture
from toolkit.shards.frames import DecodedFrames

if TYPE_CHECKING:
    import av

# A group has as many frames as a clip: a window of that length lies in two groups at most.
GROUP_LENGTH = CLIP_LENGTH
# What a stream marked as full range decodes to: 4:2:0, 8 bits.
_PIXELS = "yuvj420p"


@dataclass(frozen=True)
class Group:
    """Frames of a sample that need none outside; ``first`` is the number of the first of them.

    ``size`` is (width, height); ``packets`` holds the bytes of each frame.
    """

    path: Path
    sample_id: str
    first: int
    size: tuple[int, int]
    crc32: int
    packets: Sequence[memoryview]

    def decode(self, begin: int, end: int) -> list[Picture]:
        """Return frames as RGB, counted within the group; what lies after ``end`` is not decoded.

        Raises ``ShardError`` naming shard, sample and frames where they are not what was stored.
        """
        found = _crc32(self.packets)
        if found != self.crc32:
            raise self._refusal(f"frames of CRC-32 {self.crc32:08x}", f"{found:08x}")
        decoder = _decoder()
        frames = self._decode(decoder, end)
        try:
            return [decoder.to_rgb(frame) for frame in frames[begin:]]
        except ValueError as error:
            raise self._refusal("colours that can be shown", str(error)) from error

    def _decode(self, decoder: "_Decoder", end: int) -> "list[av.VideoFrame]":
        """Return the first frames, each of them checked against what is told of the group."""
        try:
            frames = decoder.decode(self.packets[:end], self.size)
        except ValueError as error:
            raise self._refusal("H.264", str(error)) from error
        numbers = [frame.pts for frame in frames]
        if numbers != list(range(end)):
            raise self._refusal(f"{end} pictures, one a frame", f"{len(numbers)} or another order")
        for number, frame in enumerate(frames, self.first):
            # FFmpeg has filled up what it could not decode with what lies around it.
            if frame.is_corrupt:
                raise self._refusal("whole pictures", f"frame {number} damaged")
            if (frame.width, frame.height, frame.format.name) != (*self.size, _PIXELS):
                wanted = f"pictures of {self.size[0]}x{self.size[1]} {_PIXELS}"
                claimed = f"{frame.width}x{frame.height} {frame.format.name}"
                raise self._refusal(wanted, claimed)
        return frames

    def _refusal(self, expected: str, found: str) -> ShardError:
        place = f"sample {self.sample_id}: frames {self.first} to"
        place += f" {self.first + len(self.packets) - 1}"
        return ShardError(self.path, place, expected=expected, found=found)


class GroupFrames(DecodedFrames):
    """Frames out of one sample's consecutive groups.

    ``numbers`` says which, counted from the first frame of the first group.
    """

    def __init__(self, groups: Sequence[Group], numbers: Sequence[int]) -> None:
        self._groups, self._numbers = groups, numbers
        self._current = -1
        self._pictures: dict[int, Picture] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def item(self, at: int) -> Picture:
        """Return one frame as RGB; decodes its group unless the frame before was of it too."""
        group, number = divmod(self._numbers[at], GROUP_LENGTH)
        if group != self._current:
            self._decode(group)
        return self._pictures[number]

    @property
    def stored(self) -> Sequence[memoryview]:
        """Each frame's part of the stream."""
        groups = self._groups
        return [groups[n // GROUP_LENGTH].packets[n % GROUP_LENGTH] for n in self._numbers]

    def take(self, order: Sequence[int]) -> "GroupFrames":
        """Return the frames in another order, nothing decoded yet."""
        return GroupFrames(self._groups, [self._numbers[i] for i in order])

    def _decode(self, group: int) -> None:
        """Keep one group's pictures in place of another's: memory does not grow with a sample."""
        wanted = [n % GROUP_LENGTH for n in self._numbers if n // GROUP_LENGTH == group]
        begin, end = min(wanted), max(wanted) + 1
        pictures = self._groups[group].decode(begin, end)
        self._pictures = dict(zip(range(begin, end), pictures, strict=True))
        self._current = group


class _Decoder:
    """Decodes groups, none of which leaves anything to the next; one scaler keeps its buffers."""

    def __init__(self) -> None:
        try:
            import av
            from av.video.reformatter import VideoReformatter
        except ImportError as error:
            raise CtxtoolError(
                f"frames stored as H.264 need the package av, which cannot be loaded ({error}):"
                " pip install av"
            ) from error
        from toolkit.pyav import ONE_THREAD

        self._new_packet, self._error = av.Packet, av.FFmpegError
        self._new_context: Any = av.CodecContext.create
        self._reformatter = VideoReformatter()
        self._one_thread = ONE_THREAD

    def decode(self, packets: Sequence[memoryview], size: tuple[int, int]) -> "list[av.VideoFrame]":
        """Return the pictures of a group's first packets, their numbers as ``pts``.

        Raises ``ValueError`` on what is no H.264, or of pictures larger than ``size``.
        """
        with self._telling():
            return self._decode(packets, self._open(size))

    def _open(self, size: tuple[int, int]) -> Any:
        # Always a new one: flushed after a damaged group, FFmpeg shows parts of it in the next.
        context = self._new_context("h264", "r")
        # A stream that claims to be larger gets no memory.  FFmpeg counts whole blocks, and rows
        # as long as they are in memory: up to the next multiple of 64.
        width, height = size
        context.options = {"max_pixels": str((width + 64) * (height + 64))}
        context.thread_count = 1
        return context

    def _decode(self, packets: Sequence[memoryview], context: Any) -> "list[av.VideoFrame]":
        frames: list[av.VideoFrame] = []
        for number, data in enumerate(packets):
            packet = self._new_packet(bytes(data))
            packet.pts = number
            frames += context.decode(packet)
        return frames + context.decode(None)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Let what FFmpeg refuses be a ``ValueError``."""
        try:
            yield
        except MemoryError:
            raise
        except self._error as error:
            raise ValueError(str(getattr(error, "strerror", error))) from error

    def to_rgb(self, frame: "av.VideoFrame") -> Picture:
        """Return a frame's colours; raises ``ValueError`` where the stream claims unknown ones."""
        with self._telling():
            rgb = self._reformatter.reformat(frame, format="rgb24", **self._one_thread)
        plane = rgb.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        return rows[: rgb.height, : 3 * rgb.width].reshape(rgb.height, rgb.width, 3)


class _Kept(threading.local):
    """The decoder of each thread: a scaler may not be used by two at a time."""

    decoder: _Decoder | None = None


_kept = _Kept()


def _decoder() -> _Decoder:
    """Return this thread's decoder, made when first asked for."""
    if _kept.decoder is None:
        _kept.decoder = _Decoder()
    return _kept.decoder


def _crc32(packets: Sequence[memoryview]) -> int:
    crc = 0
    for packet in packets:
        crc = zlib.crc32(packet, crc)
    return crc
