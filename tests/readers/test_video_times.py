"""When each picture of a video is shown."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from read_videos import times_of
from video_builders import (
    H264,
    XVID,
    gray_pictures,
    write_sound,
    write_video,
)

from toolkit.readers.video import PresentationClock, VideoReader

MS = Fraction(1, 1000)


def test_varying_frame_rate_keeps_its_times(tmp_path):
    recipe = replace(H264, ticks=[0, 10, 50, 51, 90], tick_s=MS)
    path = write_video(tmp_path / "v.mp4", gray_pictures(5), recipe)
    assert times_of(path) == pytest.approx([0.0, 0.010, 0.050, 0.051, 0.090], abs=1e-9)


@pytest.mark.parametrize("b_frames", [0, 1])
def test_dropped_chunks_of_an_avi_leave_gaps(tmp_path, b_frames):
    recipe = replace(XVID, ticks=[0, 1, 4, 5, 8, 9, 10], b_frames=b_frames)
    path = write_video(tmp_path / "v.avi", gray_pictures(7), recipe)
    assert times_of(path) == pytest.approx([t / 30 for t in (0, 1, 4, 5, 8, 9, 10)])


def test_pictures_that_begin_after_the_sound_keep_the_offset(tmp_path):
    recipe = replace(H264, ticks=[15, 16, 17])
    path = write_sound(tmp_path / "v.mkv", gray_pictures(3), recipe)
    assert times_of(path) == pytest.approx([0.5, 0.533, 0.567], abs=1e-9)


def test_a_file_that_begins_late_as_a_whole_is_counted_from_its_begin(tmp_path):
    recipe = replace(H264, ticks=[45, 46, 47])
    path = write_sound(tmp_path / "v.mkv", gray_pictures(3), recipe, begin_s=1)
    assert times_of(path) == pytest.approx([0.5, 0.533, 0.567], abs=1e-9)


def test_no_picture_is_before_the_begin(tmp_path):
    path = write_sound(tmp_path / "v.mkv", gray_pictures(3), begin_s=1)
    assert times_of(path) == pytest.approx([0.0, 0.033, 0.067], abs=1e-9)


def test_times_that_do_not_rise_are_repaired_and_counted(tmp_path):
    recipe = replace(H264, ticks=[0, 40_000, 40_100, 120_000], tick_s=Fraction(1, 10**6), rate=25)
    path = write_video(tmp_path / "v.mkv", gray_pictures(4), recipe)  # rounds to milliseconds
    with VideoReader(path) as video:
        assert [frame.time_s for frame in video] == pytest.approx([0.0, 0.04, 0.08, 0.12])
        assert video.n_repaired_times == 1


def test_missing_times_come_from_the_rate(tmp_path):
    path = write_video(tmp_path / "v.h264", gray_pictures(4))  # FFmpeg assumes 25 a second
    with VideoReader(path) as video:
        assert [frame.time_s for frame in video] == pytest.approx([0.0, 0.04, 0.08, 0.12])
        assert video.n_repaired_times == 4


@pytest.mark.parametrize(
    ("told", "times", "n_repaired"),
    [
        ([0.0, 0.5, 2.5], [0.0, 0.5, 2.5], 0),
        ([0.5, 1.5], [0.5, 1.5], 0),
        ([None, None, None], [0.0, 1.0, 2.0], 3),
        ([0.0, None, 2.5], [0.0, 1.0, 2.5], 1),
        ([0.0, 0.0, 0.5, 2.5], [0.0, 1.0, 2.0, 2.5], 2),
        ([4.0, 0.0, 1.0, 7.0], [4.0, 5.0, 6.0, 7.0], 2),
    ],
)
def test_clock(told, times, n_repaired):
    clock = PresentationClock(step_s=1.0)
    assert [clock.read(t) for t in told] == times
    assert clock.n_repaired == n_repaired


@given(
    st.lists(st.none() | st.floats(-1e4, 1e4), max_size=30),
    st.floats(1e-3, 1.0),
)
def test_the_clock_always_rises(told, step_s):
    clock = PresentationClock(step_s)
    times = [clock.read(t) for t in told]
    assert all(b > a for a, b in pairwise(times))
    kept = sum(time == t for time, t in zip(times, told, strict=True))
    assert kept + clock.n_repaired >= len(told)
