"""Which bytes hold a frame: any window of any samples, against the plain table of boundaries."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import ShardError
from toolkit.shards.frames import NO_FRAMES
from toolkit.shards.stores import GroupStore, JpegStore, check_frames, count_groups

PATH = Path("00000.h5")


@pytest.mark.parametrize(
    ("rows", "groups"),
    [([0], []), ([0, 1], [1]), ([0, 16, 33], [1, 2]), ([0, 32, 32 + 15], [2, 1])],
)
def test_groups_are_counted_by_sample(rows, groups):
    assert count_groups(np.array(rows)).tolist() == groups


@st.composite
def windows(draw):
    """Draw samples, frames of a few bytes each, and a window in one of the samples."""
    lengths = draw(st.lists(st.integers(1, 50), min_size=1, max_size=5))
    rows = np.cumsum([0, *lengths])
    sizes = draw(st.lists(st.integers(1, 3), min_size=int(rows[-1]), max_size=int(rows[-1])))
    sample = draw(st.integers(0, len(lengths) - 1))
    start = draw(st.integers(0, lengths[sample] - 1))
    n_frames = draw(st.integers(1, lengths[sample] - start))
    return rows, np.cumsum([0, *sizes]), sample, start, n_frames


@given(windows())
def test_a_window_is_made_of_its_own_bytes(drawn):
    rows, offset, sample, start, n_frames = drawn
    data = memoryview(bytes(i % 251 for i in range(int(offset[-1]))))
    n_groups = int(count_groups(rows).sum())
    columns = {
        "sample/row": rows,
        "rgb/size": np.array([[8, 6]] * (len(rows) - 1)),
        "rgb/crc32": np.arange(n_groups),
    }
    ids = [f"s{s}" for s in range(len(rows) - 1)]
    first = int(rows[sample]) + start
    wanted = [data[offset[f] : offset[f + 1]] for f in range(first, first + n_frames)]
    for store in (JpegStore(), GroupStore(PATH, ids, columns)):
        frames = store.read(
            first, n_frames, lambda f, n: [data[a:b] for a, b in pairwise(offset[f : f + n + 1])]
        )
        assert list(frames.stored) == wanted
        order = [n_frames - 1, 0, n_frames // 2]
        assert list(frames.take(order).stored) == [wanted[i] for i in order]


def test_groups_know_where_they_are():
    rows = np.array([0, 20, 60])
    columns = {
        "sample/row": rows,
        "rgb/size": np.array([[8, 6], [10, 4]]),
        "rgb/crc32": np.array([100, 101, 102, 103, 104]),
    }
    store = GroupStore(PATH, ["a", "b"], columns)
    frames = store.read(20 + 30, 10, lambda first, n: [memoryview(b"x")] * n)
    told = [(g.sample_id, g.first, g.size, g.crc32, len(g.packets)) for g in frames._groups]
    assert told == [("b", 16, (10, 4), 103, 16), ("b", 32, (10, 4), 104, 8)]


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (1 << 20, 1 << 20)])
def test_sizes_that_no_picture_has(size):
    with pytest.raises(ShardError, match=r"rgb/size: expected width and height of 1 to"):
        check_frames(PATH, {"rgb/size": np.array([(8, 6), size], np.int32)})


def test_sizes_that_may_be():
    check_frames(PATH, {})
    check_frames(PATH, {"rgb/size": np.zeros((0, 2), np.int32)})
    check_frames(PATH, {"rgb/size": np.array([(8192, 8192)], np.int32)})


def test_no_frames_are_frames_too():
    assert len(NO_FRAMES) == 0
    assert not NO_FRAMES.jpegs
    assert not NO_FRAMES.take([]).stored
