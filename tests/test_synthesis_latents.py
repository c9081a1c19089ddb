from fractions import Fraction

import numpy as np
import pytest

from toolkit.synthesis.ceilings import additive_bound, bayes_accuracy, compute_ceilings
from toolkit.synthesis.latents import PRESETS, SCENE, SKELETON, Latents, Preset, open_stream
from toolkit.synthesis.poses import NTU_FIGURE, OPENPOSE_FIGURE, render_poses
from toolkit.synthesis.scene import render_scene

# Classes, then chance, picture, skeleton, additive optimum and bound, both.
CEILINGS = {
    "demo": (4, 0.25, 0.5, 0.375, 0.75, 0.875, 1),
    "graded": (8, 0.125, 0.25, 0.375, 0.75, 0.875, 1),
    "pure": (2, 0.5, 0.5, 0.75, 0.75, 0.875, 1),
    "four-motions": (4, 0.25, 0.25, 0.625, 0.625, 0.8125, 1),
    "distinct-motions": (4, 0.25, 0.25, 0.5, 0.5, 0.75, 1),
    # All four motions are there, whatever moves: without the picture nothing is known, and a
    # sum cannot tell which part makes which.
    "four-parts": (4, 0.25, 0.25, 0.25, 0.25, None, 1),
}


@pytest.mark.parametrize("name", PRESETS)
def test_ceilings_are_those_of_the_specification(name):
    ceilings = compute_ceilings(PRESETS[name])
    assert list(ceilings.values()) == pytest.approx(list(CEILINGS[name][1:]))


@pytest.mark.parametrize("name", PRESETS)
def test_every_label_is_equally_likely(name):
    preset = PRESETS[name]
    labels = np.bincount([preset.label(latents) for latents in preset.iterate_outcomes()])
    assert len(labels) == preset.n_classes == CEILINGS[name][0]
    assert len(set(labels)) == 1


def test_the_label_numbers_scene_posture_and_the_motion_of_the_part():
    preset = Preset("mine", S=2, Q=2, A=3, P=2)
    assert preset.label(Latents(s=1, p=1, q=0, a=(2, 1))) == (1 * 2 + 0) * 3 + 1


def test_ceilings_are_exact_fractions():
    # Three motions, two parts: 3 of 9 pairs agree, so (3 * 1 + 6 * 1/2) / 9.
    preset = Preset("mine", S=1, Q=1, A=3, P=2)
    assert bayes_accuracy(preset, lambda latents: latents.a) == Fraction(2, 3)
    # ... and three quarters of the others at most: (3 + 6 * 3/4) / 9.
    assert additive_bound(preset) == Fraction(5, 6)


def test_the_additive_bound_is_reached_by_no_sum_above_it():
    """Search random sums of tables on the preset with two motions: none beats the bound."""
    preset, rng = PRESETS["pure"], np.random.default_rng(0)
    outcomes = list(preset.iterate_outcomes())
    best = 0.0
    for _ in range(300):
        f, g = rng.normal(size=(2, 2, 2)), rng.normal(size=(2, 2))
        right = [np.argmax(f[o.a] + g[o.p]) == preset.label(o) for o in outcomes]
        best = max(best, float(np.mean(right)))
    assert best == 0.875


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"S": 3, "Q": 1, "A": 2, "P": 2}, "at most 4 scenes"),
        ({"S": 1, "Q": 1, "A": 2, "P": 3}, "2 or 4 parts"),
        ({"S": 1, "Q": 3, "A": 2, "P": 2}, "1 or 2 postures"),
        ({"S": 1, "Q": 1, "A": 2, "P": 4, "distinct": True}, "as many distinct motions"),
    ],
)
def test_presets_that_cannot_be_drawn_are_refused(sizes, said):
    with pytest.raises(ValueError, match=said):
        Preset("mine", **sizes)


def test_drawn_latents_follow_the_enumeration():
    preset = PRESETS["demo"]
    drawn = [preset.draw(np.random.default_rng(n)) for n in range(1600)]
    counts = [drawn.count(outcome) for outcome in preset.iterate_outcomes()]
    assert sum(counts) == 1600
    # 16 outcomes, 100 each: 5 standard deviations are 48.
    assert max(abs(count - 100) for count in counts) < 48


def test_streams_of_a_recording_are_independent_of_each_other():
    values = {
        (seed, number, stream): open_stream(seed, number, stream).random()
        for seed in (0, 1)
        for number in (0, 1)
        for stream in (SKELETON, SCENE)
    }
    assert len(set(values.values())) == 8
    assert open_stream(1, 0, SCENE).random() == values[1, 0, SCENE]


def still(figure, q, a):
    """The mean pose over many cycles without nuisances of size and place."""
    rng = np.random.default_rng(0)
    size, shift = rng.uniform(0.85, 1.15), rng.uniform(-0.04, 0.04, 2)
    poses = render_poses(figure, q, a, np.random.default_rng(0), n_frames=4000)
    return (poses.xy.mean(0) - 0.5 - shift) / size + 0.5


@pytest.mark.parametrize(
    ("motion", "right_wrist", "left_wrist"),
    [(0, (-0.08, 0), (0.08, 0)), (1, (0, -0.08), (0, -0.08)), (2, (0.08, 0), (-0.08, 0))],
)
def test_arms_are_held_outward_upward_or_inward(motion, right_wrist, left_wrist):
    moved = still(OPENPOSE_FIGURE, 0, (motion, 0)) - OPENPOSE_FIGURE.joints
    np.testing.assert_allclose(moved[[4, 7]], [right_wrist, left_wrist], atol=2e-3)
    np.testing.assert_allclose(
        moved[[3, 6]], np.multiply([right_wrist, left_wrist], 0.5), atol=2e-3
    )


@pytest.mark.parametrize(("motion", "axis"), [(0, 0), (1, 1)])
def test_legs_swing_along_x_or_y(motion, axis):
    xy = render_poses(OPENPOSE_FIGURE, 0, (0, motion), np.random.default_rng(3), n_frames=200).xy
    spread = xy[:, [9, 10, 12, 13]].std(0)
    # A sine of amplitude .06 (weight 1) has a deviation of about .042; jitter alone .005.
    assert (spread[[1, 3], axis] > 0.025).all()
    assert (spread[:, 1 - axis] < 0.007).all()


@pytest.mark.parametrize(("q", "shift"), [(0, -0.05), (1, 0.05)])
def test_posture_shifts_the_head(q, shift):
    moved = still(OPENPOSE_FIGURE, q, (0, 0)) - OPENPOSE_FIGURE.joints
    np.testing.assert_allclose(moved[[0, 14, 15, 16, 17], 0], shift, atol=2e-3)
    np.testing.assert_allclose(moved[[1, 2, 5, 8, 11]], 0, atol=2e-3)


def test_four_parts_move_each_limb_by_itself():
    moved = still(NTU_FIGURE, 0, (1, 3, 0, 0)) - NTU_FIGURE.joints
    np.testing.assert_allclose(moved[[10, 6], 1], [-0.08, 0.08], atol=2e-3)


def test_occluded_joints_are_misplaced_and_score_low():
    poses = render_poses(
        OPENPOSE_FIGURE, 0, (0, 0), np.random.default_rng(0), n_frames=500, occlusion=0.3
    )
    assert poses.occluded.mean() == pytest.approx(0.3, abs=0.02)
    assert poses.score[poses.occluded].max() <= 0.3
    assert poses.score[~poses.occluded].min() >= 0.7


def test_scenes_differ_in_background_and_brightness_only_by_the_seed():
    pictures = [
        render_scene(s, p, 2, (64, 48), np.random.default_rng(1)) for s in (0, 1) for p in (0, 1)
    ]
    corners = np.array([picture[:6, :6].mean((0, 1)) for picture in pictures])
    apart = np.linalg.norm(corners[:, None] - corners[None], axis=-1)
    assert apart[~np.eye(4, dtype=bool)].min() > 30
    again = render_scene(1, 1, 2, (64, 48), np.random.default_rng(1))
    np.testing.assert_array_equal(again, pictures[3])


@pytest.mark.parametrize(("p", "ratio", "filled"), [(0, 4, 1), (1, 1, 0.785), (2, 1, 0.5)])
def test_bar_disc_and_triangle(p, ratio, filled):
    picture = render_scene(0, p, 4, (320, 240), np.random.default_rng(2)).astype(int)
    differs = np.abs(picture - np.median(picture, axis=(0, 1))).max(-1) > 70
    rows, columns = np.nonzero(differs)
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert width / height == pytest.approx(ratio, rel=0.1)
    assert differs.sum() / (height * width) == pytest.approx(filled, abs=0.06)
