"""One recording outside of any data set, made into a data set of its own by the very build."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.build.options import BuildOptions
from toolkit.build.run import BuildSettings, plan_build, run_build
from toolkit.datasets.ntu import NtuName, parse_ntu_name
from toolkit.errors import CtxtoolError
from toolkit.readers.openpose_json import SCALES
from toolkit.samples import DataSet, Sample
from toolkit.shards.dataset import DatasetReader
from toolkit.shards.manifest import OK, read_manifest
from toolkit.skeleton import METRES, NTU25, OPENPOSE18, SkeletonLayout

SPLIT = "new"
# Options of a build that decide what a network is shown; the rest follows from the file's kind.
_TAKEN_OVER = (
    "bodies", "tolerance_ms", "min_frames", "frame_size", "codec", "quality", "crf",
    "pose_fps", "pose_scale",
)  # fmt: skip
POSE_SCALES = SCALES
_FRAMES = "*_keypoints.json"


@dataclass(frozen=True)
class Recording:
    """Poses of one recording, and its video if it has one.

    ``poses`` is a ``.skeleton`` file of NTU RGB+D, a folder of OpenPose files, or one
    Kinetics-style JSON file.  ``pose_fps`` is their rate, but for NTU, which has its own, and
    ``pose_scale`` what the coordinates of a folder mean: None is as the data set has them.
    """

    poses: Path
    video: Path | None = None
    pose_fps: float | None = None
    pose_scale: str | None = None

    @property
    def is_ntu(self) -> bool:
        """Whether the poses are of NTU RGB+D."""
        return self.poses.suffix == ".skeleton"

    def layout(self, wanted: SkeletonLayout) -> SkeletonLayout:
        """Return the joints of the poses; a JSON file may hold any in the picture's plane.

        Raises ``CtxtoolError`` for a folder without OpenPose files, and for a JSON file where
        joints in metres are ``wanted``.
        """
        if self.is_ntu:
            return NTU25
        if self.poses.is_dir():
            if next(self.poses.glob(_FRAMES), None) is None:
                raise CtxtoolError(
                    f"{self.poses}: expected a folder of OpenPose files ({_FRAMES}), found none"
                )
            return OPENPOSE18
        if wanted.channels == METRES:
            raise CtxtoolError(
                f"{self.poses}: expected a .skeleton file, whose joints are in metres"
                f" ({wanted.name}), found another file"
            )
        return wanted


def choose_options(recording: Recording, made_with: Mapping[str, Any]) -> BuildOptions:
    """Return how to extract a recording as a data set was: by its ``parameters``, if of its kind.

    Without any they are the defaults of the extracting commands; what the recording says of itself
    comes first.  Raises ``CtxtoolError`` for pixels of an unknown picture.
    """
    alike = (made_with.get("source") == "ntu") == recording.is_ntu
    taken = {name: made_with[name] for name in _TAKEN_OVER if alike and name in made_with}
    taken |= {"skeleton_only": recording.video is None}
    if recording.is_ntu:
        return BuildOptions(source="ntu", align="frame", **{"bodies": "denoise"} | taken)
    told = {"pose_fps": recording.pose_fps, "pose_scale": recording.pose_scale}
    taken |= {name: value for name, value in told.items() if value is not None}
    options = BuildOptions(source="openpose", align="time", **{"bodies": "frame"} | taken)
    if options.pose_scale == "pixels" and recording.video is None and recording.poses.is_dir():
        raise CtxtoolError(
            f"{recording.poses}: coordinates in pixels need the video, which tells how many there"
            " are"
        )
    return options


def extract_recording(
    recording: Recording,
    options: BuildOptions,
    kind: tuple[SkeletonLayout, tuple[str, ...]],
    out: Path,
) -> DatasetReader:
    """Build a data set folder ``out`` whose one sample is the recording; return its reader.

    ``kind`` are the layout and the classes of the data set that it is to be like; its own class is
    not known and stands as the first.  Raises ``CtxtoolError`` with the reason why it cannot be
    used.
    """
    _check_names(recording)
    layout, class_names = kind
    sample = Sample(
        sample_id=recording.poses.stem,
        label=0,
        label_name=class_names[0],
        subsets={SPLIT: "test"},
        poses=recording.poses,
        video=recording.video,
    )
    data = DataSet(recording.poses.stem, layout, class_names, (SPLIT,), SPLIT, (sample,))
    settings = BuildSettings(out)
    run_build(plan_build(data, options, settings), settings, lambda rows: None)
    row = read_manifest(out).iloc[0]
    if row["status"] != OK:
        raise CtxtoolError(f"{recording.poses} cannot be used ({row['status']}): {row['detail']}")
    return DatasetReader(out)


def _check_names(recording: Recording) -> None:
    """Refuse poses and a video that bear the names of two recordings of NTU RGB+D.

    Two recordings of about the same length cannot be told apart by their frames.
    """
    if recording.video is None:
        return
    named = [_find_ntu_name(path) for path in (recording.poses, recording.video)]
    if None not in named and named[0] != named[1]:
        raise CtxtoolError(
            f"{recording.poses} is of recording {named[0]} and {recording.video} of {named[1]}:"
            " give the video of these poses (or rename one that is)"
        )


def _find_ntu_name(path: Path) -> NtuName | None:
    try:
        return parse_ntu_name(path.stem.removesuffix("_rgb"))
    except ValueError:
        return None
