"""Following people from frame to frame where the source gives them no ids; pure functions."""

import numpy as np
from numpy.typing import NDArray

# People further apart than this (fractions of the picture) are not the same person ...
MAX_LINK_DISTANCE = 0.2
# ... and someone unseen for a second at 30 fps comes back as someone else.
MAX_LINK_GAP = 30


def link_people(joints: NDArray[np.float32], present: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Number the people of a recording from 0: track numbers (T, M), -1 for nobody.

    ``joints`` is (T, M, V, C), ``present`` (T, M).  Frame after frame, the people present are
    matched to the last poses of the tracks seen within the past 30 frames so that the sum of
    distances is least; who fits none begins a new track.
    """
    tracks = np.full(present.shape, -1)
    last: list[tuple[int, int]] = []
    for frame, row in enumerate(present):
        here = np.flatnonzero(row)
        known = [track for track, (seen, _) in enumerate(last) if frame - seen <= MAX_LINK_GAP]
        cost = pose_distances(joints[frame, here], [joints[last[track]] for track in known])
        for person, match in zip(here.tolist(), match_people(cost, MAX_LINK_DISTANCE), strict=True):
            if match >= 0:
                track = known[match]
                last[track] = frame, person
            else:
                track = len(last)
                last.append((frame, person))
            tracks[frame, person] = track
    return tracks


def pose_distances(
    people: NDArray[np.float32], poses: list[NDArray[np.float32]]
) -> NDArray[np.float64]:
    """Return the mean distance of x, y over the joints that both poses show, (people, poses).

    ``people`` is (P, V, C), each pose (V, C).  A joint at 0, 0 was not seen; poses that share no
    joint are infinitely far apart.
    """
    cost = np.full((len(people), len(poses)), np.inf)
    for i, person in enumerate(people[..., :2]):
        for j, pose in enumerate(poses):
            both = person.any(-1) & pose[:, :2].any(-1)
            if both.any():
                cost[i, j] = np.linalg.norm(person[both] - pose[both, :2], axis=1).mean()
    return cost


def match_people(cost: NDArray[np.float64], limit: float) -> list[int]:
    """Match rows to columns so that the sum of costs is least; return each row's column or -1.

    A row without a column costs ``limit``, so no pair as dear as that is made.  Exact, by dynamic
    programming over the sets of matched rows: meant for a handful of rows and any number of
    columns.
    """
    n_rows, n_columns = cost.shape
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, (-1,) * n_rows)}
    for column in range(n_columns):
        near = [row for row in range(n_rows) if cost[row, column] < limit]
        for matched, (total, columns) in list(best.items()):
            for row in near:
                grown = matched | 1 << row
                # Matching a row saves the price of leaving it alone.
                grown_total = total + cost[row, column] - limit
                if grown != matched and grown_total < best.get(grown, (np.inf,))[0]:
                    best[grown] = grown_total, (*columns[:row], column, *columns[row + 1 :])
    return list(min(best.values())[1])
