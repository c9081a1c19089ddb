from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolkit.tracking import link_people, match_people, pose_distances


def person(x, y=0.5):
    return np.tile(np.float32([x, y, 1]), (18, 1))


def line_up(*frames):
    """Joints (T, M, 18, 3) and present (T, M) of people given by their x, None for nobody."""
    joints = np.zeros((len(frames), max(map(len, frames)), 18, 3), np.float32)
    for t, people in enumerate(frames):
        for m, x in enumerate(people):
            if x is not None:
                joints[t, m] = person(x)
    return joints, joints[..., 0].any(-1)


def brute_force(cost, limit):
    """The least sum over all ways to give rows different columns or none (at the limit)."""
    n_rows, n_columns = cost.shape
    columns = [*range(n_columns), *[-1] * n_rows]
    return min(
        sum(limit if c < 0 else cost[r, c] for r, c in enumerate(chosen))
        for chosen in set(permutations(columns, n_rows))
    )


@given(
    st.tuples(st.integers(0, 3), st.integers(0, 3)).flatmap(
        lambda shape: arrays(np.float64, shape, elements=st.floats(0, 0.4) | st.just(np.inf))
    )
)
def test_match_people_is_exact(cost):
    matched = match_people(cost, 0.2)
    taken = [c for c in matched if c >= 0]
    assert len(set(taken)) == len(taken)
    total = sum(0.2 if c < 0 else cost[r, c] for r, c in enumerate(matched))
    assert total == pytest.approx(brute_force(cost, 0.2))


def test_match_people_prefers_the_least_sum_to_the_nearest_pair():
    # Greedily taking 0.01 would leave the other row alone: 0.01 + 0.2 > 0.05 + 0.06.
    assert match_people(np.array([[0.01, 0.05], [0.06, 0.9]]), 0.2) == [1, 0]


def test_pose_distance_is_the_mean_over_joints_seen_in_both():
    a, b = person(0.2), person(0.5, 0.9)
    a[:9, :2], b[17, :2] = 0, 0
    a[9, 0] = 0.5
    # Joints 9..16 count: seven at distance 0.5, one at 0.4.
    assert pose_distances(a[None], [b])[0, 0] == pytest.approx((7 * 0.5 + 0.4) / 8)


def test_poses_without_a_joint_in_common_are_infinitely_far_apart():
    a, b = person(0.2), person(0.2)
    a[:9], b[9:] = 0, 0
    assert pose_distances(a[None], [b])[0, 0] == np.inf


@pytest.mark.parametrize(
    ("frames", "tracks"),
    [
        ([(0.2, 0.8), (0.81, 0.21)], [[0, 1], [1, 0]]),
        ([(0.2, None), (None, 0.25), (None, 0.3)], [[0, -1], [-1, 0], [-1, 0]]),
        ([(0.2,), (0.9,)], [[0], [1]]),
        ([(0.2,), *[(None,)] * 29, (0.2,)], [[0], *[[-1]] * 29, [0]]),
        ([(0.2,), *[(None,)] * 30, (0.2,)], [[0], *[[-1]] * 30, [1]]),
    ],
    ids=["swap", "other place", "too far", "back within a second", "back too late"],
)
def test_link_people(frames, tracks):
    assert link_people(*line_up(*frames)).tolist() == tracks
