import dataclasses
import hashlib
import signal

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from stored import marked_jpeg, marked_sample, value_of, write_shard

from toolkit.aligned import AlignedSample
from toolkit.shards import ShardReader, writer
from toolkit.shards.schema import tables
from toolkit.shards.writer import ShardWriter
from toolkit.skeleton import NTU25, OPENPOSE18, SkeletonLayout, SkeletonSequence

STICK = SkeletonLayout("stick", ("a", "b", "c"), ((0, 1), (1, 2)), 0)


@st.composite
def samples(draw):
    """Draw a sample of three joints with any numbers in it, NaN and infinity included."""
    T = draw(st.integers(1, 24))
    numbers = st.floats(width=32)

    def table(dtype, *rest, elements=None):
        return draw(hnp.arrays(dtype, (T, *rest), elements=elements))

    poses = SkeletonSequence(
        layout=STICK,
        joints=table(np.float32, 2, 3, 3, elements=numbers),
        present=table(np.bool_, 2),
        times=np.arange(T, dtype=np.float64),
        pixels=table(np.float32, 2, 3, 2, elements=numbers),
        body_ids=np.array([1, 2]),
        tracking=table(np.uint8, 2, 3),
    )
    name = draw(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))
    label = draw(st.integers(-1, 2**31 - 1))
    return AlignedSample(name, label, poses, table(np.int32), table(np.float32, elements=numbers))


@settings(max_examples=20, deadline=None)
@given(st.lists(samples(), max_size=3), st.booleans())
def test_what_is_written_is_read(tmp_path_factory, stored, pictures):
    path = tmp_path_factory.mktemp("shard") / "00000.h5"
    jpegs = [[bytes([255, i % 256, i // 256]) for i in range(len(s.poses))] for s in stored]
    with ShardWriter(path, STICK, pictures=pictures) as writer:
        for sample, frames in zip(stored, jpegs, strict=True):
            with writer.sample_pictures() as add:
                for jpeg in frames if pictures else ():
                    add(jpeg)
            writer.add(sample)
    with ShardReader(path) as reader:
        assert reader.layout == STICK
        assert reader.has_pictures is pictures
        assert reader.sample_ids == [s.sample_id for s in stored]
        assert reader.labels.tolist() == [s.label for s in stored]
        assert reader.n_frames.tolist() == [len(s.poses) for s in stored]
        for i, sample in enumerate(stored):
            window = reader.sample(i)
            np.testing.assert_array_equal(window.joints, sample.poses.joints)
            np.testing.assert_array_equal(window.present, sample.poses.present)
            np.testing.assert_array_equal(window.tracking, sample.poses.tracking)
            np.testing.assert_array_equal(window.pixels, sample.poses.pixels)
            np.testing.assert_array_equal(window.video_index, sample.video_index)
            np.testing.assert_array_equal(window.drift_s, sample.drift_s)
            assert [bytes(j) for j in window.jpegs] == (jpegs[i] if pictures else [])


@pytest.mark.parametrize("pictures", [True, False])
def test_equal_samples_give_equal_bytes(tmp_path, pictures):
    paths = [
        write_shard(tmp_path / name, pictures=pictures) for name in ("00000.h5", ".00001.writing")
    ]
    first, second = (hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)
    assert first == second


def test_nothing_in_the_file_tells_the_time(tmp_path):
    with h5py.File(write_shard(tmp_path / "00000.h5")) as file:
        times = [h5py.h5g.get_objinfo(file[name].id).mtime for name in tables(NTU25)]
    assert times == [0] * len(times)


def test_plain_h5py_reads_all_of_it(tmp_path):
    """Read a shard by the documented layout alone, without a line of ours."""
    write_shard(tmp_path / "00000.h5")
    with h5py.File(tmp_path / "00000.h5") as file:
        rows = file["sample/row"][:].tolist()
        assert rows == [0, 3, 19, 59, 92, 103]
        assert [name.decode() for name in file["sample/id"][:]] == ["s0", "s1", "s2", "s3", "s4"]
        assert file["sample/label"][:].tolist() == [10, 11, 12, 13, 14]
        assert file["clip/sample"][:].tolist() == [0, 1, 2, 2, 2, 3, 3, 3, 4]
        assert file["clip/start"][:].tolist() == [0, 3, 19, 35, 51, 59, 75, 91, 92]
        assert file["clip/n_valid"][:].tolist() == [3, 16, 16, 16, 8, 16, 16, 1, 11]
        frame = rows[2] + 7
        assert file["skeleton/joints"][frame, 1, 24, 2] == value_of(2, 7)
        assert file["skeleton/pixels"][frame, 0, 0, 0] == np.float32(0.207)
        assert file["skeleton/present"][frame].tolist() == [0, 1]
        assert file["skeleton/tracking"][frame, 0, 0] == 207 % 3
        assert file["frame/video_index"][frame] == 207
        begin, end = file["rgb/offset"][frame : frame + 2]
        assert file["rgb/data"][begin:end].tobytes() == marked_jpeg(2, 7)


def test_the_tables_are_those_of_the_format(tmp_path):
    with h5py.File(write_shard(tmp_path / "00000.h5")) as file:
        found = {}
        file.visititems(
            lambda name, item: (
                found.update({name: (item.dtype.str, item.shape)})
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
        n_bytes = file["rgb/offset"][-1]
    assert found == {
        "sample/id": ("|S2", (5,)),
        "sample/row": ("<i8", (6,)),
        "sample/label": ("<i4", (5,)),
        "clip/sample": ("<i4", (9,)),
        "clip/start": ("<i8", (9,)),
        "clip/n_valid": ("|u1", (9,)),
        "frame/video_index": ("<i4", (103,)),
        "frame/drift_s": ("<f4", (103,)),
        "skeleton/joints": ("<f4", (103, 2, 25, 3)),
        "skeleton/present": ("|u1", (103, 2)),
        "skeleton/tracking": ("|u1", (103, 2, 25)),
        "skeleton/pixels": ("<f4", (103, 2, 25, 2)),
        "rgb/offset": ("<i8", (104,)),
        "rgb/data": ("|u1", (n_bytes,)),
    }


def test_every_table_lies_in_one_piece(tmp_path):
    with h5py.File(write_shard(tmp_path / "00000.h5")) as file:
        assert all(file[name].chunks is None for name in tables(NTU25))
        assert all(file[name].id.get_offset() > 0 for name in tables(NTU25))


def test_a_skeleton_only_shard_has_no_picture_tables(tmp_path):
    with h5py.File(write_shard(tmp_path / "00000.h5", pictures=False)) as file:
        assert "rgb" not in file


def test_joint_counts_follow_the_layout(tmp_path):
    path = write_shard(tmp_path / "00000.h5", [4], layout=OPENPOSE18)
    with ShardReader(path) as reader:
        assert reader.layout == OPENPOSE18
        assert reader.sample(0).joints.shape == (4, 2, 18, 3)


def test_a_shard_of_no_samples_can_be_written_and_read(tmp_path):
    with ShardReader(write_shard(tmp_path / "00000.h5", [])) as reader:
        assert (len(reader), reader.n_clips, reader.sample_ids) == (0, 0, [])
        assert reader.has_pictures


def test_pictures_of_a_failed_sample_are_forgotten(tmp_path):
    path = tmp_path / "00000.h5"
    with ShardWriter(path, NTU25, pictures=True) as writer:
        for sample, fails in enumerate((False, True, False)):
            try:
                with writer.sample_pictures() as add:
                    for t in range(5):
                        add(marked_jpeg(sample, t))
                    if fails:
                        raise OSError("the recording breaks off")
            except OSError:
                continue
            writer.add(marked_sample(sample, 5))
    with ShardReader(path) as reader:
        assert reader.sample_ids == ["s0", "s2"]
        stored = [bytes(jpeg) for i in range(2) for jpeg in reader.sample(i).jpegs]
    assert stored == [marked_jpeg(i, t) for i in (0, 2) for t in range(5)]


def test_a_failed_sample_leaves_no_trace_in_the_bytes(tmp_path):
    plain = write_shard(tmp_path / "plain.h5", [5])
    with ShardWriter(tmp_path / "failed.h5", NTU25, pictures=True) as writer:
        with pytest.raises(OSError, match="breaks off"), writer.sample_pictures() as add:
            add(b"a much longer picture than any other" * 1000)
            raise OSError("the recording breaks off")
        with writer.sample_pictures() as add:
            for t in range(5):
                add(marked_jpeg(0, t))
        writer.add(marked_sample(0, 5))
    assert (tmp_path / "failed.h5").read_bytes() == plain.read_bytes()


def test_no_file_is_left_beside_a_finished_shard(tmp_path):
    write_shard(tmp_path / "00000.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["00000.h5"]


def test_a_writer_that_breaks_off_leaves_nothing(tmp_path):
    with (
        pytest.raises(RuntimeError, match="killed"),
        ShardWriter(tmp_path / "00000.h5", NTU25, pictures=True) as writer,
    ):
        with writer.sample_pictures() as add:
            add(marked_jpeg(0, 0))
        raise RuntimeError("killed")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_pictures", [0, 2, 4])
def test_a_picture_too_few_or_too_many_is_refused(tmp_path, n_pictures):
    with ShardWriter(tmp_path / "00000.h5", NTU25, pictures=True) as writer:
        with writer.sample_pictures() as add:
            for t in range(n_pictures):
                add(marked_jpeg(0, t))
        with pytest.raises(ValueError, match=f"s0: 3 frames so far but {n_pictures} pictures"):
            writer.add(marked_sample(0, 3))


def test_a_sample_of_another_layout_is_refused(tmp_path):
    writer = ShardWriter(tmp_path / "00000.h5", NTU25, pictures=False)
    with pytest.raises(ValueError, match="s0: layout openpose18 in a shard of ntu25"):
        writer.add(marked_sample(0, 3, OPENPOSE18))


def take(sample, frames, bodies=slice(None)):
    """Return part of a sample's poses."""
    p = sample.poses
    return dataclasses.replace(
        p,
        joints=p.joints[frames, bodies],
        present=p.present[frames, bodies],
        times=p.times[frames],
        pixels=p.pixels[frames, bodies],
        tracking=p.tracking[frames, bodies],
        body_ids=p.body_ids[bodies],
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"poses": take(marked_sample(0, 3), slice(None), [0])}, "2 bodies and a frame, got 1"),
        ({"poses": take(marked_sample(0, 3), slice(0))}, "2 bodies and a frame, got 2 and 0"),
        ({"video_index": np.zeros(2, np.int32)}, "3 frames needs as many video frames and drifts"),
        ({"drift_s": np.zeros(4, np.float32)}, "3 frames needs as many video frames and drifts"),
    ],
)
def test_a_sample_that_does_not_fit_together_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(marked_sample(0, 3), **change)


class Stopped(BaseException):
    """What a handler raises, as that of the command does."""


def stop(number, frame):
    raise Stopped


@pytest.fixture
def stopping():
    """Handlers that raise while a test runs."""
    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def signal_at(monkeypatch, call, number):
    """Send a signal in the middle of a write of HDF5's; return the list of calls so far."""
    write, calls = writer._Disk.write, []

    def write_and_signal(self, block):
        calls.append(len(block))
        if len(calls) == call:
            signal.raise_signal(number)
        return write(self, block)

    monkeypatch.setattr(writer._Disk, "write", write_and_signal)
    return calls


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("stopping")
def test_a_stop_while_hdf5_writes_comes_out_as_what_its_handler_raises(
    tmp_path, monkeypatch, number
):
    with monkeypatch.context() as patch:
        calls = signal_at(patch, 0, number)
        write_shard(tmp_path / "calm.h5")
    assert len(calls) > 20

    for call in range(1, len(calls), 5):
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            signal_at(patch, call, number)
            write_shard(tmp_path / "hit.h5")
        assert not list(tmp_path.glob("*.pictures"))
    assert signal.getsignal(number) is stop
