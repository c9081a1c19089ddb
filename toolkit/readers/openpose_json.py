"""Raw OpenPose output: a folder with one JSON a frame, COCO-18 or BODY_25, in any scale."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.bounded import MAX_JSON_VALUES
from toolkit.errors import SkeletonFileError
from toolkit.readers.people import (
    FrameNumbers,
    People,
    check_clock,
    get_member,
    number_frames,
    read_json,
    show,
)
from toolkit.skeleton import OPENPOSE18, SkeletonSequence

SCALES = ("auto", "pixels", "0..1", "-1..1")
# BODY_25 has the mid hip at 8 and the feet from 19 on (docs/formats.md).
BODY25_TO_COCO18 = (*range(8), *range(9, 19))

_SUFFIX = "_keypoints.json"
_POSE = "pose_keypoints_2d"
_FRAME_NAME = re.compile(r"(?:(.*)_)?([0-9]{12})_keypoints\.json", re.DOTALL)
# No one is two pixels tall, and no one is two pictures out of the picture.
_LEAST_PIXELS = 2.0
# Fractions may fall a little below 0 at the picture's edge.
_EDGE = 0.05


@dataclass(frozen=True)
class OpenPosePoses:
    """The poses of a folder in the layout ``OPENPOSE18``.

    ``n_gaps`` counts the rows that no file stands for; ``source_joints`` is 18 or 25, None where
    no file lists anyone; ``scale`` is the one that was used.
    """

    sequence: SkeletonSequence
    n_gaps: int
    source_joints: int | None
    scale: str


def read_openpose_folder(
    folder: Path,
    *,
    scale: str = "auto",
    picture: tuple[int, int] | None = None,
    fps: float = 30.0,
) -> OpenPosePoses:
    """Read the frames ``<prefix>_<12 digits>_keypoints.json`` of one folder by their numbers.

    ``scale`` is what the coordinates are: ``"pixels"`` of a ``picture`` (width, height),
    ``"0..1"``, ``"-1..1"``, or ``"auto"`` to tell it from all frames together: pixels if any lies
    beyond 2, else -1..1 if any lies below -0.05 (people who never leave the lower right quarter
    are taken for 0..1: then say so).  A missing joint is (0, 0, 0) in every scale.  Row 0 is
    number 0 if there is one, else 1.  Other files in the folder are passed over.
    Raises ``SkeletonFileError`` for damage, two prefixes, no frames, mixed joint counts, pixels
    of an unknown picture; ``ValueError`` for an unknown scale.
    """
    check_clock(fps, OPENPOSE18)
    _check_scale(scale, picture)
    paths = _list_frames(folder)
    numbers = number_frames(folder, paths)
    return _read_frames(folder, paths, numbers, (scale, picture), fps)


def read_openpose_file(
    path: Path, *, scale: str = "auto", picture: tuple[int, int] | None = None
) -> OpenPosePoses:
    """Read the frame of a single picture, whatever the file's name; as above otherwise."""
    _check_scale(scale, picture)
    return _read_frames(path, {0: path}, FrameNumbers(0, 1, 0), (scale, picture), 30.0)


def _check_scale(scale: str, picture: tuple[int, int] | None) -> None:
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")
    if picture is not None and min(picture) <= 0:
        raise ValueError(f"picture must be a positive width and height, got {picture}")
    if scale == "pixels" and picture is None:
        raise ValueError("scale 'pixels' needs the picture's width and height")


def _list_frames(folder: Path) -> dict[int, Path]:
    """Return the frame files by number, in the order of the numbers."""
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(_SUFFIX))
    except OSError as error:
        found = error.strerror or str(error)
        raise SkeletonFileError(
            folder, "opening", expected="a folder of OpenPose frames", found=found
        ) from error
    paths: dict[int, Path] = {}
    prefixes: dict[str | None, str] = {}
    for name in names:
        match = _FRAME_NAME.fullmatch(name)
        if match is None:
            expected = "names <prefix>_<12 digits>_keypoints.json"
            raise SkeletonFileError(folder, "names", expected=expected, found=repr(name))
        prefixes[match[1]] = name
        paths[int(match[2])] = folder / name
    if len(prefixes) > 1:
        found = " and ".join(map(repr, list(prefixes.values())[:2]))
        raise SkeletonFileError(folder, "names", expected="one prefix for all", found=found)
    if not paths:
        expected = "files <prefix>_<12 digits>_keypoints.json"
        raise SkeletonFileError(folder, "names", expected=expected, found="none")
    return dict(sorted(paths.items()))


def _read_frames(
    source: Path,
    paths: Mapping[int, Path],
    numbers: FrameNumbers,
    unit: tuple[str, tuple[int, int] | None],
    fps: float,
) -> OpenPosePoses:
    people = People()
    n_numbers = 0
    for number, path in paths.items():
        listed = get_member(path, "top level", read_json(path), "people", list)
        kept = [_keep_pose(path, position, person) for position, person in enumerate(listed)]
        n_numbers += sum(len(person[_POSE]) for person in kept)
        if n_numbers > MAX_JSON_VALUES:
            expected = f"at most {MAX_JSON_VALUES} numbers in all frames so far"
            raise SkeletonFileError(path, "people", expected=expected, found=str(n_numbers))
        people.add_frame(number - numbers.first, kept, (path, ""))
    poses = people.lists(_POSE)
    n_joints = _count_joints(people, poses)
    V = n_joints or OPENPOSE18.n_joints
    joints = people.stack_numbers(poses, 3 * V).reshape(-1, V, 3)
    scale = _detect_scale(joints) if unit[0] == "auto" else unit[0]
    if scale == "pixels" and unit[1] is None:
        raise SkeletonFileError(
            source,
            "coordinates",
            expected="fractions, or the picture's width and height beside them",
            found=f"pixels up to {joints[..., :2].max():g}",
        )
    fractions = _to_fractions(joints, scale, unit[1])
    if n_joints == 25:
        fractions = fractions[:, BODY25_TO_COCO18]
    sequence = people.lay_out(OPENPOSE18, fractions, numbers.n_frames, fps)
    return OpenPosePoses(sequence, numbers.n_gaps, n_joints, scale)


def _keep_pose(path: Path, position: int, person: Any) -> dict[str, list[Any]]:
    """Return a person without hands and face, so that a folder takes no more than its poses do."""
    place = f"person {position}"
    pose = get_member(path, place, person, _POSE, list)
    if not set(map(type, pose)) <= {int, float}:
        odd, value = next((i, v) for i, v in enumerate(pose) if type(v) not in (int, float))
        where = f"{place}, number {odd}"
        raise SkeletonFileError(path, where, expected="a number", found=show(value))
    return {_POSE: pose}


def _count_joints(people: People, poses: list[list[Any]]) -> int | None:
    for person, pose in enumerate(poses):
        if len(pose) in (54, 75) and len(pose) == len(poses[0]):
            continue
        path, place = people.place(person)
        expected = (
            "54 numbers (COCO-18) or 75 (BODY_25)"
            if len(pose) not in (54, 75)
            else f"{len(poses[0])} numbers as in {people.place(0)[0].name}"
        )
        raise SkeletonFileError(path, place, expected=expected, found=str(len(pose)))
    return len(poses[0]) // 3 if poses else None


def _detect_scale(joints: NDArray[np.float64]) -> str:
    seen = joints[joints.any(axis=2)][:, :2]
    if seen.size and np.abs(seen).max() > _LEAST_PIXELS:
        return "pixels"
    return "-1..1" if seen.size and seen.min() < -_EDGE else "0..1"


def _to_fractions(
    joints: NDArray[np.float64], scale: str, picture: tuple[int, int] | None
) -> NDArray[np.float64]:
    fractions = joints.copy()
    if scale == "pixels" and picture is not None:
        fractions[..., :2] /= picture
    elif scale == "-1..1":
        fractions[..., :2] = (fractions[..., :2] + 1) / 2
    fractions[~joints.any(axis=2)] = 0
    return fractions
