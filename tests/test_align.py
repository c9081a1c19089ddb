import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.align import match_nearest


def matched(pose_times, frame_times):
    """Return the number of the frame chosen for every pose, and the drifts."""
    frames = ((time, number) for number, time in enumerate(frame_times))
    matches = list(match_nearest(pose_times, frames))
    return [m.frame for m in matches], [m.drift_s for m in matches]


@pytest.mark.parametrize(
    ("pose_times", "frame_times", "chosen"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]),
        ([0, 1, 2, 3, 4], [0, 2, 4], [0, 0, 1, 1, 2]),  # ties go to the earlier frame
        ([0, 2, 4], [0, 1, 2, 3, 4], [0, 2, 4]),
        ([0, 1, 2, 3], [0, 1], [0, 1, 1, 1]),  # the video ends first
        ([0, 1], [0, 1, 2, 3], [0, 1]),  # the poses end first
        ([0, 1, 2], [1.6, 2.2], [0, 0, 1]),  # the video begins late
        ([5, 6], [0, 1], [1, 1]),  # the video is over before the first pose
        ([0, 1, 2], [0.75], [0, 0, 0]),
        ([0.5], [0.25, 0.75], [0]),
        ([0.5, 0.625], [0.25, 0.875], [0, 1]),
        ([], [0, 1], []),
        ([0, 1], [], []),
    ],
)
def test_matches_worked_out_by_hand(pose_times, frame_times, chosen):
    assert matched(pose_times, frame_times)[0] == chosen


def test_drift_is_the_time_of_the_frame_less_that_of_the_pose():
    drifts = matched([0, 1, 2, 3], [0.25, 0.875, 2])[1]
    assert drifts == [0.25, -0.125, 0, -1]


def test_thirty_poses_a_second_from_twenty_five_frames():
    # Pose i stands at i / 30 s, frame j at j / 25 s: j = 5 i / 6 to the nearest, halves down.
    chosen, drifts = matched([i / 30 for i in range(13)], [j / 25 for j in range(11)])
    assert chosen == [0, 1, 2, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10]
    assert max(map(abs, drifts)) == pytest.approx(1 / 50)


def test_equal_counts_at_one_rate_have_no_drift_at_all():
    times = [i / 30 for i in range(300)]
    assert matched(times, times) == (list(range(300)), [0.0] * 300)


rising = st.lists(st.integers(0, 10_000), unique=True).map(sorted)


@given(rising, rising)
def test_every_pose_gets_the_earliest_of_the_nearest_frames(pose_times, frame_times):
    expected = [
        min(range(len(frame_times)), key=lambda i, t=t: (abs(frame_times[i] - t), i))
        for t in pose_times
        if frame_times
    ]
    assert matched(pose_times, frame_times)[0] == expected


@given(rising, rising)
def test_the_frames_are_read_once_and_to_their_end(pose_times, frame_times):
    frames = iter([(time, None) for time in frame_times])
    for _ in match_nearest(pose_times, frames):
        pass
    assert next(frames, "none left") == "none left"


class Frame:
    """A thing that can be counted while it lives."""


def test_no_more_than_two_frames_are_alive():
    alive = weakref.WeakSet()
    most = 0

    def decode():
        nonlocal most
        for time in range(50):
            frame = Frame()
            alive.add(frame)
            most = max(most, len(alive))
            yield time, frame
            # The decoder's own hold must not be what keeps the frame.
            del frame

    for match in match_nearest([0, 10, 20, 70], decode()):
        del match
    assert most == 2


def test_a_match_can_be_used_while_the_video_is_read():
    seen = []

    def decode():
        for time in range(3):
            seen.append(f"decoded {time}")
            yield time, time

    for match in match_nearest([0, 1, 2], decode()):
        seen.append(f"used {match.frame}")
    assert seen == ["decoded 0", "decoded 1", "used 0", "decoded 2", "used 1", "used 2"]
