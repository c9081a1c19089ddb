"""Kinetics-skeleton JSON as the ST-GCN release has it: one file a clip, people per frame."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import SkeletonFileError
from toolkit.readers.people import (
    People,
    check_clock,
    get_member,
    number_frames,
    read_json,
    show,
)
from toolkit.skeleton import OPENPOSE18, SkeletonLayout, SkeletonSequence


@dataclass(frozen=True)
class LabelledPoses:
    """The poses of a clip and what its file says of them.

    ``first_index`` is the frame_index of row 0, ``n_gaps`` the number of rows that no frame_index
    stands for.  ``label`` is empty where the file has none; ``label_index`` is as in the file:
    from 0 in the release, from 1 in some others.
    """

    sequence: SkeletonSequence
    label: str
    label_index: int | None
    first_index: int
    n_gaps: int


def read_kinetics_json(
    path: Path, *, layout: SkeletonLayout = OPENPOSE18, fps: float = 30.0
) -> LabelledPoses:
    """Read one clip; rows follow frame_index, whatever the order in the file.

    ``joints`` are x, y, score as in the file, M the largest number of people in a frame, slots
    their positions there.  Someone whose every coordinate is 0 is absent; score 0 alone says
    nothing, since some files have no other.  Row 0 is frame_index 0 if that is listed, else 1.
    Raises ``SkeletonFileError`` for damage, another layout's number of joints, a frame_index
    listed twice, coordinates beyond -10..10 or scores beyond 0..10.
    """
    check_clock(fps, layout)
    document = read_json(path)
    frames = _list_frames(path, get_member(path, "top level", document, "data", list))
    numbers = number_frames(path, frames)
    people = People()
    for frame_index, skeletons in frames.items():
        source = path, f"frame_index {frame_index}, "
        people.add_frame(frame_index - numbers.first, skeletons, source)
    V = layout.n_joints
    xy = people.stack_numbers(people.lists("pose"), 2 * V).reshape(-1, V, 2)
    score = people.stack_numbers(people.lists("score"), V).reshape(-1, V, 1)
    return LabelledPoses(
        sequence=people.lay_out(layout, np.concatenate((xy, score), axis=2), numbers.n_frames, fps),
        label=get_member(path, "top level", document, "label", str) if "label" in document else "",
        label_index=_label_index(path, document),
        first_index=numbers.first,
        n_gaps=numbers.n_gaps,
    )


def _list_frames(path: Path, data: list[Any]) -> dict[int, list[Any]]:
    frames: dict[int, list[Any]] = {}
    for position, entry in enumerate(data):
        place = f"data[{position}]"
        frame_index = get_member(path, place, entry, "frame_index", int)
        if frame_index < 0 or frame_index in frames:
            expected = "a frame_index of 0 or more, each once"
            raise SkeletonFileError(path, place, expected=expected, found=str(frame_index))
        frames[frame_index] = get_member(path, place, entry, "skeleton", list)
    return frames


def _label_index(path: Path, document: dict[str, Any]) -> int | None:
    value = document.get("label_index")
    if value is None or type(value) is int:
        return value
    expected = "a whole number for 'label_index'"
    raise SkeletonFileError(path, "top level", expected=expected, found=show(value))
