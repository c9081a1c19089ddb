"""NTU RGB+D ``.skeleton`` text: a walk over the lines, then one bulk parse of all joint rows.

The grammar is that of docs/formats.md; every line is held to it.
"""

import re
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import SkeletonFileError
from toolkit.readers.decimals import parse_decimals
from toolkit.readers.pose_bytes import check_cells, read_pose_bytes
from toolkit.skeleton import NTU25, SkeletonSequence

FPS = 30.0
COLOUR_WIDTH, COLOUR_HEIGHT = 1920, 1080
# A Kinect sees 8 m far; what lies beyond these is a damaged number, not a pose.
MAX_METRES, MAX_PIXELS = 1e3, 1e6
# Lines of 64 MiB of joints would be 600,000; shorter ones cost more memory than they have bytes.
MAX_LINES = 2_000_000

_V = NTU25.n_joints
_N_FIELDS = 12
_KEPT = (0, 1, 2, 5, 6, 11)  # x y z, colorX colorY, tracking state
# One way only to read each text, or a long row of digits would be tried at every place.
_NUMBER = re.compile(rb"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
_BODY = re.compile(rb"\s*(\d{1,19})(?:\s+%b){8}\s+[012]\s*" % _NUMBER.pattern)


@dataclass
class _Text:
    path: Path
    lines: list[bytes]

    def refuse(self, at: int, expected: str, found: str | None = None) -> NoReturn:
        """Raise an error that names line ``at`` (0-based) and shows its beginning."""
        if found is None:
            found = self._show(at)
        raise SkeletonFileError(self.path, f"line {at + 1}", expected=expected, found=found)

    def _show(self, at: int) -> str:
        if at >= len(self.lines):
            return "the end of the file"
        line = self.lines[at].strip().decode("ascii")
        return repr(line if len(line) <= 60 else line[:60] + "...") if line else "a blank line"


@dataclass
class _Bodies:
    """Every body of every frame in file order: its frame, its id, the line of its first joint."""

    frame: list[int] = field(default_factory=list)
    body_id: list[int] = field(default_factory=list)
    first_joint: list[int] = field(default_factory=list)

    def add(self, frame: int, body_id: int, first_joint: int) -> None:
        self.frame.append(frame)
        self.body_id.append(body_id)
        self.first_joint.append(first_joint)


def read_ntu_skeleton(path: Path) -> SkeletonSequence:
    """Read one recording in the layout ``NTU25``, every frame of the file kept.

    Bodies stand in the order in which their ids first appear (M may be 0) and are absent where
    their id is not listed.  ``joints`` are metres in camera space, ``pixels`` fractions of the
    1920x1080 colour picture, ``times`` i / 30 s.  Raises ``SkeletonFileError`` naming the line of
    whatever breaks the grammar, an id listed twice in a frame, a number beyond 1 km or a million
    pixels; also for a file of more than 64 MiB.
    """
    text = _read_lines(path)
    bodies = _Bodies()
    try:
        n_frames = _walk(text, bodies)
    except SkeletonFileError:
        # A joint line lost or doubled shifts all that follows: name it, not where it came to light.
        _parse_joints(text, bodies)
        raise
    return _lay_out(path, n_frames, bodies, _parse_joints(text, bodies))


def _read_lines(path: Path) -> _Text:
    data = read_pose_bytes(path).rstrip()
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
    n_lines = data.count(b"\n") + 1
    if n_lines > MAX_LINES:
        expected = f"at most {MAX_LINES} lines"
        raise SkeletonFileError(path, "whole file", expected=expected, found=str(n_lines))
    text = _Text(path, data.split(b"\n"))
    if not data.isascii():
        at = next(i for i, line in enumerate(text.lines) if not line.isascii())
        byte = next(code for code in text.lines[at] if code > 127)
        text.refuse(at, "ASCII text", f"the byte 0x{byte:02x}")
    return text


def _walk(text: _Text, bodies: _Bodies) -> int:
    """Fill ``bodies`` and return the number of frames; joint lines are counted, not looked into."""
    n_frames = _read_count(text, 0, "frame")
    at = 1
    for frame in range(n_frames):
        n_bodies = _read_count(text, at, "body")
        at += 1
        seen: set[int] = set()
        for _ in range(n_bodies):
            body_id = _read_body_id(text, at)
            if body_id in seen:
                text.refuse(at, f"each body id once in frame {frame}", f"{body_id} again")
            seen.add(body_id)
            if at + 1 >= len(text.lines) or text.lines[at + 1].strip() != b"25":
                text.refuse(at + 1, f"the joint count {_V}")
            first_joint = at + 2
            at = first_joint + _V
            if at > len(text.lines):
                text.refuse(len(text.lines), f"{at - len(text.lines)} more joint lines")
            bodies.add(frame, body_id, first_joint)
    if at < len(text.lines):
        text.refuse(at, f"the end of the file after {n_frames} frames")
    return n_frames


def _read_count(text: _Text, at: int, what: str) -> int:
    line = text.lines[at].strip() if at < len(text.lines) else b""
    # isdigit first: int() takes signs and underscores too.
    if not line.isdigit() or len(line) > 18:
        text.refuse(at, f"a {what} count")
    count, n_left = int(line), len(text.lines) - at - 1
    if count > n_left:
        text.refuse(at, f"a {what} count no higher than the number of lines left, {n_left}")
    return count


def _read_body_id(text: _Text, at: int) -> int:
    match = _BODY.fullmatch(text.lines[at]) if at < len(text.lines) else None
    # The ids lie above 2**53, so they never pass through a float.
    if match is None or (body_id := int(match[1])) >= 2**63:
        text.refuse(at, "a body line (id, 8 numbers, tracking state of 0, 1 or 2)")
    return body_id


def _parse_joints(text: _Text, bodies: _Bodies) -> NDArray[np.float64]:
    """Return x y z, colorX colorY, tracking state of all joints, (bodies of all frames, 25, 6)."""
    lines = text.lines
    rows = list(chain.from_iterable(lines[at : at + _V] for at in bodies.first_joint))
    values, vouched = parse_decimals(rows, _N_FIELDS, _KEPT)
    for row in np.flatnonzero(~vouched):
        fields = _parse_joint(text, bodies.first_joint[row // _V] + int(row) % _V)
        values[row] = [fields[column] for column in _KEPT]
    _check_ranges(text, bodies, values)
    return values.reshape(-1, _V, len(_KEPT))


def _parse_joint(text: _Text, at: int) -> list[float]:
    """Return the 12 numbers of a line that the bulk parser leaves open (exponents, tabs)."""
    words = text.lines[at].split()
    if len(words) != _N_FIELDS:
        text.refuse(at, f"{_N_FIELDS} numbers of a joint", f"{len(words)} fields")
    for position, word in enumerate(words, 1):
        if not _NUMBER.fullmatch(word) or not np.isfinite(float(word)):
            text.refuse(at, f"a number in field {position}", repr(word.decode("ascii")[:40]))
    return [float(word) for word in words]


def _check_ranges(text: _Text, bodies: _Bodies, values: NDArray[np.float64]) -> None:
    limits = np.array([MAX_METRES] * 3 + [MAX_PIXELS] * 2 + [2])
    wrong = np.abs(values) > limits
    wrong[:, -1] = ~np.isin(values[:, -1], (0, 1, 2))
    if not wrong.any():
        return
    row, column = (int(i) for i in np.argwhere(wrong)[0])
    unit = "metres" if column < 3 else "pixels"
    expected = (
        f"at most {limits[column]:.0f} {unit}" if column < 5 else "a tracking state 0, 1 or 2"
    )
    at = bodies.first_joint[row // _V] + row % _V
    text.refuse(at, f"{expected} in field {_KEPT[column] + 1}", f"{values[row, column]:g}")


def _lay_out(
    path: Path, n_frames: int, bodies: _Bodies, values: NDArray[np.float64]
) -> SkeletonSequence:
    slots: dict[int, int] = {}
    slot = [slots.setdefault(body_id, len(slots)) for body_id in bodies.body_id]
    T, M = n_frames, len(slots)
    check_cells(path, T, M)
    joints = np.zeros((T, M, _V, 3), np.float32)
    pixels = np.zeros((T, M, _V, 2), np.float32)
    tracking = np.zeros((T, M, _V), np.uint8)
    present = np.zeros((T, M), np.bool_)
    cell = np.array(bodies.frame, np.intp), np.array(slot, np.intp)
    joints[cell] = values[..., :3]
    pixels[cell] = values[..., 3:5] / (COLOUR_WIDTH, COLOUR_HEIGHT)
    tracking[cell] = values[..., 5]
    present[cell] = True
    return SkeletonSequence(
        layout=NTU25,
        joints=joints,
        present=present,
        times=np.arange(T) / FPS,
        pixels=pixels,
        body_ids=np.array(list(slots), np.int64),
        tracking=tracking,
    )
