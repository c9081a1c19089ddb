import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.clips import CLIP_LENGTH, loop, tile


def test_a_clip_has_sixteen_frames():
    assert CLIP_LENGTH == 16


@pytest.mark.parametrize(
    ("n_frames", "starts", "valid"),
    [
        (1, [0], [1]),
        (15, [0], [15]),
        (16, [0], [16]),
        (17, [0, 16], [16, 1]),
        (32, [0, 16], [16, 16]),
        (103, [0, 16, 32, 48, 64, 80, 96], [16, 16, 16, 16, 16, 16, 7]),
    ],
)
def test_tiles_worked_out_by_hand(n_frames, starts, valid):
    found = tile(n_frames)
    assert (found[0].tolist(), found[1].tolist()) == (starts, valid)


def test_tiles_are_typed_as_stored():
    starts, valid = tile(20)
    assert (starts.dtype, valid.dtype) == (np.int64, np.uint8)


@given(st.integers(1, 2000), st.integers(1, 255))
def test_every_frame_is_in_exactly_one_clip(n_frames, length):
    starts, valid = tile(n_frames, length)
    clips = zip(starts.tolist(), valid.tolist(), strict=True)
    assert [t for start, n in clips for t in range(start, start + n)] == list(range(n_frames))


@given(st.integers(1, 2000), st.integers(1, 255))
def test_only_the_last_clip_may_be_short(n_frames, length):
    valid = tile(n_frames, length)[1]
    assert np.all(valid[:-1] == length)
    assert 1 <= valid[-1] <= length


@pytest.mark.parametrize(("n_frames", "length"), [(0, 16), (-1, 16), (5, 0), (5, 256)])
def test_what_cannot_be_cut_is_refused(n_frames, length):
    with pytest.raises(ValueError, match=f"cannot cut {n_frames} frames into clips of {length}"):
        tile(n_frames, length)


@pytest.mark.parametrize(
    ("start", "n_valid", "length", "frames"),
    [
        (0, 1, 3, [0, 0, 0]),
        (32, 3, 8, [32, 33, 34, 32, 33, 34, 32, 33]),
        (4, 5, 5, [4, 5, 6, 7, 8]),
        (4, 9, 3, [4, 5, 6]),
        (7, 7, 16, [7, 8, 9, 10, 11, 12, 13, 7, 8, 9, 10, 11, 12, 13, 7, 8]),
    ],
)
def test_loops_worked_out_by_hand(start, n_valid, length, frames):
    assert loop(start, n_valid, length).tolist() == frames


def test_a_loop_over_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one valid frame, got 0"):
        loop(3, 0)
