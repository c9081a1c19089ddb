"""A video against the poses of its recording: one stored picture for every pose frame."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.align import match_nearest
from toolkit.aligned import MAX_PIXELS
from toolkit.build.extracted import AddPicture
from toolkit.build.frame_streams import stream_opener
from toolkit.build.options import BuildOptions
from toolkit.errors import VideoFileError
from toolkit.readers.picture import scaled_size
from toolkit.readers.video import DecodedFrame, VideoReader
from toolkit.skeleton import SkeletonSequence


@dataclass
class Matched:
    """What matching one video left behind; ``end_s`` is the time of its last frame."""

    n_frames: int = 0
    fps: float = 0.0
    size: tuple[int, int] = (0, 0)
    end_s: float = 0.0
    video_index: list[int] = field(default_factory=list)
    drift_s: list[float] = field(default_factory=list)

    @property
    def max_drift_s(self) -> float:
        """The largest distance in time from a pose to its frame."""
        return max(map(abs, self.drift_s), default=0.0)

    def columns(self) -> dict[str, Any]:
        """Return what the manifest tells of the video."""
        return {
            "fps": round(self.fps, 3),
            "video_frames": self.n_frames,
            "max_drift_ms": round(self.max_drift_s * 1000, 3),
            "width": self.size[0],
            "height": self.size[1],
        }


class VideoMatcher:
    """Finds and encodes the frame of each pose; one a process, its encoder keeps buffers."""

    def __init__(self, options: BuildOptions) -> None:
        self._options = options
        self._open_stream = stream_opener(options)

    def open(self, path: Path) -> VideoReader:
        """Open a video; raises ``VideoFileError`` if it is none."""
        return VideoReader(path)

    def match(
        self, video: VideoReader, poses: SkeletonSequence, add_picture: AddPicture
    ) -> Matched:
        """Decode to the end and store each pose's picture, one that serves two for both.

        Raises ``VideoFileError`` before all that if the pictures are too large to be stored.
        """
        matched = Matched(fps=video.fps, size=self._stored_size(video))
        stream, encoded = self._open_stream(add_picture), -1
        for match in match_nearest(poses.times.tolist(), self._placed(video, matched)):
            if match.frame.index == encoded:
                stream.repeat()
            else:
                stream.add(match.frame.picture, video.rotation)
                encoded = match.frame.index
            matched.video_index.append(encoded)
            matched.drift_s.append(match.drift_s)
        stream.finish()
        return matched

    def _stored_size(self, video: VideoReader) -> tuple[int, int]:
        width, height = scaled_size(video.width, video.height, self._options.frame_size)
        if width * height > MAX_PIXELS:
            # No reader of shards would take them.
            expected = f"pictures that have at most {MAX_PIXELS} pixels when stored (--frame-size)"
            raise VideoFileError(video.path, "header", expected=expected, found=f"{width}x{height}")
        return width, height

    def _placed(self, video: VideoReader, matched: Matched) -> Iterator[tuple[float, DecodedFrame]]:
        """Yield each frame with its place on the poses' clock.

        Where the source counts frames, pose frame i belongs to video frame i (docs/formats.md): a
        frame's place is then its number at the poses' rate, else its own time.
        """
        by_count = self._options.align == "frame"
        for frame in video:
            matched.n_frames, matched.end_s = frame.index + 1, frame.time_s
            yield frame.index / self._options.pose_fps if by_count else frame.time_s, frame
