import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.shards import LAYOUTS
from train import transforms
from train.transforms import Box

NTU, OPENPOSE = LAYOUTS["ntu25"], LAYOUTS["openpose18"]


@pytest.mark.parametrize(
    ("place", "scale", "box"),
    [
        ("whole", 0.5, (0, 0, 128, 171)),
        ("centre", 1.0, (0, 21, 128, 128)),
        ("top left", 1.0, (0, 0, 128, 128)),
        ("top right", 1.0, (0, 43, 128, 128)),
        ("centre", 0.8409, (10, 32, 107, 107)),
        ("top left", 0.7071, (0, 0, 90, 90)),
        ("top right", 0.7071, (0, 81, 90, 90)),
        ("bottom left", 0.5946, (52, 0, 76, 76)),
        ("bottom right", 0.5, (64, 107, 64, 64)),
    ],
)
def test_boxes_in_a_picture_of_171_by_128(place, scale, box):
    assert transforms.place_box(128, 171, place, scale) == box


def test_the_centre_of_a_tall_picture():
    assert transforms.place_box(171, 128, "centre") == (21, 0, 128, 128)


@settings(deadline=None)
@given(
    st.integers(1, 400),
    st.integers(1, 400),
    st.sampled_from(transforms.PLACES),
    st.floats(0.01, 1.0),
)
def test_boxes_are_squares_inside_the_picture(height, width, place, scale):
    top, left, h, w = transforms.place_box(height, width, place, scale)
    assert h == w >= 1
    assert 0 <= top <= height - h
    assert 0 <= left <= width - w


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_a_cut_of_the_wanted_size_keeps_its_pixels():
    frames = noise(2, 9, 12, 3)
    cut = transforms.cut_frames(frames, Box(2, 5, 6, 6), 6)
    assert cut.dtype == torch.uint8
    assert np.array_equal(cut.numpy(), frames[:, 2:8, 5:11])


def test_frames_are_cut_alike_and_keep_their_order():
    frames = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.full((1, 8, 8, 3), 40, np.uint8)
    cut = transforms.cut_frames(frames, Box(1, 1, 5, 5), 3)
    assert cut.shape == (5, 3, 3, 3)
    assert np.array_equal(cut[:, 1, 1, 0].numpy(), np.arange(5) * 40)


def test_shrinking_averages_what_it_leaves_out():
    # Every fourth column is white: sampling between two columns would find black only.
    stripes = np.zeros((1, 16, 16, 3), np.uint8)
    stripes[:, :, 3::4] = 255
    middle = transforms.cut_frames(stripes, Box(0, 0, 16, 16), 4)[:, :, 1:-1]
    assert 55 <= middle.min() <= middle.max() <= 72


@pytest.mark.parametrize("side", [64, 107, 112, 128, 140])
def test_both_ways_to_resize_agree_where_they_meet(side):
    frames = cv2.GaussianBlur(noise(140, 140, 3), (0, 0), 3)[None]
    ours = transforms.cut_frames(frames, Box(0, 0, side, side), 112)
    theirs = transforms.resize_antialiased(frames[:, :side, :side], 112)
    assert ours.shape == theirs.shape == (1, 112, 112, 3)
    assert (ours.int() - theirs.int()).abs().max() <= 2


def test_whole_pictures_are_squeezed_to_squares():
    frames = np.zeros((1, 8, 16, 3), np.uint8)
    frames[:, :, 8:] = 200
    cut = transforms.cut_frames(frames, Box(0, 0, 8, 16), 16)
    assert cut[0, :, 4, 0].tolist() == [0] * 16
    assert cut[0, :, 12, 0].tolist() == [200] * 16


def test_rgb_by_hand():
    rgb = torch.tensor([115, 0, 255], dtype=torch.uint8).view(1, 3, 1, 1, 1)
    out = transforms.normalise_rgb(rgb, (114.7748, 107.7354, 99.4750), 1 / 255)
    expected = [0.2252 / 255, -107.7354 / 255, 155.525 / 255]
    assert out.flatten().tolist() == pytest.approx(expected, rel=1e-4)


def test_rgb_keeps_its_memory_order_and_takes_a_type():
    rgb = torch.zeros(2, 4, 5, 6, 3, dtype=torch.uint8).permute(0, 4, 1, 2, 3)
    out = transforms.normalise_rgb(rgb, (1, 2, 3), 1.0, torch.bfloat16)
    assert out.dtype == torch.bfloat16
    assert out.stride() == rgb.stride()
    assert out[0, :, 0, 0, 0].tolist() == [-1, -2, -3]


def one_joint(layout, values, present=1):
    """Two frames, two bodies, all zeros but joint 0 of body 0 in the first frame."""
    joints = np.zeros((2, 2, layout.n_joints, 3), np.float32)
    joints[0, 0, 0] = values
    here = np.zeros((2, 2), np.uint8)
    here[0, 0] = present
    return joints, here


def normalised(joints, present, layout, *, zero_score=True, centre_joint=False):
    seen = transforms.find_seen(joints, present, layout, zero_score=zero_score)
    return transforms.normalise_joints(joints, seen, layout, centre_joint=centre_joint)


@pytest.mark.parametrize(
    ("values", "zero_score", "expected"),
    [
        ((0.75, 0.25, 0.9), True, (0.25, -0.25, 0.9)),
        ((0.75, 0.25, 0.0), True, (0, 0, 0)),
        ((0.75, 0.25, 0.0), False, (0.25, -0.25, 0)),
    ],
)
def test_fractions_by_hand(values, zero_score, expected):
    joints, present = one_joint(OPENPOSE, values)
    out = normalised(joints, present, OPENPOSE, zero_score=zero_score)
    assert out[0, 0, 0].tolist() == pytest.approx(expected)


def test_metres_stay():
    joints, present = one_joint(NTU, (0.5, -1, 3))
    assert np.array_equal(normalised(joints, present, NTU), joints)


@pytest.mark.parametrize("layout", [NTU, OPENPOSE])
@pytest.mark.parametrize("zero_score", [True, False])
@pytest.mark.parametrize("centre_joint", [True, False])
def test_absent_bodies_are_zero(layout, zero_score, centre_joint):
    joints = np.random.default_rng(0).uniform(0.1, 0.9, (3, 2, layout.n_joints, 3))
    joints = joints.astype(np.float32)
    present = np.array([[0, 1], [1, 0], [1, 1]], np.uint8)
    joints[present == 0] = 0
    out = normalised(joints, present, layout, zero_score=zero_score, centre_joint=centre_joint)
    assert not out[present == 0].any()
    assert out[present == 1].any(-1).sum() >= 4 * layout.n_joints - 1


def test_normalising_leaves_its_input_alone():
    joints, present = one_joint(OPENPOSE, (0.75, 0.25, 0.9))
    before = joints.copy()
    normalised(joints, present, OPENPOSE)
    assert np.array_equal(joints, before)


def test_centre_joint_becomes_the_origin_of_the_clip():
    joints = np.zeros((2, 2, 25, 3), np.float32)
    joints[0, 1, 20], joints[0, 1, 3] = (1, 2, 3), (1, 3, 3)
    joints[1, 1, 20], joints[1, 1, 3] = (2, 2, 3), (2, 3, 3)
    present = np.array([[0, 1], [0, 1]], np.uint8)
    out = normalised(joints, present, NTU, centre_joint=True)
    assert out[:, 1, 20].tolist() == [[0, 0, 0], [1, 0, 0]]
    assert out[:, 1, 3].tolist() == [[0, 1, 0], [1, 1, 0]]


def test_centre_joint_of_fractions_keeps_the_score():
    joints, present = one_joint(OPENPOSE, (0.7, 0.4, 0.9))
    joints[0, 0, 1] = 0.5, 0.5, 0.8
    out = normalised(joints, present, OPENPOSE, centre_joint=True)
    assert out[0, 0, 0].tolist() == pytest.approx([0.2, -0.1, 0.9])
    assert out[0, 0, 1].tolist() == pytest.approx([0, 0, 0.8])


def test_a_centre_joint_not_seen_is_no_origin():
    joints, present = one_joint(OPENPOSE, (0.7, 0.4, 0.9))
    joints[1, 0, 1], present[1, 0] = (0.6, 0.5, 0.8), 1
    out = normalised(joints, present, OPENPOSE, centre_joint=True)
    assert out[0, 0, 0].tolist() == pytest.approx([0.1, -0.1, 0.9])
    assert out[1, 0, 1].tolist() == pytest.approx([0, 0, 0.8])


@pytest.mark.parametrize("layout", [NTU, OPENPOSE])
@settings(deadline=None)
@given(seed=st.integers(0, 1000))
def test_mirroring_twice_changes_nothing(layout, seed):
    joints = np.random.default_rng(seed).normal(size=(3, 2, layout.n_joints, 3))
    joints = joints.astype(np.float32)
    once = transforms.mirror_joints(joints, layout)
    assert not np.array_equal(once, joints)
    assert np.array_equal(transforms.mirror_joints(once, layout), joints)


def test_mirroring_swaps_left_and_right():
    joints = np.arange(18, dtype=np.float32)[None, None, :, None] * np.ones((1, 1, 1, 3))
    out = transforms.mirror_joints(joints.astype(np.float32), OPENPOSE)[0, 0]
    # Joint 4 is the right wrist, 7 the left one; the nose has no partner.
    assert out[4].tolist() == [-7, 7, 7]
    assert out[7].tolist() == [-4, 4, 4]
    assert out[0].tolist() == [0, 0, 0]


def test_a_skeleton_drawn_on_the_picture_stays_on_it():
    rng = np.random.default_rng(0)
    size = 64
    pixels = rng.permutation(size * size)[:18]
    rows, columns = pixels // size, pixels % size
    picture = np.zeros((1, size, size, 3), np.uint8)
    picture[0, rows, columns, 0] = 100 + np.arange(18)
    joints = np.ones((1, 1, 18, 3), np.float32)
    joints[0, 0, :, 0], joints[0, 0, :, 1] = (columns + 0.5) / size, (rows + 0.5) / size
    centred = normalised(joints, np.ones((1, 1), np.uint8), OPENPOSE)

    mirrored = transforms.mirror_frames(torch.from_numpy(picture))[0, :, :, 0].numpy()
    x, y, _ = ((transforms.mirror_joints(centred, OPENPOSE)[0, 0] + 0.5) * size).astype(int).T
    assert mirrored[y, x].tolist() == (100 + OPENPOSE.mirrored()).tolist()


class Ends:
    """Hands out pairs for the two ends of a clip in the order they are asked for."""

    def __init__(self, *pairs):
        self.pairs = iter(pairs)

    def choice(self, values, size):
        pair = next(self.pairs)
        assert size == 2
        assert set(pair) <= set(values)
        return np.array(pair)


def moved(joints, seen, *, angle=(0.0, 0.0), scale=(1.0, 1.0), x=(0.0, 0.0), y=(0.0, 0.0)):
    return transforms.move_joints(joints, seen, Ends(angle, scale, x, y))


def test_moving_by_hand():
    joints = np.zeros((3, 1, 1, 3), np.float32)
    joints[..., 0], joints[..., 2] = 1, 7
    seen = np.ones((3, 1, 1), bool)
    out = moved(joints, seen, angle=(-10.0, 10.0), scale=(0.9, 1.1), x=(0.0, 0.2), y=(-0.1, 0.1))
    cos, sin = np.cos(np.radians(10)), np.sin(np.radians(10))
    expected = [
        (0.9 * cos, -0.9 * sin - 0.1, 7),
        (1.0 + 0.1, 0.0, 7),
        (1.1 * cos + 0.2, 1.1 * sin + 0.1, 7),
    ]
    assert out[:, 0, 0] == pytest.approx(np.array(expected), abs=1e-6)
    assert out.dtype == np.float32


def test_moving_by_nothing_changes_nothing():
    joints = np.random.default_rng(0).normal(size=(4, 2, 5, 3)).astype(np.float32)
    assert np.array_equal(moved(joints, np.ones((4, 2, 5), bool)), joints)


def test_joints_not_seen_are_not_moved():
    joints = np.zeros((2, 1, 2, 3), np.float32)
    seen = np.array([True, False])[None, None].repeat(2, 0)
    out = moved(joints, seen, x=(0.1, 0.1))
    assert out[0, 0, :, 0].tolist() == pytest.approx([0.1, 0])
