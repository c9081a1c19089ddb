"""Pictures to closed groups of H.264: colours, order, sizes, the same bytes every time."""

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_builders import encode_group, yuv_planes

from toolkit.errors import CtxtoolError
from toolkit.readers import group_encoder
from toolkit.readers.group_encoder import GroupEncoder, name_encoder
from toolkit.shards.codec import decode_picture, encode_picture
from toolkit.shards.h264 import _Decoder

COLOURS = [
    (128, 128, 128), (0, 0, 0), (255, 255, 255), (200, 30, 60), (20, 180, 40), (30, 60, 220),
    (255, 255, 0), (255, 0, 0), (0, 0, 255),
]  # fmt: skip


def decode(frames):
    decoder = _Decoder()
    return [decoder.to_rgb(picture) for picture in decoder.decode(frames, (1024, 1024))]


def plain(colour, height=32, width=48):
    return np.full((height, width, 3), colour, np.uint8)


@pytest.mark.parametrize("rgb", COLOURS)
def test_a_colour_comes_back_as_from_a_jpeg(rgb):
    jpeg = decode_picture(encode_picture(plain(rgb), 100)).mean((0, 1))
    found = decode(encode_group([plain(rgb)] * 3))[2].mean((0, 1))
    assert np.abs(found - rgb).max() <= 2.5
    assert np.abs(found - jpeg).max() <= 3


def test_the_stream_says_what_its_colours_mean():
    decoder = av.CodecContext.create("h264", "r")
    packet = av.Packet(encode_group([plain(9)])[0])
    picture = [*decoder.decode(packet), *decoder.decode(None)][0]
    assert (picture.format.name, picture.color_range, picture.colorspace) == ("yuvj420p", 2, 5)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 70), st.integers(1, 40), st.integers(1, 40))
def test_frames_come_out_one_for_one_and_in_order(n_frames, half_width, half_height):
    greys = [(20 + 60 * t) % 236 for t in range(n_frames)]
    pictures = [plain(grey, 2 * half_height, 2 * half_width) for grey in greys]
    frames = encode_group(pictures)
    assert len(frames) == n_frames
    for first in range(0, n_frames, 16):
        group = decode(frames[first : first + 16])
        assert [p.shape for p in group] == [pictures[0].shape] * len(group)
        means = np.array([picture.mean() for picture in group])
        assert np.abs(means - greys[first : first + 16]).max() <= 3


def test_a_repeated_picture_costs_hardly_a_byte():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    encoder = GroupEncoder(64, 64, 20)
    frames = [*encoder.add(yuv_planes(noise))]
    for _ in range(9):
        frames += encoder.repeat()
    frames += encoder.finish()
    sizes = [len(frame) for frame in frames]
    assert len(sizes) == 10
    assert max(sizes[3:]) < sizes[0] / 50


def test_the_same_pictures_make_the_same_bytes():
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(40)]
    assert encode_group(pictures) == encode_group(pictures)


def test_a_smaller_factor_is_larger_and_better():
    rng = np.random.default_rng(2)
    pictures = [rng.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(8)]
    few, many = encode_group(pictures, crf=40), encode_group(pictures, crf=10)
    assert sum(map(len, few)) < sum(map(len, many)) / 2
    far, near = (
        np.abs(np.array(decode(frames), float) - pictures).mean() for frames in (few, many)
    )
    assert near < far


@pytest.mark.parametrize("crf", [0, 52])
def test_a_factor_out_of_range(crf):
    with pytest.raises(ValueError, match=rf"crf must be within 1\.\.51, got {crf}"):
        GroupEncoder(16, 16, crf)


def test_there_must_be_a_picture_to_repeat():
    with pytest.raises(ValueError, match="no picture to repeat"):
        GroupEncoder(16, 16, 20).repeat()
    assert GroupEncoder(16, 16, 20).finish() == []


def test_the_encoder_is_named_with_version_and_settings():
    name = name_encoder(23)
    assert name.startswith("libx264 core ")
    assert ", preset veryfast, tune fastdecode, crf 23, keyint=16:" in name


def test_a_pyav_without_the_encoder_is_told_in_a_sentence(monkeypatch):
    monkeypatch.setattr(group_encoder, "_ENCODER", "libx999")
    with pytest.raises(CtxtoolError, match="came without the encoder libx999"):
        GroupEncoder(16, 16, 20)
