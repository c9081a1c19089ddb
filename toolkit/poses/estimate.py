"""A video to a folder of OpenPose-style files, one for each tick of a steady clock."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toolkit.align import match_nearest
from toolkit.errors import CtxtoolError
from toolkit.poses.coco import coco17_to_openpose18
from toolkit.readers.picture import PictureEncoder
from toolkit.readers.video import DecodedFrame, VideoReader
from toolkit.shards.codec import Picture, decode_picture
from toolkit.shards.files import read_json, sha256_of, write_json

VERSION = 1.3
# Beside the frames: which video, model and options they come from.
MADE_WITH = "made_with.json"


class PoseEstimator(Protocol):
    """Anything that finds people in a picture."""

    def estimate(self, picture: Picture) -> NDArray[np.float32]:
        """Return the people in an RGB picture (H, W, 3): (P, 17, 3) of x, y in pixels, score."""
        ...


@dataclass(frozen=True)
class EstimateOptions:
    """``fps`` poses a second; joints below ``min_score`` (0 to 1) count as not seen.

    ``model`` says which estimator it is, in words that another one would not have.
    """

    fps: float = 30.0
    min_score: float = 0.1
    model: str = ""


def estimate_video(
    video: Path, out: Path, estimator: PoseEstimator, options: EstimateOptions = EstimateOptions()
) -> Path:
    """Estimate poses and return the folder ``out / <name of the video>``, which appears whole.

    Files are numbered from 0 and hold the frame nearest to number / fps seconds, so that they fit
    ``--pose-fps`` whatever the video's own rate.  Coordinates are fractions of the picture.  A
    folder of the same video, model and options is left as it is.  Raises ``VideoFileError``, and
    ``CtxtoolError`` where the folder is another's.
    """
    folder = out / video.stem
    made_with = {"video": sha256_of(video), **asdict(options)}
    if folder.is_dir():
        _check_same(folder, made_with)
        return folder
    aside = out / f".{video.stem}.writing"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        for tick, people in enumerate(_iterate_people(video, estimator, options)):
            path = aside / f"{video.stem}_{tick:012}_keypoints.json"
            path.write_text(format_people(people), encoding="utf-8")
        write_json(aside / MADE_WITH, made_with)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _check_same(folder: Path, wanted: Mapping[str, Any]) -> None:
    cure = "choose another --out, or remove that folder"
    path = folder / MADE_WITH
    if not path.exists():
        raise CtxtoolError(f"{folder} is there and does not say what made it: {cure}")
    found = read_json(path, "what the poses were made with")
    others = [name for name in wanted if found.get(name) != wanted[name]]
    if "video" in others:
        raise CtxtoolError(f"{folder} holds the poses of another video of that name: {cure}")
    if others:
        told = ", ".join(f"{name} {found.get(name)} and not {wanted[name]}" for name in others)
        raise CtxtoolError(f"{folder} holds poses made with {told}: {cure}")


def list_ticks(last_s: float, fps: float) -> list[float]:
    """Return the times of poses in seconds, from 0 to the last frame's time."""
    return (np.arange(int(last_s * fps + 1e-6) + 1) / fps).tolist()


def _iterate_people(
    video: Path, estimator: PoseEstimator, options: EstimateOptions
) -> Iterator[NDArray[np.float32]]:
    """Yield people (P, 18, 3) for each tick; a frame that serves several is looked at once."""
    with VideoReader(video) as reader:
        # How long it is, only decoding tells; beside a network this costs nothing.
        last_s = max(frame.time_s for frame in reader)
    encoder, seen, people = PictureEncoder(short_side=0, quality=95), -1, None
    with VideoReader(video) as reader:
        frames: Iterator[tuple[float, DecodedFrame]] = ((f.time_s, f) for f in reader)
        for match in match_nearest(list_ticks(last_s, options.fps), frames):
            if match.frame.index != seen or people is None:
                # The same way to colours and rotation that stored pictures go.
                picture = decode_picture(encoder.encode(match.frame.picture, reader.rotation))
                people = to_fractions(estimator.estimate(picture), picture, options.min_score)
                seen = match.frame.index
            yield people


def to_fractions(
    people: NDArray[np.float32], picture: Picture, min_score: float
) -> NDArray[np.float32]:
    """Return (P, 17, 3) in pixels as (P, 18, 3) in fractions, joints not seen or outside as 0.

    People come by falling mean score, as the selection of bodies expects the best among the first.
    """
    joints = coco17_to_openpose18(people)
    height, width = picture.shape[:2]
    joints[..., :2] /= (width, height)
    inside = ((joints[..., :2] >= 0) & (joints[..., :2] <= 1)).all(-1)
    joints[~inside | (joints[..., 2] < min_score)] = 0
    joints = joints[joints.any((1, 2))]
    return joints[np.argsort(-joints[..., 2].mean(1), kind="stable")]


def format_people(people: NDArray[np.float32]) -> str:
    """Return one frame as OpenPose writes it with ``--keypoint_scale 3``."""
    listed: list[dict[str, Any]] = [
        {"person_id": [-1], "pose_keypoints_2d": person.astype(float).round(5).ravel().tolist()}
        for person in people
    ]
    return json.dumps({"version": VERSION, "people": listed}, separators=(",", ":"))
