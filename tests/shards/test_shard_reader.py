import multiprocessing
import os
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import LENGTHS, grey_of, marked_jpeg, value_of, write_shard

from toolkit.errors import ShardError
from toolkit.shards import ShardReader
from toolkit.shards import index as shard_index
from toolkit.shards import reader as shard_reader
from toolkit.shards.index import open_again, open_shard

OPEN_FILES = Path("/proc/self/fd")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_shard(tmp_path_factory.mktemp("shards") / "00000.h5")


@pytest.fixture
def reader(path):
    with ShardReader(path) as reader:
        yield reader


def frames_of(window, sample):
    """Return the frame numbers that a window's tables say it holds; they must all agree."""
    frames = [round(v) - value_of(sample, 0) for v in window.joints[:, 0, 0, 0].tolist()]
    assert frames == [v - value_of(sample, 0) for v in window.video_index.tolist()]
    marks = np.array(frames) + value_of(sample, 0)
    np.testing.assert_array_equal(
        window.joints, np.broadcast_to(window.joints[:, :1, :1, :1], window.joints.shape)
    )
    np.testing.assert_array_equal(window.present, np.stack([marks % 2 == 0, marks % 3 == 0], 1))
    np.testing.assert_allclose(window.pixels[:, 1, 24, 1], marks / 1000, rtol=1e-6)
    np.testing.assert_allclose(window.drift_s, marks / 1e4, rtol=1e-6)
    np.testing.assert_array_equal(window.tracking[:, 1, 24], marks % 3)
    assert [bytes(j) for j in window.jpegs] == [marked_jpeg(sample, t) for t in frames]
    return frames


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


def test_what_a_resting_reader_holds_is_as_large_as_it_says(tmp_path):
    path = write_shard(tmp_path / "00000.h5", [5] * 300, pictures=False)
    resting = []
    tracemalloc.start()
    try:
        for _ in range(12):
            reader = ShardReader(path)
            assert len(reader) == 300
            reader.rest()
            resting.append((reader, tracemalloc.get_traced_memory()[0]))
    finally:
        tracemalloc.stop()
    # The first two also take what is made once.
    held = (resting[-1][1] - resting[1][1]) / 10
    assert reader.nbytes == pytest.approx(held, rel=0.25)


def test_a_slower_thread_leaves_no_handle_open(tmp_path, monkeypatch):
    reader = ShardReader(write_shard(tmp_path / "00000.h5", [20], pictures=False))
    handles = []

    def open_meanwhile(path):
        opened = open_shard(path)
        handles.append(opened[0])
        if len(handles) == 1:
            # What another thread does in between.
            assert len(reader) == 1
        return opened

    monkeypatch.setattr(shard_reader, "open_shard", open_meanwhile)
    assert len(reader) == 1
    reader.close()
    assert len(handles) == 2
    for handle in handles:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(handle)


def test_a_file_that_its_server_loses_meanwhile_is_looked_into_again(tmp_path, monkeypatch):
    path = write_shard(tmp_path / "00000.h5", [20], pictures=False)
    handle, index = open_shard(path)
    os.close(handle)
    n_open = len(list(OPEN_FILES.iterdir()))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", lambda _: (tmp_path / "gone").stat())
        assert open_again(path, index) is None
    assert len(list(OPEN_FILES.iterdir())) == n_open


def test_a_reader_opens_late_and_again(tmp_path):
    reader = ShardReader(tmp_path / "00000.h5")
    write_shard(tmp_path / "00000.h5", [4])
    assert len(reader) == 1
    reader.close()
    assert frames_of(reader.sample(0), 0) == [0, 1, 2, 3]
    reader.close()


def test_a_resting_reader_sees_another_file_of_the_same_name(tmp_path):
    path = write_shard(tmp_path / "00000.h5", [4])
    with ShardReader(path) as reader:
        reader.sample(0)
        reader.rest()
        assert frames_of(reader.sample(0), 0) == [0, 1, 2, 3]
        reader.rest()
        write_shard(tmp_path / "new.h5", [5, 2]).replace(path)
        assert reader.n_frames.tolist() == [5, 2]
        assert frames_of(reader.sample(1), 1) == [0, 1]
        reader.rest()
        path.unlink()
        with pytest.raises(ShardError, match="expected a shard, found none; the command"):
            reader.sample(0)


@pytest.mark.parametrize("told", ["st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns"])
def test_what_tells_a_resting_readers_file_from_another(tmp_path, monkeypatch, told):
    path, fstat = write_shard(tmp_path / "00000.h5", [4]), os.fstat
    fields = ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")

    def another(handle):
        info = fstat(handle)
        return SimpleNamespace(**{f: getattr(info, f) + (f == told) for f in fields})

    with ShardReader(path) as reader:
        labels = reader.labels
        reader.rest()
        assert reader.labels is labels
        reader.rest()
        monkeypatch.setattr(os, "fstat", another)
        assert reader.labels is not labels


def test_a_pipe_in_the_place_of_a_resting_readers_file_is_not_waited_for(tmp_path):
    path = write_shard(tmp_path / "00000.h5", [4])
    with ShardReader(path) as reader:
        assert len(reader) == 1
        reader.rest()
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(ShardError, match="expected a shard, found a pipe or a device"):
            reader.sample(0)


def test_a_shard_that_is_replaced_while_it_is_looked_into_is_read_as_one_file(
    tmp_path, monkeypatch
):
    path, new = (write_shard(tmp_path / name, [n]) for name, n in (("0.h5", 4), ("1.h5", 9)))
    find_tables = shard_index._find_tables

    def replaced(*arguments):
        if new.exists():
            new.replace(path)
        return find_tables(*arguments)

    monkeypatch.setattr(shard_index, "_find_tables", replaced)
    with ShardReader(path) as reader:
        assert reader.n_frames.tolist() == [4]
        assert frames_of(reader.sample(0), 0) == [0, 1, 2, 3]
        reader.rest()
        assert reader.n_frames.tolist() == [9]


def open_files():
    return sum(1 for _ in OPEN_FILES.iterdir())


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="counts open files in /proc")
def test_closing_gives_the_file_back(path):
    before = open_files()
    with ShardReader(path) as reader:
        reader.sample(0)
        assert open_files() == before + 1
        reader.rest()
        assert open_files() == before
        reader.sample(0)
        assert open_files() == before + 1
    assert open_files() == before


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="counts open files in /proc")
def test_a_forgotten_reader_gives_the_file_back(path):
    before = open_files()
    reader = ShardReader(path)
    reader.sample(0)
    del reader
    assert open_files() == before


def test_an_open_reader_travels_by_pickle(reader):
    reader.sample(0)
    data = pickle.dumps(reader)
    assert len(data) < 500
    with pickle.loads(data) as other:
        assert frames_of(other.window(2, 7), 2) == list(range(7, 23))


def read_in_child(reader, results):
    results.put(frames_of(reader.window(2, 7), 2))
    reader.close()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_an_open_reader_survives_a_fork(reader):
    context = multiprocessing.get_context("fork")
    expected = frames_of(reader.window(2, 7), 2)
    results = context.SimpleQueue()
    children = [context.Process(target=read_in_child, args=(reader, results)) for _ in range(2)]
    for child in children:
        child.start()
    found = [results.get() for _ in children]
    for child in children:
        child.join()
    assert found == [expected] * 2
    assert frames_of(reader.window(2, 7), 2) == expected


def test_threads_may_share_a_reader(reader):
    reader.sample(0)
    places = [(s, t) for s in (2, 3) for t in range(17)] * 3
    with ThreadPoolExecutor(4) as pool:
        windows = list(pool.map(lambda place: reader.window(*place), places))
    found = [frames_of(w, s) for w, (s, _) in zip(windows, places, strict=True)]
    assert found == [list(range(t, t + 16)) for _, t in places]


def test_a_shard_cut_short_behind_our_back_is_told(tmp_path):
    path = write_shard(tmp_path / "00000.h5", [40])
    with ShardReader(path) as reader:
        assert len(reader) == 1
        os.truncate(path, 4000)
        with pytest.raises(ShardError, match=r"00000\.h5: byte \d+: expected \d+ bytes, found"):
            reader.sample(0)


@pytest.mark.parametrize("edge", [-1, 0, 10**12])
def test_boundaries_damaged_behind_our_back_are_told(tmp_path, edge):
    path = write_shard(tmp_path / "00000.h5", [40])
    with ShardReader(path) as reader:
        assert len(reader) == 1
        with h5py.File(path, "r+") as file:
            file["rgb/offset"][21] = edge
        assert len(reader.window(0, 0)) == 16
        with pytest.raises(ShardError, match=r"rgb/offset: expected boundaries rising from 0 to "):
            reader.window(0, 5)
