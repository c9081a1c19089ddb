"""One recording: poses read, bodies chosen, video frames matched and encoded."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.align import match_nearest
from toolkit.bodies import BodyChoice, select_bodies
from toolkit.build.options import BuildOptions
from toolkit.build.plan import PlannedSample, Stamp
from toolkit.errors import InputChangedError, MisalignedError, TooShortError
from toolkit.readers.kinetics_json import read_kinetics_json
from toolkit.readers.ntu_skeleton import read_ntu_skeleton
from toolkit.readers.openpose_json import read_openpose_folder
from toolkit.readers.picture import PictureEncoder, scaled_size
from toolkit.readers.video import DecodedFrame, VideoReader
from toolkit.shards.writer import AlignedSample
from toolkit.skeleton import SkeletonLayout, SkeletonSequence

AddPicture = Callable[[bytes], None]


@dataclass(frozen=True)
class Extracted:
    """A sample ready for the shard, and what its manifest row tells of it."""

    sample: AlignedSample
    columns: dict[str, Any]
    notes: list[str]


@dataclass(frozen=True)
class Extractor:
    """Turns planned recordings into aligned samples; one a process, the encoder keeps buffers."""

    layout: SkeletonLayout
    options: BuildOptions
    encoder: PictureEncoder

    def extract(self, planned: PlannedSample, add_picture: AddPicture) -> Extracted:
        """Read, choose, match; hand each frame's JPEG to ``add_picture`` as it is made.

        Raises the ``SampleError`` that says why the sample cannot be used.
        """
        _refuse_changed(planned)
        if self.options.skeleton_only:
            chosen, notes = self._read_bodies(planned, None)
            return _without_video(planned, chosen, notes)
        with VideoReader(Path(planned.video.path)) as video:
            chosen, notes = self._read_bodies(planned, (video.width, video.height))
            matched = _match_video(self, video, chosen.sequence, add_picture)
            fps = video.fps
        notes += _check_alignment(planned, chosen.sequence, matched, self.options)
        columns = {
            "fps": round(fps, 3),
            "video_frames": matched.n_frames,
            "max_drift_ms": round(matched.max_drift_s * 1000, 3),
            "width": matched.size[0],
            "height": matched.size[1],
            "n_bodies": chosen.n_bodies,
        }
        video_index = np.array(matched.video_index, np.int32)
        drift_s = np.array(matched.drift_s, np.float32)
        sample = AlignedSample(
            planned.sample_id, planned.label, chosen.sequence, video_index, drift_s
        )
        return Extracted(sample, columns, notes)

    def _read_bodies(
        self, planned: PlannedSample, picture: tuple[int, int] | None
    ) -> tuple[BodyChoice, list[str]]:
        poses, notes = _read_poses(planned, self.layout, self.options, picture)
        if len(poses) < self.options.min_frames:
            wanted = self.options.min_frames
            raise TooShortError(f"{planned.poses.path}: {len(poses)} frames, {wanted} wanted")
        chosen = select_bodies(poses, rule=self.options.bodies, source=planned.poses.path)
        return chosen, [*notes, *chosen.notes]


def _refuse_changed(planned: PlannedSample) -> None:
    for before in (planned.poses, planned.video):
        now = Stamp.of(Path(before.path)) if before.path else before
        if now != before:
            raise InputChangedError(
                f"{before.path}: changed since it was planned with {before.n_bytes} bytes, now"
                f" {now.n_bytes}: run the same command again to plan it anew"
            )


def _read_poses(
    planned: PlannedSample,
    layout: SkeletonLayout,
    options: BuildOptions,
    picture: tuple[int, int] | None,
) -> tuple[SkeletonSequence, list[str]]:
    """Return the poses and what is worth telling about their file."""
    path = Path(planned.poses.path)
    if options.source == "ntu":
        return read_ntu_skeleton(path), []
    if path.is_dir():
        folder = read_openpose_folder(
            path, scale=options.pose_scale, picture=picture, fps=options.pose_fps
        )
        return folder.sequence, _gap_note(folder.n_gaps)
    poses = read_kinetics_json(path, layout=layout, fps=options.pose_fps)
    return poses.sequence, _gap_note(poses.n_gaps) + _label_note(poses.label, planned)


def _gap_note(n_gaps: int) -> list[str]:
    return [f"{n_gaps} frame numbers are not listed and hold no body"] if n_gaps else []


def _label_note(label: str, planned: PlannedSample) -> list[str]:
    if not label or label == planned.label_name:
        return []
    return [f"the pose file says label {label!r}"]


@dataclass
class _Matched:
    """What matching one video left behind."""

    n_frames: int = 0
    size: tuple[int, int] = (0, 0)
    end_s: float = 0.0
    video_index: list[int] = field(default_factory=list)
    drift_s: list[float] = field(default_factory=list)

    @property
    def max_drift_s(self) -> float:
        return max(map(abs, self.drift_s), default=0.0)


def _match_video(
    extractor: Extractor, video: VideoReader, poses: SkeletonSequence, add_picture: AddPicture
) -> _Matched:
    """Decode to the end, storing each pose frame's picture; encode a frame serving two only once.

    Pose frame i belongs to video frame i where the source counts frames (docs/formats.md), so a
    video frame's place is then its number on the pose clock, else its presentation time.
    """
    options, matched = extractor.options, _Matched()

    def placed() -> Iterator[tuple[float, DecodedFrame]]:
        for frame in video:
            matched.n_frames, matched.end_s = frame.index + 1, frame.time_s
            by_count = options.align == "frame"
            yield frame.index / options.pose_fps if by_count else frame.time_s, frame

    jpeg, encoded = b"", -1
    for match in match_nearest(poses.times.tolist(), placed()):
        if match.frame.index != encoded:
            jpeg = extractor.encoder.encode(match.frame.picture, video.rotation)
            encoded = match.frame.index
        add_picture(jpeg)
        matched.video_index.append(encoded)
        matched.drift_s.append(match.drift_s)
    matched.size = scaled_size(video.width, video.height, options.frame_size)
    return matched


def _check_alignment(
    planned: PlannedSample, poses: SkeletonSequence, matched: _Matched, options: BuildOptions
) -> list[str]:
    """Refuse poses and video that do not belong together; tell smaller differences."""
    if options.align == "frame":
        return _check_counts(planned, len(poses), matched.n_frames, options)
    worst_ms = matched.max_drift_s * 1000
    if worst_ms > options.tolerance_ms + 1e-6:
        row = int(np.argmax(np.abs(matched.drift_s)))
        raise MisalignedError(
            f"{planned.video.path}: pose frame {row} at {poses.times[row]:.3f} s is"
            f" {worst_ms:.0f} ms from the nearest video frame (the video's last is at"
            f" {matched.end_s:.3f} s), {options.tolerance_ms:.0f} ms allowed"
        )
    return []


def _check_counts(
    planned: PlannedSample, n_poses: int, n_video: int, options: BuildOptions
) -> list[str]:
    if n_poses == n_video:
        return []
    allowed = round(options.tolerance_ms * options.pose_fps / 1000)
    told = f"{n_poses} pose frames, {n_video} video frames"
    if abs(n_poses - n_video) > allowed:
        raise MisalignedError(f"{planned.video.path}: {told}, at most {allowed} apart allowed")
    return [told]


def _without_video(planned: PlannedSample, chosen: BodyChoice, notes: list[str]) -> Extracted:
    n_frames = len(chosen.sequence)
    video_index, drift_s = np.full(n_frames, -1, np.int32), np.zeros(n_frames, np.float32)
    sample = AlignedSample(planned.sample_id, planned.label, chosen.sequence, video_index, drift_s)
    return Extracted(sample, {"n_bodies": chosen.n_bodies}, notes)
