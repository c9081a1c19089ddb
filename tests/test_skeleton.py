import dataclasses
import pickle

import numpy as np
import pytest

from toolkit.skeleton import (
    FRACTIONS,
    LAYOUTS,
    METRES,
    NTU25,
    OPENPOSE18,
    SkeletonLayout,
    SkeletonSequence,
)

STICK = SkeletonLayout("stick", ("head", "left", "right"), ((1, 0), (2, 0)), 0, ((1, 2),))

# Bones and pairs as published, NTU's counted from 1.
NTU_BONES = """1-2 2-21 3-21 4-3 5-21 6-5 7-6 8-7 9-21 10-9 11-10 12-11 13-1 14-13 15-14 16-15 17-1
    18-17 19-18 20-19 22-23 23-8 24-25 25-12"""
NTU_PAIRS = "4-8 5-9 6-10 7-11 12-16 13-17 14-18 15-19 21-23 22-24"
OPENPOSE_BONES = """4-3 3-2 7-6 6-5 13-12 12-11 10-9 9-8 11-5 8-2 5-1 2-1 0-1 15-0 14-0 17-15
    16-14"""
OPENPOSE_PAIRS = "2-5 3-6 4-7 8-11 9-12 10-13 14-15 16-17"


def edges(text, first=0):
    """Parse undirected edges of joints that count from ``first``."""
    ends = (edge.split("-") for edge in text.split())
    return {frozenset((int(a) - first, int(b) - first)) for a, b in ends}


def undirected(pairs):
    return set(map(frozenset, pairs))


@pytest.mark.parametrize(
    ("layout", "bones", "pairs", "centre", "channels"),
    [
        (NTU25, edges(NTU_BONES, 1), edges(NTU_PAIRS), "spine shoulder", METRES),
        (OPENPOSE18, edges(OPENPOSE_BONES), edges(OPENPOSE_PAIRS), "neck", FRACTIONS),
    ],
    ids=["ntu25", "openpose18"],
)
def test_layouts_are_as_published(layout, bones, pairs, centre, channels):
    assert undirected(layout.bones) == bones
    assert undirected(layout.pairs) == pairs
    assert layout.joints[layout.centre] == centre
    assert layout.channels == channels


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_names_of_left_and_right_joints_are_paired(layout):
    assert {
        (layout.joints[a].split(" ", 1)[1], layout.joints[b].split(" ", 1)[1])
        for a, b in layout.pairs
    } == {(name[5:],) * 2 for name in layout.joints if name.startswith("left ")}


@pytest.mark.parametrize(
    ("joint", "name"), [(0, "spine base"), (3, "head"), (7, "left hand"), (20, "spine shoulder")]
)
def test_ntu_joints_count_from_zero(joint, name):
    assert NTU25.joints[joint] == name


@pytest.mark.parametrize("layout", [*LAYOUTS.values(), STICK], ids=[*LAYOUTS, "stick"])
def test_mirroring_twice_changes_nothing(layout):
    order = layout.mirrored()
    np.testing.assert_array_equal(order[order], np.arange(layout.n_joints))


def test_mirroring_swaps_pairs_and_keeps_the_rest():
    assert STICK.mirrored().tolist() == [0, 2, 1]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_mirroring_maps_the_skeleton_onto_itself(layout):
    order = layout.mirrored()
    assert {frozenset((order[a], order[b])) for a, b in layout.bones} == undirected(layout.bones)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"centre": 3}, "joint 3 is not in 0..2"),
        ({"bones": ((1, 0), (2, -1))}, "joint -1 is not in 0..2"),
        ({"pairs": ((1, 4),)}, "joint 4 is not in 0..2"),
        ({"pairs": ((1, 2), (2, 0))}, "a joint stands in two left/right pairs"),
        ({"pairs": ((1, 1),)}, "a joint stands in two left/right pairs"),
        ({"bones": ((1, 0),)}, "the bones do not join all 3 joints"),
        ({"bones": ((1, 0), (2, 2))}, "the bones do not join all 3 joints"),
        ({"channels": ("x", "y")}, "channels must be"),
    ],
)
def test_a_wrong_layout_is_refused(change, message):
    with pytest.raises(ValueError, match=f"^layout stick: {message}"):
        dataclasses.replace(STICK, **change)


@pytest.mark.parametrize("layout", [*LAYOUTS.values(), STICK], ids=[*LAYOUTS, "stick"])
def test_a_layout_survives_its_dictionary(layout):
    assert SkeletonLayout.from_dict(layout.to_dict()) == layout


@pytest.mark.parametrize("key", ["name", "joints", "bones", "centre"])
def test_a_missing_key_is_named(key):
    data = STICK.to_dict()
    del data[key]
    with pytest.raises(ValueError, match=f"needs the key '{key}'"):
        SkeletonLayout.from_dict(data)


def test_pairs_and_channels_may_be_left_out():
    data = {"name": "bar", "joints": ["a", "b"], "bones": [[0, 1]], "centre": 0}
    layout = SkeletonLayout.from_dict(data)
    assert (layout.pairs, layout.channels) == ((), FRACTIONS)


@pytest.mark.parametrize("change", [{"joints": 3}, {"bones": [[0, 1, 2]]}, {"centre": None}])
def test_a_value_of_the_wrong_kind_is_refused(change):
    with pytest.raises(ValueError, match=r"."):
        SkeletonLayout.from_dict(STICK.to_dict() | change)


def arrays(n_frames=4, n_bodies=2):
    """Return what a sequence of three joints is made of."""
    shape = (n_frames, n_bodies, 3)
    return {
        "layout": STICK,
        "joints": np.zeros((*shape, 3), np.float32),
        "present": np.zeros(shape[:2], bool),
        "times": np.arange(n_frames, dtype=np.float64),
        "pixels": np.zeros((*shape, 2), np.float32),
        "body_ids": np.zeros(n_bodies, np.int64),
        "tracking": np.zeros(shape, np.uint8),
    }


@pytest.mark.parametrize("n_bodies", [0, 1, 5])
def test_a_sequence_counts_its_frames(n_bodies):
    assert len(SkeletonSequence(**arrays(7, n_bodies))) == 7


def test_a_sequence_without_tracking_gets_zeros():
    fields = arrays()
    del fields["tracking"]
    assert SkeletonSequence(**fields).tracking.shape == (4, 2, 3)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("joints", np.zeros((4, 2, 3, 3), np.float64)),
        ("joints", np.zeros((4, 2, 4, 3), np.float32)),
        ("joints", np.zeros((4, 2, 3, 2), np.float32)),
        ("joints", np.zeros((4, 2, 3), np.float32)),
        ("present", np.zeros((4, 2), np.uint8)),
        ("present", np.zeros((4, 1), bool)),
        ("times", np.zeros(3)),
        ("pixels", np.zeros((4, 2, 3, 3), np.float32)),
        ("body_ids", np.zeros(2, np.float64)),
        ("tracking", np.zeros((4, 2, 2), np.uint8)),
    ],
)
def test_an_array_of_another_shape_or_type_is_named(name, array):
    with pytest.raises(ValueError, match=f"^{name} must be "):
        SkeletonSequence(**arrays() | {name: array})


def test_a_sequence_prints_shapes_only():
    assert repr(SkeletonSequence(**arrays())) == "SkeletonSequence(stick, 4 frames, 2 bodies)"


def test_a_sequence_travels_between_processes():
    sequence = SkeletonSequence(**arrays())
    assert pickle.loads(pickle.dumps(sequence)).layout == STICK
