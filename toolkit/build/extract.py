"""One recording: poses read, bodies chosen, video frames matched, all of it checked."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.aligned import AlignedSample
from toolkit.bodies import select_bodies
from toolkit.build.extracted import AddPicture, Extracted
from toolkit.build.options import BuildOptions
from toolkit.build.planned import PlannedSample
from toolkit.errors import InputChangedError, MisalignedError, TooShortError
from toolkit.readers.kinetics_json import read_kinetics_json
from toolkit.readers.ntu_skeleton import read_ntu_skeleton
from toolkit.readers.openpose_json import read_openpose_folder
from toolkit.skeleton import SkeletonLayout, SkeletonSequence

if TYPE_CHECKING:
    from toolkit.build.video_match import Matched, VideoMatcher

# Kinetics clips last 10 s and their poses as long; a video that goes on for longer than this
# may be the whole film instead of the clip.
_LONGER_S = 1.0


class Extractor:
    """Turns planned recordings into aligned samples; one a process, its encoder keeps buffers."""

    def __init__(self, layout: SkeletonLayout, options: BuildOptions) -> None:
        self.layout, self.options = layout, options
        self._matcher = None if options.skeleton_only else _open_matcher(options)

    def extract(self, planned: PlannedSample, add_picture: AddPicture) -> Extracted:
        """Read, choose, match; hand each frame's bytes to ``add_picture`` as they are made.

        Raises the ``SampleError`` that says why the sample cannot be used.
        """
        _refuse_changed(planned)
        if self._matcher is None:
            return _without_video(planned, self._read_bodies(planned, None))
        with self._matcher.open(Path(planned.video.path)) as video:
            read = self._read_bodies(planned, (video.width, video.height))
            matched = self._matcher.match(video, read.poses, add_picture)
        read.notes.extend(_check_alignment(planned, read.poses, matched, self.options))
        sample = AlignedSample(
            planned.sample_id,
            planned.label,
            read.poses,
            np.array(matched.video_index, np.int32),
            np.array(matched.drift_s, np.float32),
            picture_size=matched.size,
        )
        return Extracted(sample, read.columns | matched.columns(), read.notes)

    def _read_bodies(self, planned: PlannedSample, picture: tuple[int, int] | None) -> "_Read":
        read = _read_poses(planned, self.layout, self.options, picture)
        if len(read.poses) < self.options.min_frames:
            wanted = self.options.min_frames
            raise TooShortError(f"{planned.poses.path}: {len(read.poses)} frames, {wanted} wanted")
        chosen = select_bodies(read.poses, rule=self.options.bodies, source=planned.poses.path)
        columns = read.columns | {"n_bodies": chosen.n_bodies}
        return _Read(chosen.sequence, [*read.notes, *chosen.notes], columns)


@dataclass(frozen=True)
class _Read:
    """Poses, what is worth telling about their file, and what its manifest row gets."""

    poses: SkeletonSequence
    notes: list[str]
    columns: dict[str, Any] = field(default_factory=dict)


def _open_matcher(options: BuildOptions) -> "VideoMatcher":
    # Skeletons alone need no video library.
    from toolkit.build.video_match import VideoMatcher

    return VideoMatcher(options)


def _refuse_changed(planned: PlannedSample) -> None:
    if change := planned.find_change():
        before, now = change
        raise InputChangedError(
            f"{before.path}: changed since it was planned with {before.n_bytes} bytes, now"
            f" {now.n_bytes}: run the same command again to plan it anew"
        )


def _read_poses(
    planned: PlannedSample,
    layout: SkeletonLayout,
    options: BuildOptions,
    picture: tuple[int, int] | None,
) -> _Read:
    path = Path(planned.poses.path)
    if options.source == "ntu":
        return _Read(read_ntu_skeleton(path), [])
    if path.is_dir():
        folder = read_openpose_folder(
            path, scale=options.pose_scale, picture=picture, fps=options.pose_fps
        )
        return _Read(folder.sequence, _gap_note(folder.n_gaps), {"pose_scale": folder.scale})
    poses = read_kinetics_json(path, layout=layout, fps=options.pose_fps)
    notes = _gap_note(poses.n_gaps) + _label_note(poses.label, planned)
    return _Read(poses.sequence, notes)


def _gap_note(n_gaps: int) -> list[str]:
    return [f"{n_gaps} frame numbers are not listed and hold no body"] if n_gaps else []


def _label_note(label: str, planned: PlannedSample) -> list[str]:
    if not label or label == planned.label_name:
        return []
    return [f"the pose file says label {label!r}"]


def _check_alignment(
    planned: PlannedSample, poses: SkeletonSequence, matched: "Matched", options: BuildOptions
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
    left_s = matched.end_s - float(poses.times[-1])
    # A clip cut otherwise than the poses' one drifts nowhere: only the lengths tell.
    return [f"the video goes on {left_s:.1f} s after the last pose"] if left_s > _LONGER_S else []


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


def _without_video(planned: PlannedSample, read: _Read) -> Extracted:
    n_frames = len(read.poses)
    video_index, drift_s = np.full(n_frames, -1, np.int32), np.zeros(n_frames, np.float32)
    sample = AlignedSample(planned.sample_id, planned.label, read.poses, video_index, drift_s)
    return Extracted(sample, read.columns, read.notes)
