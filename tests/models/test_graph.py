import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.skeleton import NTU25, OPENPOSE18
from train.models import SkeletonGraph, build_adjacency
from train.models.graph import measure_distances

# A chain 0 - 1 - 2 - 3 seen from joint 1.
CHAIN = (4, [(0, 1), (1, 2), (2, 3)], 1)
BRANCHES = {"openpose": OPENPOSE18, "ntu": NTU25}

# nnz and entry sums of P0, P1, P2 (MODEL 1.2).
PARTITIONS = [
    ("openpose", "spatial", (18, 17, 17), (6.6667, 4.9167, 6.4167)),
    ("openpose", "release", (18, 25, 9), (6.6667, 8.5833, 2.75)),
    ("openpose", "v01", (18, 17, 17), (18, 17, 12)),
    ("ntu", "spatial", (25, 24, 24), (8.95, 7.30, 8.75)),
    ("ntu", "release", (25, 40, 8), (8.95, 13.30, 2.75)),
    ("ntu", "v01", (25, 24, 24), (25, 24, 20)),
]


def partition(name, variant):
    layout = BRANCHES[name]
    return build_adjacency(layout.n_joints, layout.bones, layout.centre, variant)


@pytest.mark.parametrize(("name", "variant", "entries", "sums"), PARTITIONS)
def test_partition_has_the_published_entries(name, variant, entries, sums):
    parts = partition(name, variant)
    assert tuple((parts != 0).sum((1, 2))) == entries
    np.testing.assert_allclose(parts.sum((1, 2)), sums, atol=5e-5)


@pytest.mark.parametrize("name", BRANCHES)
@pytest.mark.parametrize("variant", ["spatial", "release"])
def test_partitions_add_up_to_columns_of_one(name, variant):
    np.testing.assert_allclose(partition(name, variant).sum((0, 1)), 1, atol=1e-12)


@pytest.mark.parametrize("name", BRANCHES)
@pytest.mark.parametrize("variant", ["spatial", "release", "v01"])
def test_left_right_swap_is_an_exact_symmetry(name, variant):
    parts, swap = partition(name, variant), BRANCHES[name].mirrored()
    np.testing.assert_array_equal(parts[:, swap][:, :, swap], parts)


def test_diagonal_of_openpose_is_one_over_degree():
    t = 1 / 3
    expected = [.25, .25, .25, t, .5, .25, t, .5, t, t, .5, t, t, .5, t, t, .5, .5]  # fmt: skip
    np.testing.assert_allclose(np.diag(partition("openpose", "spatial")[0]), expected)


def test_diagonal_of_ntu_is_one_over_degree():
    expected = np.full(25, 1 / 3)
    expected[[0, 20]] = 0.25, 0.2
    expected[[3, 15, 19, 21, 23]] = 0.5
    np.testing.assert_allclose(np.diag(partition("ntu", "spatial")[0]), expected)


def test_spatial_chain_by_hand():
    same, farther, nearer = build_adjacency(*CHAIN, "spatial")
    np.testing.assert_allclose(same, np.diag([1 / 2, 1 / 3, 1 / 3, 1 / 2]))
    # Rows are sources: 0 and 2 lie farther than their neighbour 1, 3 farther than 2.
    assert {(v, w): round(farther[v, w], 4) for v, w in np.argwhere(farther)} == {
        (0, 1): 0.3333,
        (2, 1): 0.3333,
        (3, 2): 0.3333,
    }
    assert {(v, w): round(nearer[v, w], 4) for v, w in np.argwhere(nearer)} == {
        (1, 0): 0.5,
        (1, 2): 0.3333,
        (2, 3): 0.5,
    }


def test_release_chain_merges_far_bones_into_the_second_part():
    _, farther, nearer = build_adjacency(*CHAIN, "release")
    # 3 is two bones away, so it is infinitely far and farther than 2; the way back is nearer.
    assert set(map(tuple, np.argwhere(farther))) == {(0, 1), (2, 1), (3, 2)}
    longer = (5, [(0, 1), (1, 2), (2, 3), (3, 4)], 1)
    _, farther, nearer = build_adjacency(*longer, "release")
    assert {(3, 4), (4, 3)} <= set(map(tuple, np.argwhere(farther)))
    assert set(map(tuple, np.argwhere(nearer))) == {(1, 0), (1, 2), (2, 3)}


def test_v01_parts_have_own_column_sums():
    _, down, up = build_adjacency(*CHAIN, "v01")
    np.testing.assert_array_equal(down.sum(0), [1, 0, 1, 1])
    np.testing.assert_array_equal(up.sum(0), [0, 1, 1, 0])
    assert up[0, 1] == up[2, 1] == 0.5


def test_edges_between_equally_far_joints_are_kept():
    triangle = (3, [(0, 1), (0, 2), (1, 2)], 0)
    for variant in ("spatial", "release", "v01"):
        assert (build_adjacency(*triangle, variant).sum(0) > 0).all(), variant


@given(st.integers(2, 12), st.data())
def test_distances_fall_by_one_towards_the_centre(n_joints, data):
    bones = [(joint, data.draw(st.integers(0, joint - 1))) for joint in range(1, n_joints)]
    centre = data.draw(st.integers(0, n_joints - 1))
    distance = measure_distances(n_joints, data.draw(st.permutations(bones)), centre)
    assert distance[centre] == 0
    assert all(abs(distance[a] - distance[b]) == 1 for a, b in bones)


def test_graph_object_builds_the_same_matrices():
    graph = SkeletonGraph(4, ((0, 1), (1, 2), (2, 3)), 1)
    np.testing.assert_array_equal(graph.adjacency("v01"), build_adjacency(*CHAIN, "v01"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((3, [(0, 1)], 0), "no path of bones joins joint 2"),
        ((2, [(0, 2)], 0), "joint 2 is not one of the 2 joints"),
        ((2, [(0, 1)], 5), "joint 5 is not one of the 2 joints"),
    ],
)
def test_broken_graph_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        build_adjacency(*arguments)


def test_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="spatial"):
        build_adjacency(*CHAIN, "hexagonal")
