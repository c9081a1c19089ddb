import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.bodies import BODY_RULES, list_body_facts, select_bodies
from toolkit.errors import NoBodyError
from toolkit.skeleton import NTU25, OPENPOSE18, SkeletonSequence

NTU_SAMPLES = [
    "S001C001P001R001A050",
    "S001C003P008R002A058",
    "S017C003P020R002A054",
    "S017C003P020R002A056",
]


def upright(height):
    """Joints at y = -height, 0, height (12, 1 and 12 of them): motion is 0.96 height squared."""
    joints = np.zeros((25, 3), np.float32)
    joints[:12, 1], joints[13:, 1] = -height, height
    return joints


def lying(height):
    return upright(height)[:, [1, 0, 2]]


def ntu_sequence(n_frames, bodies):
    """Build a recording from (id, frames, joints) of each body; joints also mark the pixels."""
    M = len(bodies)
    joints = np.zeros((n_frames, M, 25, 3), np.float32)
    present = np.zeros((n_frames, M), bool)
    for m, (_, frames, pose) in enumerate(bodies):
        joints[list(frames), m], present[list(frames), m] = pose, True
    return SkeletonSequence(
        layout=NTU25,
        joints=joints,
        present=present,
        times=np.arange(n_frames) / 30,
        pixels=joints[..., :2].copy(),
        body_ids=np.array([body_id for body_id, *_ in bodies], np.int64),
        tracking=np.where(present[:, :, None], 2, 0).astype(np.uint8).repeat(25, axis=2),
    )


def openpose_sequence(frames):
    """Build a recording from (x, score) of each person in each frame, None for an empty place."""
    M = max(len(people) for people in frames)
    joints = np.zeros((len(frames), M, 18, 3), np.float32)
    for t, people in enumerate(frames):
        for m, person in enumerate(people):
            if person is not None:
                joints[t, m] = person[0], 0.5, person[1]
    return SkeletonSequence(
        layout=OPENPOSE18,
        joints=joints,
        present=joints[..., :2].any((2, 3)),
        times=np.arange(len(frames)) / 30,
        pixels=joints[..., :2].copy(),
        body_ids=np.full(M, -1, np.int64),
    )


def slot_frames(choice, slot):
    return np.flatnonzero(choice.sequence.present[:, slot]).tolist()


def slot_xs(choice):
    """Return the x of both slots per frame, None where absent."""
    xs, present = choice.sequence.joints[:, :, 0, 0].tolist(), choice.sequence.present.tolist()
    return [
        tuple(round(x, 3) if here else None for x, here in zip(*row, strict=True))
        for row in zip(xs, present, strict=True)
    ]


def test_motion_pools_all_joints_of_all_frames():
    poses = np.stack([upright(1), upright(1) + np.array([0, 0, 2]), *[upright(1)] * 2]).astype(
        np.float32
    )
    facts = list_body_facts(ntu_sequence(4, [(7, range(4), poses)]))[0]
    # y: 24 of 25 joints at distance 1; z: one frame of four at 2, so 4 * 1/4 - (2/4)**2.
    assert facts.motion == pytest.approx(0.96 + 0.75)


def test_motion_leaves_noisy_frames_out():
    poses = np.stack([upright(1)] * 3 + [lying(5)])
    facts = list_body_facts(ntu_sequence(4, [(7, range(4), poses)]))[0]
    assert (facts.noisy_share, facts.motion) == (0.25, pytest.approx(0.96))


@pytest.mark.parametrize(("width", "noisy"), [(0.8, 0.0), (0.81, 1.0)])
def test_a_frame_is_noisy_when_wider_than_four_fifths_of_its_height(width, noisy):
    joints = upright(0.5)
    joints[0, 0] = width
    assert list_body_facts(ntu_sequence(1, [(7, [0], joints)]))[0].noisy_share == noisy


@pytest.mark.parametrize(("n_frames", "ids"), [(11, [1, -1]), (12, [1, 2])])
def test_bodies_of_eleven_frames_or_fewer_are_dropped(n_frames, ids):
    sequence = ntu_sequence(
        30, [(1, range(30), upright(0.8)), (2, range(5, 5 + n_frames), upright(0.5))]
    )
    choice = select_bodies(sequence, rule="denoise")
    assert choice.sequence.body_ids.tolist() == ids
    assert choice.n_bodies == 2


def test_a_dropped_body_gets_a_sentence():
    sequence = ntu_sequence(30, [(1, range(30), upright(0.8)), (2, range(4), upright(0.5))])
    assert select_bodies(sequence, rule="denoise").notes == (
        "body 2 dropped: seen in 4 frames, at least 12 are needed",
    )


def test_a_single_body_is_kept_whatever_its_length_and_spread():
    choice = select_bodies(ntu_sequence(30, [(1, [3, 4], lying(0.8))]), rule="denoise")
    assert choice.sequence.body_ids.tolist() == [1, -1]
    assert slot_frames(choice, 0) == [3, 4]
    assert choice.notes == ()


def test_when_all_bodies_are_short_the_longest_stays():
    sequence = ntu_sequence(30, [(1, range(3), upright(1)), (2, range(4, 9), upright(0.5))])
    assert select_bodies(sequence, rule="denoise").sequence.body_ids.tolist() == [2, -1]


@pytest.mark.parametrize(("n_noisy", "ids"), [(30, [1, 2]), (31, [1, -1])])
def test_phantom_bodies_that_lie_too_often_are_dropped(n_noisy, ids):
    # 0.69754 * 43 = 29.99, 0.69754 * 44 = 30.69
    T = 44
    poses = np.stack([lying(0.5)] * n_noisy + [upright(0.5)] * (T - n_noisy))
    sequence = ntu_sequence(T, [(1, range(T), upright(0.8)), (2, range(T), poses)])
    assert select_bodies(sequence, rule="denoise").sequence.body_ids.tolist() == ids


def test_the_last_body_left_is_kept_though_it_lies():
    sequence = ntu_sequence(20, [(1, range(20), lying(0.8)), (2, range(20), lying(0.9))])
    assert select_bodies(sequence, rule="denoise").sequence.body_ids.tolist() == [2, -1]


# Intervals (both ends inclusive) and motions of real recordings, and the frames in which a
# published choice leaves the first and the second actor empty.
REAL_PATTERNS = {
    "four ids, two each": (
        88,
        [(0, 34, 0.173205), (0, 34, 0.215548), (35, 87, 0.255947), (75, 87, 0.16119)],
        (0, 40),
    ),
    "third body overlaps both": (
        67,
        [(0, 35, 0.70894), (0, 66, 0.234675), (0, 66, 0.04981)],
        (31, 0),
    ),
    "one short, one follows": (
        89,
        [(0, 75, 0.178257), (0, 75, 0.180913), (76, 88, 0.152926), (81, 88, 0.186682)],
        (0, 13),
    ),
}


@pytest.mark.parametrize(("T", "bodies", "missing"), REAL_PATTERNS.values(), ids=REAL_PATTERNS)
def test_real_patterns_fill_the_actors_as_published(T, bodies, missing):
    sequence = ntu_sequence(
        T,
        [
            (m, range(first, last + 1), upright(np.sqrt(motion / 0.96)))
            for m, (first, last, motion) in enumerate(bodies)
        ],
    )
    present = select_bodies(sequence, rule="denoise").sequence.present
    assert tuple((~present).sum(0)) == missing


def test_a_body_that_leaves_and_returns_under_a_new_id_keeps_its_slot_and_frames():
    sequence = ntu_sequence(60, [(1, range(0, 20), upright(0.8)), (2, range(30, 60), upright(0.5))])
    choice = select_bodies(sequence, rule="denoise")
    assert slot_frames(choice, 0) == [*range(20), *range(30, 60)]
    assert choice.sequence.body_ids.tolist() == [1, -1]
    assert choice.sequence.joints[45, 0, 0, 1] == pytest.approx(-0.5)


def test_a_body_inside_the_gap_of_another_becomes_the_second():
    gap = [*range(20), *range(40, 60)]
    sequence = ntu_sequence(60, [(1, gap, upright(0.8)), (2, range(22, 36), upright(0.5))])
    choice = select_bodies(sequence, rule="denoise")
    assert slot_frames(choice, 0) == gap
    assert slot_frames(choice, 1) == list(range(22, 36))


def test_one_shared_frame_is_an_overlap():
    sequence = ntu_sequence(40, [(1, range(0, 21), upright(0.8)), (2, range(20, 40), upright(0.5))])
    assert select_bodies(sequence, rule="denoise").sequence.body_ids.tolist() == [1, 2]


def test_file_order_takes_the_first_two_to_appear():
    sequence = ntu_sequence(
        40,
        [
            (1, range(10, 40), upright(0.9)),
            (2, range(0, 3), lying(0.1)),
            (3, range(20, 40), upright(1)),
        ],
    )
    choice = select_bodies(sequence, rule="file-order")
    assert choice.sequence.body_ids.tolist() == [2, 1]
    assert choice.notes == ("body 3 dropped: the third or later id to appear",)


def test_pixels_and_tracking_follow_the_body():
    sequence = ntu_sequence(30, [(1, range(30), upright(0.5)), (2, range(15), upright(0.8))])
    chosen = select_bodies(sequence, rule="denoise").sequence
    np.testing.assert_array_equal(chosen.pixels[:, 0], sequence.pixels[:, 1])
    np.testing.assert_array_equal(chosen.tracking[:, 0], sequence.tracking[:, 1])
    np.testing.assert_array_equal(chosen.times, sequence.times)


@pytest.mark.parametrize("rule", BODY_RULES)
def test_no_body_is_said_with_the_source(rule):
    with pytest.raises(NoBodyError, match=r"^clip\.json: none of the 3 frames holds a body$"):
        select_bodies(openpose_sequence([[None]] * 3), rule=rule, source="clip.json")


def test_an_unknown_rule_names_the_rules():
    with pytest.raises(ValueError, match="denoise, file-order, frame, clip, track"):
        select_bodies(openpose_sequence([[(0.5, 1)]]), rule="best")


def test_frame_rule_takes_the_best_two_of_the_first_five():
    people = [(0.1, 0.3), (0.2, 0.9), (0.3, 0.1), (0.4, 0.5), (0.5, 0.2), (0.6, 1.0)]
    choice = select_bodies(openpose_sequence([people]), rule="frame")
    assert slot_xs(choice) == [(0.2, 0.4)]
    assert choice.n_bodies == 6
    assert choice.notes == ("1 frames list more than two people, 6 at most",)


def test_frame_rule_keeps_list_order_when_all_scores_are_zero():
    choice = select_bodies(openpose_sequence([[None, (0.7, 0), (0.2, 0), (0.4, 0)]]), rule="frame")
    assert slot_xs(choice) == [(0.7, 0.2)]


def test_frames_without_people_stay_absent():
    choice = select_bodies(openpose_sequence([[(0.3, 1)], [], [(0.4, 1)]]), rule="frame")
    assert slot_xs(choice) == [(0.3, None), (None, None), (0.4, None)]
    assert choice.sequence.body_ids.tolist() == [-1, -1]


SWAPPING = [[(0.2, 0.9), (0.8, 0.5)], [(0.81, 0.9), (0.21, 0.5)], [(0.82, 0.6)], [(0.22, 0.6)]]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("frame", [(0.2, 0.8), (0.81, 0.21), (0.82, None), (0.22, None)]),
        ("track", [(0.2, 0.8), (0.21, 0.81), (None, 0.82), (0.22, None)]),
        # Summed scores: 0.9 + 0.5 + 0.6 at the left, 0.5 + 0.9 + 0.6 at the right: a tie.
        ("clip", [(0.2, 0.8), (0.21, 0.81), (None, 0.82), (0.22, None)]),
    ],
)
def test_swapping_people(rule, expected):
    assert slot_xs(select_bodies(openpose_sequence(SWAPPING), rule=rule)) == expected


def test_clip_rule_ignores_a_bright_passer_by():
    frames = [[(0.2, 0.5), (0.8, 0.4)]] * 6
    frames[2] = [(0.2, 0.5), (0.5, 0.9), (0.8, 0.4)]
    choice = select_bodies(openpose_sequence(frames), rule="clip")
    assert slot_xs(choice) == [(0.2, 0.8)] * 6
    assert choice.notes == ("1 tracked people of lower joint score dropped",)


def test_track_rule_gives_a_newcomer_the_slot_seen_longest_ago():
    frames = [[(0.1, 1), (0.9, 1)], [(0.9, 1)], [(0.5, 1)]]
    choice = select_bodies(openpose_sequence(frames), rule="track")
    assert slot_xs(choice) == [(0.1, 0.9), (None, 0.9), (0.5, None)]


@st.composite
def crowds(draw):
    place = st.none() | st.tuples(st.sampled_from([0.1, 0.3, 0.5]), st.sampled_from([0.0, 0.5, 1]))
    n_people = draw(st.integers(1, 6))
    frame = st.lists(place, min_size=n_people, max_size=n_people)
    return openpose_sequence(draw(st.lists(frame, min_size=1, max_size=8)))


@given(crowds(), st.sampled_from(["frame", "clip", "track"]))
def test_each_slot_copies_one_person_of_its_own_frame(sequence, rule):
    if not sequence.present[:, :5].any():
        return
    chosen = select_bodies(sequence, rule=rule).sequence
    for t in range(len(sequence)):
        listed = [pose.tobytes() for pose in sequence.joints[t][sequence.present[t]]]
        for pose in chosen.joints[t][chosen.present[t]]:
            listed.remove(pose.tobytes())
        assert not chosen.joints[t][~chosen.present[t]].any()


@given(crowds())
def test_tracking_shows_the_same_people_as_the_frame_rule(sequence):
    if not sequence.present[:, :5].any():
        return
    by_frame, tracked = (select_bodies(sequence, rule=r).sequence for r in ("frame", "track"))
    for a, b in zip(by_frame.joints, tracked.joints, strict=True):
        assert sorted(pose.tobytes() for pose in a) == sorted(pose.tobytes() for pose in b)


def published_actors(text):
    """Parse the rows of the body list and of the two actors: (id, first, last, motion)."""
    rows = re.findall(r"^(\d+)\t\[(\d+), (\d+)\]\s+([\d.]+)", text, re.MULTILINE)
    return [(int(i), int(a), int(b), motion) for i, a, b, motion in rows]


@pytest.mark.parametrize("name", NTU_SAMPLES)
def test_real_recordings_agree_with_the_published_actors(samples_dir, name):
    from toolkit.readers.ntu_skeleton import read_ntu_skeleton

    sequence = read_ntu_skeleton(samples_dir / "ntu_skeleton" / f"{name}.skeleton")
    rows = published_actors((samples_dir / "ntu_expected" / f"{name}.actors.txt").read_text())
    facts = [(f.body_id, f.first, f.last, f"{f.motion:.6f}") for f in list_body_facts(sequence)]
    assert facts == rows[:2]
    chosen = select_bodies(sequence, rule="denoise").sequence
    assert chosen.body_ids.tolist() == [row[0] for row in rows[2:]]
