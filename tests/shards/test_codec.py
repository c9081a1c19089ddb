import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.shards import decode_picture, decode_pictures, encode_picture

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "grey": (99, 99, 99)}


def plain(colour, height=16, width=24):
    return np.full((height, width, 3), colour, np.uint8)


@pytest.mark.parametrize("colour", COLOURS.values(), ids=COLOURS)
def test_channels_stay_red_green_blue(colour):
    decoded = decode_picture(encode_picture(plain(colour)))
    assert np.abs(decoded.astype(int) - colour).max() <= 3


@settings(max_examples=30)
@given(st.integers(1, 70), st.integers(1, 70))
def test_any_size_comes_back(height, width):
    decoded = decode_picture(encode_picture(plain((9, 9, 9), height, width)))
    assert (decoded.shape, decoded.dtype) == ((height, width, 3), np.uint8)


def test_better_quality_is_closer_and_larger():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    small, large = encode_picture(noise, 50), encode_picture(noise, 98)
    near, far = (np.abs(decode_picture(j).astype(int) - noise).mean() for j in (large, small))
    assert len(large) > len(small)
    assert near < far


@pytest.mark.parametrize("kind", [bytes, memoryview, lambda b: np.frombuffer(b, np.uint8)])
def test_every_kind_of_buffer_decodes(kind):
    assert decode_picture(kind(encode_picture(plain(50)))).shape == (16, 24, 3)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
    ],
)
def test_what_is_no_picture_is_not_encoded(picture):
    with pytest.raises(ValueError, match=r"a picture is uint8 \(H, W, 3\), got"):
        encode_picture(picture)


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_quality_is_a_percentage(quality):
    with pytest.raises(ValueError, match=r"quality must be within 1\.\.100"):
        encode_picture(plain(0), quality)


def png():
    return cv2.imencode(".png", plain(7))[1].tobytes()


def half_a_jpeg():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return encode_picture(noise)[:2000]


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8", b"no picture", b"\0" * 500, b"\xff\xd8\xff\xd9", png(), half_a_jpeg()],
    ids=["empty", "start only", "text", "zeros", "nothing inside", "png", "broken off"],
)
def test_what_is_no_jpeg_is_not_decoded(data):
    with pytest.raises(ValueError, match=f"^{len(data)} bytes that are not a whole JPEG picture"):
        decode_picture(data)


def with_comment(jpeg, n_bytes):
    """Put a comment before all that a JPEG says of itself."""
    return jpeg[:2] + b"\xff\xfe" + n_bytes.to_bytes(2, "big") + b"." * (n_bytes - 2) + jpeg[2:]


@pytest.mark.parametrize("n_bytes", [2, 40, 200, 60_000])
def test_sizes_behind_the_same_first_bytes_are_told_apart(n_bytes):
    small, large = encode_picture(plain(10)), encode_picture(plain(10, 32, 40))
    # Where the size stands in the header, with 65,535 x 65,535 in its place.
    at = large.index(b"\xff\xc0") + 5
    huge = large[:at] + b"\xff" * 4 + large[at + 4 :]
    for jpeg, shape in ((small, (16, 24, 3)), (large, (32, 40, 3))):
        assert decode_picture(with_comment(jpeg, n_bytes)).shape == shape
    with pytest.raises(ValueError, match=f"a JPEG of {65535**2} pixels, more than the"):
        decode_picture(with_comment(huge, n_bytes))


def test_pictures_are_stacked_in_order():
    jpegs = [encode_picture(plain(grey)) for grey in (10, 60, 110)]
    stacked = decode_pictures(jpegs)
    assert stacked.shape == (3, 16, 24, 3)
    assert [round(picture.mean()) for picture in stacked] == [10, 60, 110]


def test_a_repeated_buffer_is_decoded_once(monkeypatch):
    from toolkit.shards import codec

    a, b = encode_picture(plain(10)), encode_picture(plain(60))
    decoded = []
    monkeypatch.setattr(codec, "decode_picture", lambda j: decoded.append(j) or decode_picture(j))
    assert [round(p.mean()) for p in decode_pictures([a, b, a, b, a])] == [10, 60, 10, 60, 10]
    assert decoded == [a, b]
