"""What the two JSON pose readers share: checked JSON, frame numbers to rows, people to arrays."""

from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from toolkit.bounded import find_json_excess
from toolkit.errors import SkeletonFileError
from toolkit.readers.pose_bytes import check_cells, read_pose_bytes
from toolkit.skeleton import FRACTIONS, SkeletonLayout, SkeletonSequence

# Real poses leave the picture a little (1.129 seen) and scores pass 1 a little; ten picture
# widths, or a score of ten, is another unit or damage.
MAX_FRACTION, MAX_SCORE = 10.0, 10.0
MAX_FRAMES = 100_000

_KINDS = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}
_Kind = TypeVar("_Kind")


def check_clock(fps: float, layout: SkeletonLayout) -> None:
    """Raise ``ValueError`` unless ``fps`` is positive and the layout holds x, y, score."""
    if not 0 < fps < float("inf"):
        raise ValueError(f"fps must be a positive number, got {fps}")
    if layout.channels != FRACTIONS:
        raise ValueError(f"layout {layout.name} has channels {layout.channels}, not {FRACTIONS}")


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; NaN and Infinity are not JSON and refused."""
    data = read_pose_bytes(path)
    excess = find_json_excess(data)
    if excess:
        expected = "the poses of one recording"
        raise SkeletonFileError(path, "whole file", expected=expected, found=excess)
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise SkeletonFileError(path, place, expected="JSON", found=error.msg) from error


def get_member(path: Path, place: str, item: Any, key: str, kind: type[_Kind]) -> _Kind:
    """Return ``item[key]`` of exactly this kind, so that a bool is no whole number."""
    if type(item) is not dict:
        raise SkeletonFileError(path, place, expected="an object", found=show(item))
    if key not in item:
        found = f"only {[name[:40] for name in sorted(item)[:8]]}"
        raise SkeletonFileError(path, place, expected=f"the key {key!r}", found=found)
    value = item[key]
    if type(value) is not kind:
        expected = f"{_KINDS[kind]} for {key!r}"
        raise SkeletonFileError(path, place, expected=expected, found=show(value))
    return value


def show(value: Any) -> str:
    """Return a short text for a JSON value; what is inside a list may be too deep to print."""
    if isinstance(value, (list, dict)):
        return _KINDS[type(value)]
    text = orjson.dumps(value).decode()
    return text if len(text) <= 40 else f"{text[:40]}..."


@dataclass(frozen=True)
class FrameNumbers:
    """How the numbers of the listed frames become rows: row = number - ``first``."""

    first: int
    n_frames: int
    n_gaps: int


def number_frames(path: Path, numbers: Collection[int]) -> FrameNumbers:
    """Count frames from 0 if the smallest number is 0, else from 1 as the Kinetics release does.

    A number that is not listed is a gap: a row without people, also before the first listed one.
    Refuses spans over 100,000 frames, or over 100 x the listed frames + 1000.
    """
    first = 0 if 0 in numbers else 1
    n_frames = max(numbers, default=first - 1) - first + 1
    limit = min(MAX_FRAMES, 100 * len(numbers) + 1000)
    if n_frames > limit:
        found = f"frame number {max(numbers)}"
        expected = f"at most {limit} frames for the {len(numbers)} listed"
        raise SkeletonFileError(path, "frame numbers", expected=expected, found=found)
    return FrameNumbers(first, n_frames, n_frames - len(numbers))


@dataclass
class People:
    """Everyone in a recording, one after the other: JSON item, row, position in the frame, source.

    ``source`` is the file and the beginning of the place in it, for the sentences of errors.
    """

    items: list[Any] = field(default_factory=list)
    row: list[int] = field(default_factory=list)
    slot: list[int] = field(default_factory=list)
    source: list[tuple[Path, str]] = field(default_factory=list)

    def add_frame(self, row: int, items: Sequence[Any], source: tuple[Path, str]) -> None:
        """Append the people listed in one frame."""
        self.items.extend(items)
        self.row.extend([row] * len(items))
        self.slot.extend(range(len(items)))
        self.source.extend([source] * len(items))

    def place(self, person: int) -> tuple[Path, str]:
        """Return the file of a person and where it stands there."""
        path, beginning = self.source[person]
        return path, f"{beginning}person {self.slot[person]}"

    def lists(self, key: str) -> list[list[Any]]:
        """Return everyone's list of that name."""
        lists: list[Any] = [item.get(key) if type(item) is dict else 0 for item in self.items]
        if set(map(type, lists)) <= {list}:
            return lists
        return [get_member(*self.place(i), item, key, list) for i, item in enumerate(self.items)]

    def stack_numbers(self, lists: Sequence[list[Any]], width: int) -> NDArray[np.float64]:
        """Return each person's list of ``width`` numbers as a row (P, width); refuse all else."""
        flat = list(chain.from_iterable(lists))
        try:
            numbers = np.frombuffer(array("d", flat))  # takes no text and no null, but bools
        except TypeError:
            numbers = np.empty(0)
        suspects = np.flatnonzero((numbers == 0) | (numbers == 1)).tolist()
        if (
            len(numbers) != len(lists) * width
            or set(map(len, lists)) - {width}
            or set(map(type, map(flat.__getitem__, suspects))) - {int, float}
        ):
            self._refuse_odd_one(lists, width)
        return numbers.reshape(len(lists), width)

    def _refuse_odd_one(self, lists: Sequence[list[Any]], width: int) -> None:
        for person, numbers in enumerate(lists):
            path, place = self.place(person)
            if len(numbers) != width:
                expected, found = f"{width} numbers", str(len(numbers))
                raise SkeletonFileError(path, place, expected=expected, found=found)
            for position, value in enumerate(numbers):
                if type(value) not in (int, float):
                    where = f"{place}, number {position}"
                    raise SkeletonFileError(path, where, expected="a number", found=show(value))

    def check_ranges(self, joints: NDArray[np.float64]) -> None:
        """Refuse fractions beyond -10..10 and scores beyond 0..10 in (P, V, 3)."""
        wrong = np.abs(joints) > (MAX_FRACTION, MAX_FRACTION, MAX_SCORE)
        wrong[..., 2] |= joints[..., 2] < 0
        if not wrong.any():
            return
        person, joint, channel = (int(i) for i in np.argwhere(wrong)[0])
        path, place = self.place(person)
        expected = (
            f"x and y within -{MAX_FRACTION:g}..{MAX_FRACTION:g} pictures"
            if channel < 2
            else f"a score within 0..{MAX_SCORE:g}"
        )
        found = f"{joints[person, joint, channel]:g}"
        raise SkeletonFileError(path, f"{place}, joint {joint}", expected=expected, found=found)

    def lay_out(
        self, layout: SkeletonLayout, joints: NDArray[np.float64], n_frames: int, fps: float
    ) -> SkeletonSequence:
        """Return a sequence with each person's joints (P, V, 3) at its row and position."""
        self.check_ranges(joints)
        T, M, V = n_frames, max(self.slot, default=-1) + 1, layout.n_joints
        if self.source:
            check_cells(self.source[0][0], T, M, V)
        dense = np.zeros((T, M, V, 3), np.float32)
        present = np.zeros((T, M), np.bool_)
        cell = np.array(self.row, np.intp), np.array(self.slot, np.intp)
        dense[cell] = joints
        present[cell] = joints[..., :2].any(axis=(1, 2))
        return SkeletonSequence(
            layout=layout,
            joints=dense,
            present=present,
            times=np.arange(T) / fps,
            pixels=dense[..., :2].copy(),
            body_ids=np.full(M, -1, np.int64),
        )
