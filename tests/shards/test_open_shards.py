"""What a reader holds: its file, what it knows of it, and both across threads and forks."""

import multiprocessing
import os
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import h5py
import pytest
from stored import frames_of, write_h264_shard, write_shard

from toolkit.errors import ShardError
from toolkit.shards import ShardReader
from toolkit.shards import index as shard_index
from toolkit.shards import reader as shard_reader
from toolkit.shards.index import open_again, open_shard

OPEN_FILES = Path("/proc/self/fd")


def write_skeletons(path, lengths):
    return write_shard(path, lengths, pictures=False)


@pytest.mark.parametrize("write", [write_skeletons, write_h264_shard])
def test_what_a_resting_reader_holds_is_as_large_as_it_says(tmp_path, write):
    path = write(tmp_path / "00000.h5", [5] * 300)
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
