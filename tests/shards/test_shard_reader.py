from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import LENGTHS, frames_of, grey_of, value_of, write_shard

from toolkit.errors import ShardError
from toolkit.shards import ShardReader

OPEN_FILES = Path("/proc/self/fd")


def test_a_shard_tells_its_samples(reader):
    assert len(reader) == 5
    assert reader.sample_ids == ["s0", "s1", "s2", "s3", "s4"]
    assert reader.labels.tolist() == [10, 11, 12, 13, 14]
    assert reader.n_frames.tolist() == list(LENGTHS)
    assert reader.layout.name == "ntu25"
    assert reader.has_pictures


@pytest.mark.parametrize("sample", range(5))
def test_a_sample_is_all_its_frames(reader, sample):
    assert frames_of(reader.sample(sample), sample) == list(range(LENGTHS[sample]))


@pytest.mark.parametrize(
    ("sample", "start", "frames"),
    [
        (0, 0, [0, 1, 2] * 5 + [0]),
        (1, 0, list(range(16))),
        (2, 0, list(range(16))),
        (2, 24, list(range(24, 40))),
        (3, 17, list(range(17, 33))),
        (4, 0, [*range(11), *range(5)]),
    ],
)
def test_windows_worked_out_by_hand(reader, sample, start, frames):
    assert frames_of(reader.window(sample, start), sample) == frames


@pytest.mark.parametrize(
    ("length", "frames"), [(1, [1]), (2, [1, 2]), (5, [0, 1, 2, 0, 1]), (3, [0, 1, 2])]
)
def test_a_window_may_have_another_length(reader, length, frames):
    assert frames_of(reader.window(0, frames[0], length), 0) == frames


@settings(max_examples=40)
@given(data=st.data())
def test_a_window_is_a_slice_or_a_loop(path, data):
    sample = data.draw(st.integers(0, 4))
    length = data.draw(st.integers(1, 50))
    start = data.draw(st.integers(0, max(0, LENGTHS[sample] - length)))
    with ShardReader(path) as reader:
        window = reader.window(sample, start, length)
    n_valid = min(length, LENGTHS[sample])
    assert frames_of(window, sample) == [start + t % n_valid for t in range(length)]


@pytest.mark.parametrize(
    ("sample", "start"), [(0, 1), (0, -1), (1, 1), (2, 25), (2, -1), (4, 1), (3, 18)]
)
def test_a_window_never_leaves_its_sample(reader, sample, start):
    with pytest.raises(IndexError, match=f"sample {sample} has {LENGTHS[sample]} frames"):
        reader.window(sample, start)


@pytest.mark.parametrize("length", [0, -1])
def test_a_window_has_a_frame(reader, length):
    with pytest.raises(ValueError, match=f"a window needs at least one frame, got {length}"):
        reader.window(2, 0, length)


@pytest.mark.parametrize(
    ("clip", "sample", "frames"),
    [
        (0, 0, [0, 1, 2] * 5 + [0]),
        (1, 1, list(range(16))),
        (3, 2, list(range(16, 32))),
        (4, 2, [*range(32, 40), *range(32, 40)]),
        (7, 3, [32] * 16),
        (8, 4, [*range(11), *range(5)]),
    ],
)
def test_clips_worked_out_by_hand(reader, clip, sample, frames):
    assert reader.n_clips == 9
    assert frames_of(reader.clip(clip), sample) == frames


def test_clips_belong_to_their_samples(reader):
    assert [reader.clips_of(i).tolist() for i in range(5)] == [
        [0], [1], [2, 3, 4], [5, 6, 7], [8]
    ]  # fmt: skip


@pytest.mark.parametrize("number", [-1, 5])
@pytest.mark.parametrize("read", ["sample", "clips_of", "window"])
def test_a_sample_that_is_not_there_is_refused(reader, read, number):
    arguments = (number, 0) if read == "window" else (number,)
    with pytest.raises(IndexError, match=f"has 5 samples, no number {number}"):
        getattr(reader, read)(*arguments)


@pytest.mark.parametrize("number", [-1, 9])
def test_a_clip_that_is_not_there_is_refused(reader, number):
    with pytest.raises(IndexError, match=f"has 9 clips, no number {number}"):
        reader.clip(number)


def test_types_and_axes_of_a_window(reader):
    window = reader.window(2, 5)
    told = {name: (str(a.dtype), a.shape) for name, a in vars(window).items() if name != "frames"}
    assert told == {
        "joints": ("float32", (16, 2, 25, 3)),
        "present": ("uint8", (16, 2)),
        "tracking": ("uint8", (16, 2, 25)),
        "pixels": ("float32", (16, 2, 25, 2)),
        "video_index": ("int32", (16,)),
        "drift_s": ("float32", (16,)),
    }
    assert len(window) == len(window.jpegs) == 16


def test_what_was_read_may_be_changed_in_place(reader):
    window = reader.window(2, 5)
    window.joints[:] = 0
    assert reader.window(2, 5).joints[0, 0, 0, 0] == value_of(2, 5)


def test_pictures_decode_to_their_greys(reader):
    pictures = reader.window(2, 4).pictures()
    assert pictures.shape == (16, 16, 24, 3)
    means = [round(picture.mean()) for picture in pictures]
    assert means == pytest.approx([grey_of(2, t) for t in range(4, 20)], abs=1)


def test_a_skeleton_only_window_has_no_pictures(tmp_path):
    with ShardReader(write_shard(tmp_path / "00000.h5", [20], pictures=False)) as reader:
        window = reader.window(0, 3)
    assert list(window.jpegs) == []
    with pytest.raises(ValueError, match="skeleton-only"):
        window.pictures()


def test_a_clip_that_is_damaged_meanwhile_is_refused(tmp_path):
    path = write_shard(tmp_path / "00000.h5", [20, 20], pictures=False)
    with ShardReader(path) as reader:
        reader.clip(1)
        start = reader._index.places["clip/start"]
        with path.open("r+b") as file:
            file.seek(start.offset + start.row_bytes)
            file.write((-9).to_bytes(8, "little", signed=True))
        with pytest.raises(ShardError, match="clip/start: expected clips inside their samples"):
            reader.clip(1)
        assert len(reader.clip(0).joints) == 16
