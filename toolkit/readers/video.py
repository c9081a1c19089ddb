"""Videos as a stream of decoded pictures with honest times: sequential, one thread, no seeking."""

import contextlib
import string
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition

from toolkit.errors import VideoFileError

LARGEST_SIDE_PX = 16384

# Display matrix a b c d (ISO/IEC 14496-12, 8.3.2) -> the clockwise turn it asks for.
_TURNS = {(1, 0, 0, 1): 0, (0, 1, -1, 0): 90, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 270}

# Matrix codes (ISO/IEC 23091-2) that the scaler converts: RGB, BT.709, unspecified, reserved, FCC,
# BT.470BG, SMPTE 170M, SMPTE 240M, BT.2020.
_CONVERTIBLE_MATRICES = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 9})

# Containers only: a list of other files (HLS, DASH, concat) would lead out of the file.
_CONTAINERS = (
    "aiff,apng,asf,avi,dv,flv,gif,h264,hevc,ivf,live_flv,m4v,matroska,webm,mjpeg,mov,mp4,mpeg,"
    "mpegts,mpegvideo,mxf,nut,obu,ogg,rm,swf,vc1,wtv,yuv4mpegpipe,wav,mp3,aac,flac"
)

_OPENING = {"protocol_whitelist": "file", "format_whitelist": _CONTAINERS}

_TEXT_BYTES = string.printable.encode()


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One decoded picture, still YUV and unrotated, with its place in the video.

    ``index`` counts decoded frames from 0; ``time_s`` is the presentation time relative to the
    start of the file (of all its streams), so a video that begins after its sound keeps the offset.
    """

    index: int
    time_s: float
    picture: av.VideoFrame


class PresentationClock:
    """Strictly rising times out of what a file tells, which may be missing or run backwards.

    A missing time, or one that is not later than the frame before, becomes the time of the frame
    before plus ``step_s``; ``n_repaired`` counts how often.
    """

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._last_s = float("-inf")
        self._next_s = 0.0
        self.n_repaired = 0

    def read(self, told_s: float | None) -> float:
        """Return the time of the next frame, given what the file tells."""
        if told_s is None or told_s <= self._last_s:
            self.n_repaired += 1
            told_s = self._next_s
        self._last_s, self._next_s = told_s, told_s + self._step_s
        return told_s


class VideoReader:
    """Decodes one video from its first frame to its last, once; a context manager.

    Of several video streams it reads the first one marked "default", else the first; cover
    pictures and streams without a decoder do not count.  That is the same stream everywhere,
    while FFmpeg's "best" depends on how much of the file was probed.  Where the file's times are
    missing or do not rise they are repaired, see PresentationClock.

    Attributes:
        width, height: picture size in pixels as displayed, after rotation; non-square pixels are
            not stretched.
        rotation: clockwise turn (0, 90, 180, 270) that the pictures still need.
        fps: average rate the file declares, 0.0 if unknown.
        codec: FFmpeg's name of the codec.
        n_decoded: frames handed out so far; after iteration, the true frame count.

    Raises:
        VideoFileError: at opening, if no picture can be decoded; in iteration, at the first frame
            that is damaged.  A file that merely ends early is no error here: alignment sees it.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n_decoded = 0
        self._iterated = False
        self._container = _open_container(path)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self.close)
            self._stream = self._select_stream()
            rate = self._stream.average_rate or self._stream.guessed_rate
            self.fps = float(rate or 0)
            self.codec: str = self._stream.codec_context.codec.canonical_name
            # Pictures with neither time nor rate: FFmpeg's own assumption is 25 a second.
            self._clock = PresentationClock(float(1 / rate) if rate else 0.04)
            self._told_time = _ToldTime(self._container, self._stream)
            self._pictures = self._decode()
            self._first = self._decode_first()
            on_failure.pop_all()

    def __enter__(self) -> "VideoReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; pictures already handed out stay valid."""
        self._container.close()

    @property
    def n_repaired_times(self) -> int:
        """Number of frames so far whose time was missing or did not rise."""
        return self._clock.n_repaired

    def __iter__(self) -> Iterator[DecodedFrame]:
        """Yield the frames in presentation order; a second pass is refused with ValueError."""
        if self._iterated:
            raise ValueError(f"{self.path}: a VideoReader can be iterated only once")
        self._iterated = True
        return self._number_and_time()

    def _number_and_time(self) -> Iterator[DecodedFrame]:
        picture: av.VideoFrame | None = self._first
        del self._first
        while picture is not None:
            self._check(picture)
            time_s = self._clock.read(self._told_time.read(picture))
            frame = DecodedFrame(self.n_decoded, time_s, picture)
            self.n_decoded += 1
            yield frame
            picture = next(self._pictures, None)

    def _select_stream(self) -> av.VideoStream:
        videos = [
            stream
            for stream in self._container.streams.video
            if not stream.disposition & Disposition.attached_pic
        ]
        if not videos:
            raise self._refusal("header", "a video stream", _describe_streams(self._container))
        decodable = [stream for stream in videos if stream.codec_context is not None]
        if not decodable:
            raise self._refusal("header", "a codec that FFmpeg decodes here", "an unknown one")
        defaults = [stream for stream in decodable if stream.disposition & Disposition.default]
        stream = (defaults or decodable)[0]
        # A second thread costs 12-33 % more CPU in all; the processes are what runs in parallel.
        stream.thread_type = "NONE"
        stream.codec_context.thread_count = 1
        return stream

    def _decode(self) -> Iterator[av.VideoFrame]:
        # Black is NUL in uncompressed RGB; in any other codec a hole in the file, which H.264
        # decoders fill with a repeated picture without a word.
        may_be_nul = self.codec == "rawvideo"
        try:
            for packet in self._container.demux(self._stream):
                if packet.size and not may_be_nul and not any(memoryview(packet)):
                    raise self._refusal(self._place, "coded picture data", "only NUL bytes")
                yield from packet.decode()
        # PyAV answers a damaged file that announces a new stream half-way with an IndexError.
        except (av.FFmpegError, IndexError) as error:
            found = f"a decoding error ({getattr(error, 'strerror', error)})"
            raise self._refusal(self._place, "a decodable picture", found) from error

    def _decode_first(self) -> av.VideoFrame:
        first = next(self._pictures, None)
        if first is None:
            raise self._refusal("frame 0", "at least one decodable picture", "none")
        size = self._coded_size = first.width, first.height
        if max(size) > LARGEST_SIDE_PX:
            expected = f"at most {LARGEST_SIDE_PX} pixels a side"
            raise self._refusal("frame 0", expected, "{}x{}".format(*size))
        if first.colorspace not in _CONVERTIBLE_MATRICES:
            found = f"colour matrix {int(first.colorspace)}"
            raise self._refusal("frame 0", "a BT.601, BT.709 or BT.2020 picture", found)
        self.rotation = self._parse_rotation(first)
        self.width, self.height = size if self.rotation in (0, 180) else size[::-1]
        return first

    def _parse_rotation(self, first: av.VideoFrame) -> int:
        side_data: Any = first.side_data  # its published types are wrong
        matrix = side_data.get(SideDataType.DISPLAYMATRIX)
        if matrix is None:
            return 0
        a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
        longest = max(map(abs, (a, b, c, d))) or 1
        turn = _TURNS.get(tuple(round(value / longest) for value in (a, b, c, d)))
        if turn is None:
            expected = "a display matrix that turns by 0, 90, 180 or 270 degrees"
            raise self._refusal("header", expected, f"{a} {b} {c} {d}")
        return turn

    def _check(self, picture: av.VideoFrame) -> None:
        if picture.is_corrupt:
            raise self._refusal(self._place, "an intact picture", "one the decoder calls corrupt")
        if (picture.width, picture.height) != self._coded_size:
            expected = "{}x{} pixels as in frame 0".format(*self._coded_size)
            raise self._refusal(self._place, expected, f"{picture.width}x{picture.height}")

    @property
    def _place(self) -> str:
        return f"frame {self.n_decoded}"

    def _refusal(self, place: str, expected: str, found: str) -> VideoFileError:
        return VideoFileError(self.path, place, expected=expected, found=found)


class _ToldTime:
    """What a file itself tells about the time of each picture, in seconds from the file's start."""

    def __init__(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream
    ) -> None:
        self._tick_s = Fraction(stream.time_base or 0)
        self._is_avi = container.format.name == "avi"
        self._begin_s = Fraction(container.start_time or 0, av.time_base)
        self._begun = False
        self._last_tick = -1

    def read(self, picture: av.VideoFrame) -> float | None:
        tick = self._read_avi_tick(picture) if self._is_avi else picture.pts
        if tick is None:
            return None
        time_s = tick * self._tick_s
        if not self._begun:
            # FFmpeg rounds the file's start to microseconds, and guesses it where a stream has not
            # been probed to its first picture: it cannot be after that picture.
            if self._is_avi or time_s - self._begin_s <= Fraction(1, av.time_base):
                self._begin_s = time_s
            self._begun = True
        return float(time_s - self._begin_s)

    def _read_avi_tick(self, picture: av.VideoFrame) -> int:
        # AVI has no presentation times (FFmpeg makes some up, in the wrong order), only one tick
        # a chunk: a picture belongs to the chunk that drove it out of the decoder, less the
        # decoder's delay.  The last pictures are driven out by the end of the file.
        tick = self._last_tick + 1 if picture.dts is None else picture.dts
        self._last_tick = tick
        return tick


def _open_container(path: Path) -> av.container.InputContainer:
    with _captured_log() as said:
        try:
            # "file:" lets names hold a colon and keeps playlists off the network; titles are
            # never looked at, so their encoding must not stop us.
            return av.open(f"file:{path}", metadata_errors="replace", options=_OPENING)
        except av.FFmpegError as error:
            found = "; ".join([str(error.strerror), *(message.strip() for _, _, message in said)])
            if isinstance(error, av.InvalidDataError):
                found = _describe_start(path) or found
            expected = "a video that FFmpeg can open"
            raise VideoFileError(path, "header", expected=expected, found=found) from error


@contextlib.contextmanager
def _captured_log() -> Iterator[list[tuple[int, str, str]]]:
    """Collect FFmpeg's error messages, which PyAV otherwise drops or a logger prints."""
    level, skip_repeated = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as said:
            yield said
    finally:
        av.logging.set_skip_repeated(skip_repeated)
        av.logging.set_level(level)


def _describe_start(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(4096)
    if not start:
        return "an empty file"
    if not any(start):
        return "NUL bytes"
    return None if start.translate(None, _TEXT_BYTES) else "text"


def _describe_streams(container: av.container.InputContainer) -> str:
    kinds = sorted({stream.type for stream in container.streams})
    # A cover picture is of type video too.
    names = ["cover pictures" if kind == "video" else kind for kind in kinds]
    return f"only {' and '.join(names)}" if names else "no stream"
