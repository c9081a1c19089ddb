"""Frames stored as H.264 in closed groups: exact frames, colours, and damage that stays local."""

import contextlib
import multiprocessing
import pickle
import threading
import zlib
from dataclasses import replace
from pathlib import Path

import av
import h5py
import numpy as np
import pytest
from shard_builders import encode_group
from stored import GREYS, LENGTHS, SIZE, frame_rgb, marked_sample, write_h264_shard

from toolkit.errors import ShardError
from toolkit.readers import group_encoder
from toolkit.readers.group_encoder import name_encoder
from toolkit.shards import ShardReader, decode_picture
from toolkit.shards import h264 as h264_module
from toolkit.shards.writer import Coding, ShardWriter
from toolkit.skeleton import NTU25


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_h264_shard(tmp_path_factory.mktemp("whole") / "00000.h5")


@pytest.fixture
def shard(whole, tmp_path):
    path = tmp_path / "00000.h5"
    path.write_bytes(whole.read_bytes())
    return path


@pytest.fixture
def reader(whole):
    with ShardReader(whole) as reader:
        yield reader


def number_of(picture):
    """Return which frame's grey a picture shows."""
    return int(np.abs(np.array(GREYS) - picture.mean()).argmin())


def numbers_of(pictures):
    return [number_of(picture) for picture in pictures]


# Exact frames.


@pytest.mark.parametrize(
    ("sample", "start"),
    [(1, 0), (2, 0), (2, 1), (2, 8), (2, 15), (2, 16), (2, 17), (2, 24), (3, 17)],
)
def test_a_window_holds_its_own_frames(reader, sample, start):
    assert numbers_of(reader.window(sample, start).pictures()) == list(range(start, start + 16))


def test_a_short_sample_loops(reader):
    assert numbers_of(reader.window(0, 0).pictures()) == [0, 1, 2] * 5 + [0]


def test_every_clip_and_every_sample_is_whole(reader):
    for sample, length in enumerate(LENGTHS):
        assert numbers_of(reader.sample(sample).pictures()) == list(range(length))
    clips = [reader.clip(int(clip)) for clip in reader.clips_of(3)]
    assert [numbers_of(clip.pictures())[0] for clip in clips] == [0, 16, 32]
    assert numbers_of(clips[2].pictures()) == [32] * 16


def test_frames_are_had_one_by_one_in_any_order(reader):
    frames = reader.window(2, 9).frames
    assert [number_of(decode_picture(frames[i])) for i in (15, 0, 7, -1)] == [24, 9, 16, 24]
    assert [number_of(picture) for picture in frames[3:5]] == [12, 13]
    assert len(frames) == 16
    with pytest.raises(IndexError):
        frames[16]


def test_jpegs_are_made_of_them(reader):
    jpegs = reader.window(2, 9).jpegs
    assert all(bytes(jpeg[:2]) == b"\xff\xd8" for jpeg in jpegs)
    assert numbers_of(map(decode_picture, jpegs)) == list(range(9, 25))


def test_a_window_costs_no_frame_after_its_last(reader, monkeypatch):
    counts = []
    decode = h264_module._Decoder.decode
    monkeypatch.setattr(
        h264_module._Decoder,
        "decode",
        lambda self, packets, size: counts.append(len(packets)) or decode(self, packets, size),
    )
    reader.window(2, 20).pictures()
    assert counts == [16, 4]


def test_a_window_that_is_not_looked_at_is_not_decoded(reader, monkeypatch):
    monkeypatch.setattr(h264_module._Decoder, "decode", lambda *_: pytest.fail("decoded"))
    assert len(reader.window(2, 3).joints) == 16


def test_an_interrupted_decoder_starts_anew(reader, monkeypatch):
    window = reader.window(2, 8)
    decoder = h264_module._decoder()
    new_packet, n_left = decoder._new_packet, iter(range(5))

    def interrupt(data):
        if next(n_left, None) is None:
            raise KeyboardInterrupt
        return new_packet(data)

    monkeypatch.setattr(decoder, "_new_packet", interrupt)
    with pytest.raises(KeyboardInterrupt):
        window.pictures()
    monkeypatch.undo()
    assert numbers_of(window.pictures()) == list(range(8, 24))


def test_no_memory_is_not_blamed_on_the_shard(reader, monkeypatch):
    def refuse(_):
        raise av.error.MemoryError(12, "Cannot allocate memory")

    monkeypatch.setattr(h264_module._decoder(), "_new_packet", refuse)
    with pytest.raises(MemoryError):
        reader.window(2, 8).pictures()


def test_threads_have_decoders_of_their_own(reader):
    found = []

    def read(start):
        found.append((start, numbers_of(reader.window(2, start).pictures())))

    threads = [threading.Thread(target=read, args=(start,)) for start in range(0, 24, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [(s, list(range(s, s + 16))) for s in range(0, 24, 4)]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_decoder_at_work_survives_a_fork(reader):
    reader.window(2, 8).pictures()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        found = pool.apply(read_numbers, (reader.path, 5))
    assert found == list(range(5, 21))
    assert numbers_of(reader.window(2, 6).pictures()) == list(range(6, 22))


def read_numbers(path, start):
    with ShardReader(path) as reader:
        return numbers_of(reader.window(2, start).pictures())


def test_a_reader_may_be_sent_elsewhere(reader):
    reader.window(2, 0).pictures()
    with pickle.loads(pickle.dumps(reader)) as other:
        assert numbers_of(other.window(2, 8).pictures()) == list(range(8, 24))


# The file.


def test_the_file_says_how_its_frames_are_stored(whole):
    with h5py.File(whole) as file:
        assert file.attrs["format_version"] == 2
        assert file.attrs["codec"] == b"h264"
        assert file.attrs["encoder"].startswith(b"libx264 core ")
        n_groups = sum(-(-n // 16) for n in LENGTHS)
        assert file["rgb/crc32"].shape == (n_groups,)
        assert file["rgb/size"][()].tolist() == [[*SIZE]] * len(LENGTHS)


def test_the_same_frames_make_the_same_bytes(whole, tmp_path):
    again = write_h264_shard(tmp_path / "again.h5")
    assert again.read_bytes() == whole.read_bytes()


def test_a_sample_that_failed_leaves_no_trace(whole, tmp_path):
    path = tmp_path / "00000.h5"
    with ShardWriter(path, NTU25, pictures=True, coding=Coding("h264", name_encoder(20))) as writer:
        for sample, n_frames in enumerate(LENGTHS):
            frames = encode_group([frame_rgb(t) for t in range(n_frames)])
            with contextlib.suppress(OSError), writer.sample_pictures() as add:
                for frame in frames[::-1]:
                    add(frame)
                raise OSError
            with writer.sample_pictures() as add:
                for frame in frames:
                    add(frame)
            writer.add(replace(marked_sample(sample, n_frames), picture_size=SIZE))
    assert path.read_bytes() == whole.read_bytes()


def test_a_size_has_to_be_told(tmp_path):
    coding = Coding("h264", "x")
    with (
        ShardWriter(tmp_path / "00000.h5", NTU25, pictures=True, coding=coding) as writer,
        pytest.raises(ValueError, match=r"sample s0: pictures of \(0, 0\)"),
    ):
        writer.add(marked_sample(0, 3))


# Damage.


def bytes_of_group(path, group):
    """Return where in the file the bytes of a group lie."""
    rows = np.cumsum([0, *LENGTHS])
    begins = [row + t for row, n in zip(rows, LENGTHS, strict=False) for t in range(0, n, 16)]
    with h5py.File(path) as file:
        offset = file["rgb/offset"][()]
        ends = [*begins[1:], len(offset) - 1]
        base = file["rgb/data"].id.get_offset()
    return base + int(offset[begins[group]]), base + int(offset[ends[group]])


def test_one_damaged_group_is_told_and_all_others_are_read(shard):
    begin, end = bytes_of_group(shard, 3)  # the second of sample s2
    data = bytearray(shard.read_bytes())
    data[(begin + end) // 2] ^= 1
    shard.write_bytes(data)
    with ShardReader(shard) as reader:
        told = r"00000\.h5: sample s2: frames 16 to 31: expected frames of CRC-32 .*, found "
        for start in (1, 16, 24):
            window = reader.window(2, start)
            with pytest.raises(ShardError, match=told):
                window.pictures()
        assert numbers_of(reader.window(2, 0).pictures()) == list(range(16))
        assert numbers_of(reader.window(2, 32, 8).pictures()) == list(range(32, 40))
        assert numbers_of(reader.sample(3).pictures()) == list(range(33))
        assert len(reader.window(2, 16).joints) == 16


def rewrite(path, name, change):
    with h5py.File(path, "r+") as file:
        values = file[name][()]
        del file[name]
        file.create_dataset(name, data=change(values))


def refusal(path):
    with pytest.raises(ShardError) as caught, ShardReader(path) as reader:
        for sample in range(len(reader)):
            reader.sample(sample).pictures()
    return str(caught.value).removeprefix(f"{path}: ")


def set_size(width, height):
    return lambda size: np.array([[width, height]] * len(size), "<i4")


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("rgb/crc32", lambda c: c[:-1], "rgb/crc32: expected 9 rows, found 8"),
        ("rgb/size", lambda s: s[:-1], "rgb/size: expected 5 rows, found 4"),
        ("rgb/size", set_size(0, 16), "rgb/size: expected width and height of 1 to"),
        ("rgb/size", set_size(-1, -16), "rgb/size: expected width and height of 1 to"),
        ("rgb/size", set_size(2**31 - 1, 2**31 - 1), "rgb/size: expected width and height of"),
        ("rgb/size", set_size(40, 32), "sample s0: frames 0 to 2: expected pictures of 40x32"),
        ("rgb/crc32", lambda c: c.astype("<i8"), "rgb/crc32: expected <u4 (n, ), found int64"),
    ],
)
def test_claims_that_do_not_fit(shard, name, change, found):
    rewrite(shard, name, change)
    assert refusal(shard).startswith(found)


def write_packets(path, packets, size=SIZE):
    """Write one sample of these packets, whatever they hold."""
    with ShardWriter(path, NTU25, pictures=True, coding=Coding("h264", "x")) as writer:
        with writer.sample_pictures() as add:
            for packet in packets:
                add(packet)
        writer.add(replace(marked_sample(0, len(packets)), picture_size=size))
    return path


def packets_of(whole, sample):
    with ShardReader(whole) as reader:
        return [bytes(packet) for packet in reader.sample(sample).frames.stored]


def test_bytes_that_are_no_stream(tmp_path):
    path = write_packets(tmp_path / "00000.h5", [b"\0\0\1\x65no picture at all"] * 3)
    assert refusal(path).startswith("sample s0: frames 0 to 2: expected ")


def test_a_stream_that_shows_frames_in_another_order(tmp_path, monkeypatch):
    reordered = group_encoder._PARAMETERS.replace("bframes=0", "bframes=2:b-adapt=0")
    monkeypatch.setattr(group_encoder, "_PARAMETERS", reordered)
    packets = encode_group([frame_rgb(t) for t in range(8)])
    path = write_packets(tmp_path / "00000.h5", packets)
    assert refusal(path).startswith("sample s0: frames 0 to 7: expected 8 pictures, one a frame")


def test_a_frame_that_is_missing_in_the_stream(whole, tmp_path):
    packets = packets_of(whole, 0)
    packets[1] = b"\0\0\0\1\x06\x05\x01\x80\x80"  # A note, and no picture behind it.
    path = write_packets(tmp_path / "00000.h5", packets)
    assert refusal(path).startswith("sample s0: frames 0 to 2: expected ")


def test_a_stream_larger_than_told_gets_no_memory(tmp_path):
    large = frame_rgb(0).repeat(32, 0).repeat(32, 1)
    path = write_packets(tmp_path / "00000.h5", encode_group([large]), size=(16, 16))
    assert refusal(path).startswith("sample s0: frames 0 to 0: expected ")


def test_a_decoder_that_failed_is_not_used_again(whole, tmp_path):
    path = write_packets(tmp_path / "00000.h5", [b"\0\0\1\x65no picture at all"] * 3)
    refusal(path)
    with ShardReader(whole) as reader:
        assert numbers_of(reader.window(1, 0).pictures()) == list(range(16))


SIZES = [
    *((144, 176), (132, 176), (130, 180), (140, 186), (2, 64), (200, 266)),
    *((2, 2), (16, 2), (66, 2), (2, 1080), (62, 48), (226, 128), (340, 256)),
]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_pictures_of_every_size_come_back(width, height):
    packets = encode_group([np.full((height, width, 3), 90, np.uint8)] * 2)
    pictures = group_of(packets, (width, height)).decode(0, 2)
    assert [picture.shape for picture in pictures] == [(height, width, 3)] * 2
    assert abs(pictures[1].mean() - 90) < 3


def group_of(packets, size, first=0):
    """Return a group that tells the right CRC-32, whatever it holds."""
    packets = [memoryview(bytes(packet)) for packet in packets]
    return h264_module.Group(
        Path("00000.h5"), "s0", first, size, zlib.crc32(b"".join(packets)), packets
    )


def test_a_good_group_does_not_depend_on_what_was_decoded_before():
    size, rng = (64, 48), np.random.default_rng(3)
    noise = rng.integers(0, 256, (32, 48, 64, 3), dtype=np.uint8)
    packets = encode_group(list(noise))
    good = group_of(packets[16:], size)
    wanted = good.decode(0, 16)
    for _ in range(60):
        damaged = [bytearray(packet) for packet in packets[:16]]
        for number in rng.integers(0, 16, 5):
            packet = damaged[number]
            packet[rng.integers(len(packet))] ^= 1 << rng.integers(8)
        with contextlib.suppress(ShardError):
            group_of(damaged, size).decode(0, 16)
        assert np.array_equal(good.decode(0, 16), wanted)


def test_a_picture_that_breaks_off_is_refused_though_its_crc_fits():
    noise = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)
    packets = encode_group(list(noise))
    packets[1] = packets[1][: len(packets[1]) // 2]
    told = r"sample s0: frames 16 to 18: expected whole pictures, found frame 17 damaged"
    with pytest.raises(ShardError, match=told):
        group_of(packets, (64, 48), first=16).decode(0, 3)


def test_a_shard_without_usable_samples(tmp_path):
    path = write_h264_shard(tmp_path / "00000.h5", ())
    with ShardReader(path) as reader:
        assert len(reader) == 0
        assert reader.has_pictures


# A key frame of 48x32 that claims colours of a kind which no table knows.
UNKNOWN_COLOURS = bytes.fromhex(
    "0000016764000aacb46b4dc003030000000168ce039cb000000165888409219e" + 26 * "ff" + "0835"
)


def test_colours_that_nobody_can_show_are_refused():
    group = group_of([memoryview(UNKNOWN_COLOURS)], (48, 32))
    with pytest.raises(ShardError, match="expected colours that can be shown"):
        group.decode(0, 1)
