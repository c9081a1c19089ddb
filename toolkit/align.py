"""Which video frame belongs to which pose frame: one nearest-neighbour rule on one time axis.

NTU counts frames, so a video frame stands at ``index / fps``; Kinetics and OpenPose go by the
clock, so it stands at its presentation time.  The rule itself is the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

# Distances that differ by less are equal: 0.1 s lies halfway from 0.08 s to 0.12 s, but for binary.
_TIE_S = 1e-6


@dataclass(frozen=True)
class Match(Generic[T]):
    """One pose frame's partner: ``drift_s`` is the frame's time minus the pose's, in seconds."""

    frame: T
    drift_s: float


def match_nearest(
    pose_times: Sequence[float], frames: Iterable[tuple[float, T]]
) -> Iterator[Match[T]]:
    """Yield for every pose time, in order, the frame nearest to it; a tie goes to the earlier.

    Both time axes must rise.  ``frames`` holds (time in seconds, frame) and is read once, in order
    and to its end, with never more than two frames alive, so that a decoder can feed it::

        poses    0    1    2    3    4         frames at half the rate serve two poses each;
        frames   0         1         2         poses past the last frame keep it, drift growing

    Yields nothing when there is no frame at all.
    """
    row, n_rows = 0, len(pose_times)
    previous: tuple[float, T] | None = None
    for current in frames:
        while previous and row < n_rows and _is_nearer(previous[0], current[0], pose_times[row]):
            yield Match(previous[1], previous[0] - pose_times[row])
            row += 1
        previous = current
    while previous and row < n_rows:
        yield Match(previous[1], previous[0] - pose_times[row])
        row += 1


def _is_nearer(earlier: float, later: float, time: float) -> bool:
    return time - earlier <= later - time + _TIE_S
