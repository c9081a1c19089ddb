import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.shards import Window
from toolkit.skeleton import METRES, SkeletonLayout
from toolkit.space import SpaceView, draw_space, look_at

VIEW = SpaceView((0.0, 0.0, 3.0), extent=2.0, floor=-0.9)
STICK = SkeletonLayout("stick", ("head", "middle", "foot"), ((0, 1), (1, 2)), 1, (), METRES)


def window(joints, present=None):
    """Return a window of joints (T, 2, V, 3) without pictures."""
    T, M, V, _ = joints.shape
    present = np.ones((T, M), np.uint8) if present is None else present
    none = np.zeros((T, M, V, 2), np.float32)
    return Window(joints, present, none[..., 0].astype(np.uint8), none, np.zeros(T), np.zeros(T))


def standing(height=1.8):
    """One frame of a body that stands at x 0, z 3, and none in the second slot."""
    joints = np.zeros((1, 2, 3, 3), np.float32)
    joints[0, 0] = [(0, height / 2, 3), (0, 0.1, 3), (0, -height / 2, 3)]
    return window(joints, np.array([[1, 0]], np.uint8))


def test_from_the_camera_x_is_right_and_y_up():
    points = np.float32([(0, 0, 3), (0.5, 0, 3), (0, 0.5, 3)])
    middle, right, above = VIEW.project(points)
    assert middle.tolist() == [0.5, 0.5]
    assert right == pytest.approx([0.75, 0.5])
    assert above[0] == pytest.approx(0.5)
    assert above[1] < 0.27


def test_after_a_quarter_turn_the_depth_is_seen_across():
    behind = VIEW.turned(np.pi / 2).project(np.float32([0, 0, 3.5]))
    assert behind == pytest.approx([0.75, 0.5], abs=1e-6)


def test_what_is_further_away_stands_higher():
    near, far = VIEW.project(np.float32([(0, -0.9, 2.5), (0, -0.9, 3.5)]))
    assert far[1] < near[1]


@given(turn=st.floats(-10, 10), x=st.floats(-0.4, 0.4), z=st.floats(2.6, 3.4))
def test_no_turn_takes_a_body_out_of_view(turn, x, z):
    joints = np.float32([(x, 0.9, z), (0, 0, 3), (-x, -0.9, 6 - z)])
    view = look_at(window(np.tile(joints, (4, 2, 1, 1)))).turned(turn)
    assert ((view.project(joints) >= 0) & (view.project(joints) <= 1)).all()


def test_the_view_is_centred_on_the_bodies_and_the_floor_lies_below():
    view = look_at(standing())
    assert view.centre == pytest.approx((0, 0, 3), abs=0.02)
    assert view.floor == pytest.approx(-0.9, abs=0.02)
    assert view.extent == pytest.approx(1.8 * 1.15, abs=0.03)


def test_a_joint_gone_astray_makes_nobody_small():
    joints = np.tile(standing().joints, (100, 1, 1, 1))
    joints[50, 0, 0] = 500
    present = np.tile(np.array([[1, 0]], np.uint8), (100, 1))
    assert look_at(window(joints, present)).extent < 3


def test_without_a_body_there_is_still_a_view():
    empty = window(np.zeros((2, 2, 3, 3), np.float32), np.zeros((2, 2), np.uint8))
    assert look_at(empty).extent > 0


def test_a_body_in_space_is_drawn_upright():
    seen = standing()
    picture = draw_space(seen, 0, STICK, look_at(seen), 100)
    assert picture.shape == (100, 100, 3)
    rows, columns = np.argwhere(picture.min(-1) > 150).T
    assert abs(columns - 50).max() <= 3
    assert np.ptp(rows) == pytest.approx(100 / 1.15, abs=6)
