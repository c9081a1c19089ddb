from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from video_builders import (
    quadrant_picture,
    set_rotation,
    textured_pictures,
    write_video,
    yuv_picture,
)

from toolkit.readers.picture import PictureEncoder, scaled_size
from toolkit.readers.video import VideoReader

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def decode(jpeg: bytes) -> np.ndarray:
    """Return RGB, as OpenCV reads it back out of a shard."""
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), 4)


def first_picture(path) -> tuple[av.VideoFrame, int]:
    with VideoReader(path) as video:
        return next(iter(video)).picture, video.rotation


def quarters(rgb: np.ndarray) -> list[tuple[int, ...]]:
    """Return the colours of the four quarters, row by row, each channel to 0 or 255."""
    h, w = rgb.shape[0] // 4, rgb.shape[1] // 4
    centres = [rgb[y, x] for y in (h, 3 * h) for x in (w, 3 * w)]
    return [tuple(int(255 * (level > 127)) for level in centre) for centre in centres]


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


# Sizes.


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((1920, 1080), 128, (228, 128)),  # 227.6
        ((340, 256), 128, (170, 128)),
        ((320, 240), 128, (170, 128)),  # 170.7, nearer to 170 than to 172
        ((1080, 1920), 128, (128, 228)),
        ((640, 480), 256, (342, 256)),  # 341.3
        ((1000, 999), 128, (128, 128)),
        ((128, 128), 128, (128, 128)),
        ((96, 64), 128, (96, 64)),
        ((97, 65), 128, (96, 64)),
        ((1921, 1081), 0, (1920, 1080)),
        ((1920, 1080), 0, (1920, 1080)),
    ],
)
def test_scaled_size(size, short_side, expected):
    assert scaled_size(*size, short_side) == expected


@given(st.integers(2, 5000), st.integers(2, 5000), st.integers(0, 200).map(lambda n: 2 * n))
def test_sizes_are_even_never_larger_and_keep_the_aspect(width, height, short_side):
    w, h = scaled_size(width, height, short_side)
    assert w % 2 == h % 2 == 0
    assert 2 <= w <= width
    assert 2 <= h <= height
    scale = Fraction(min(width, height, short_side or 5000), min(width, height))
    assert abs(w - width * scale) <= 1
    assert abs(h - height * scale) <= 1


@pytest.mark.parametrize("size", [(65, 49), (64, 49), (65, 48), (3, 3), (2, 2), (300, 1000)])
def test_the_jpeg_has_the_size_told(size):
    jpeg = PictureEncoder().encode(yuv_picture((100, 90, 200), *size))
    height, width, _ = decode(jpeg).shape
    assert (width, height) == scaled_size(*size, 128)


def test_an_odd_edge_is_cut_off_not_resampled():
    picture = textured_pictures(1, 66, 50)[0].reformat(65, 49, "yuv420p")
    kept = PictureEncoder(short_side=0).shrink(_marked_full_range(picture))
    rows = np.frombuffer(memoryview(picture.planes[0]), np.uint8)
    original = rows.reshape(-1, picture.planes[0].line_size)[:48, :64]
    assert np.array_equal(kept[0], original)
    assert [plane.shape for plane in kept] == [(48, 64), (24, 32), (24, 32)]


def _marked_full_range(picture: av.VideoFrame) -> av.VideoFrame:
    picture.color_range, picture.colorspace = 2, 5
    return picture


# Colours.

MATRICES = {  # code of ISO/IEC 23091-2: (Kr, Kb) by which it makes luma
    1: (0.2126, 0.0722),
    2: (0.299, 0.114),  # unspecified: taken as BT.601
    3: (0.299, 0.114),  # reserved: likewise
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    9: (0.2627, 0.0593),
}
COLOURS = [(200, 30, 60), (20, 180, 40), (30, 60, 220), (250, 250, 250), (5, 5, 5), (128, 128, 128)]


def yuv_of(rgb: tuple[int, ...], matrix: int, full_range: bool) -> tuple[int, ...]:
    kr, kb = MATRICES[matrix]
    red, green, blue = (level / 255 for level in rgb)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    chroma = (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)
    scale, black, swing = (255, 0, 255) if full_range else (219, 16, 224)
    return round(black + scale * luma), *(round(128 + swing * c) for c in chroma)


def stored_colour(picture: av.VideoFrame) -> np.ndarray:
    return decode(PictureEncoder(quality=100).encode(picture)).mean((0, 1))


@pytest.mark.parametrize("rgb", COLOURS)
@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("matrix", MATRICES)
def test_colours_survive_every_matrix_and_range(rgb, full_range, matrix):
    picture = yuv_picture(yuv_of(rgb, matrix, full_range), 320, 180)
    picture.colorspace, picture.color_range = matrix, 2 if full_range else 1
    assert stored_colour(picture) == pytest.approx(rgb, abs=4)


def test_an_unspecified_range_is_taken_as_limited():
    picture = yuv_picture(yuv_of((200, 30, 60), 6, full_range=False), 64, 48)
    assert stored_colour(picture) == pytest.approx((200, 30, 60), abs=4)


@pytest.mark.parametrize("size", [(64, 48), (320, 180)])
@pytest.mark.parametrize(
    "pix_fmt",
    ["rgb24", "bgr24", "rgba", "gbrp", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "nv12"],
)
def test_colours_survive_every_pixel_format(size, pix_fmt):
    rgb = np.full((size[1], size[0], 3), (200, 30, 60), np.uint8)
    picture = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=pix_fmt)
    assert stored_colour(picture) == pytest.approx((200, 30, 60), abs=4)


def test_gray_stays_gray():
    picture = av.VideoFrame.from_ndarray(np.full((48, 64), 90, np.uint8), "gray")
    picture.color_range = 2
    assert stored_colour(picture) == pytest.approx((90, 90, 90), abs=1)


@pytest.mark.parametrize(("matrix", "size"), [(1, (1920, 1080)), (6, (340, 256))])
def test_colours_survive_a_real_file(tmp_path, matrix, size):
    picture = yuv_picture(yuv_of((200, 30, 60), matrix, full_range=False), *size)
    picture.colorspace, picture.color_range = matrix, 1
    read, _ = first_picture(write_video(tmp_path / "v.mp4", [picture]))
    assert read.colorspace == matrix
    assert stored_colour(read) == pytest.approx((200, 30, 60), abs=4)


def test_the_picture_given_is_not_changed():
    picture = yuv_picture((50, 60, 70), 320, 180)
    picture.colorspace, picture.color_range = 1, 1
    before = [bytes(plane) for plane in picture.planes]
    PictureEncoder().encode(picture)
    assert [bytes(plane) for plane in picture.planes] == before
    assert (picture.colorspace, picture.color_range) == (1, 1)


# Turns.

TURNED = {  # quarters row by row, of red, green / blue, white
    0: [RED, GREEN, BLUE, WHITE],
    90: [BLUE, RED, WHITE, GREEN],
    180: [WHITE, BLUE, GREEN, RED],
    270: [GREEN, WHITE, RED, BLUE],
}


@pytest.mark.parametrize("size", [(96, 64), (480, 320)])
@pytest.mark.parametrize("rotation", TURNED)
def test_pictures_are_turned_clockwise(rotation, size):
    rgb = decode(PictureEncoder().encode(quadrant_picture(*size), rotation))
    assert quarters(rgb) == TURNED[rotation]
    assert (rgb.shape[0] > rgb.shape[1]) == (rotation in (90, 270))


@pytest.mark.parametrize("rotation", TURNED)
def test_reader_and_encoder_show_a_file_as_its_matrix_asks(tmp_path, rotation):
    path = set_rotation(write_video(tmp_path / "v.mp4", [quadrant_picture()] * 2), rotation)
    rgb = decode(PictureEncoder().encode(*first_picture(path)))
    assert quarters(rgb) == TURNED[rotation]


# Sharpness and bytes.


def test_luma_is_the_area_average():
    noise = cv2.GaussianBlur(
        np.random.default_rng(3).integers(0, 256, (1080, 1920), dtype=np.uint8), (0, 0), 2
    )
    levels = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX)
    picture = av.VideoFrame.from_ndarray(
        np.concatenate([levels, np.full((540, 1920), 128, np.uint8)]), "yuv420p"
    )
    luma = PictureEncoder().shrink(_marked_full_range(picture))[0]
    reference = cv2.resize(levels.astype(np.float32), (228, 128), interpolation=cv2.INTER_AREA)
    bilinear = cv2.resize(levels, (228, 128), interpolation=cv2.INTER_LINEAR)
    assert psnr(luma, reference) > 45
    assert psnr(luma, reference) > psnr(bilinear, reference) + 4


def test_nothing_is_shifted():
    ramp = np.tile(np.linspace(0, 255, 640).astype(np.uint8), (480, 1))
    picture = av.VideoFrame.from_ndarray(
        np.concatenate([ramp, np.full((240, 640), 128, np.uint8)]), "yuv420p"
    )
    luma = PictureEncoder().shrink(_marked_full_range(picture))[0]
    centres = (np.arange(170) + 0.5) / 170 * 640 - 0.5
    assert luma[64] == pytest.approx(centres / 639 * 255, abs=1.5)


def test_equal_pictures_give_equal_bytes_whatever_came_between():
    picture, other = quadrant_picture(480, 320), textured_pictures(1, 200, 300)[0]
    encoder = PictureEncoder()
    first = encoder.encode(picture, 90)
    encoder.encode(other)
    assert encoder.encode(picture, 90) == PictureEncoder().encode(picture, 90) == first


@pytest.mark.parametrize("size", [(64, 48), (65, 49), (480, 320)])
def test_the_jpeg_is_baseline_jfif_420(size):
    jpeg = PictureEncoder().encode(yuv_picture((100, 90, 200), *size))
    assert jpeg[:4] == b"\xff\xd8\xff\xe0"
    assert jpeg[6:11] == b"JFIF\x00"
    frame = jpeg.index(b"\xff\xc0")  # SOF0; sampling factors of Y, Cb, Cr at 11, 14, 17
    assert [jpeg[frame + at] for at in (11, 14, 17)] == [0x22, 0x11, 0x11]


def test_quality_is_obeyed():
    picture = textured_pictures(1, 320, 240)[0]
    sizes = [len(PictureEncoder(quality=q).encode(picture)) for q in (50, 90, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("keywords", [{"short_side": -2}, {"short_side": 127}, {"quality": 0}])
def test_wrong_settings_are_refused(keywords):
    with pytest.raises(ValueError, match=next(iter(keywords))):
        PictureEncoder(**keywords)


@pytest.mark.parametrize("rotation", [45, -90, 360])
def test_wrong_turns_are_refused(rotation):
    with pytest.raises(ValueError, match="rotation"):
        PictureEncoder().encode(quadrant_picture(), rotation)


# Real recordings against OpenCV, which decodes, turns and colours them on its own.


@pytest.mark.parametrize(
    "name",
    [
        "ntu_rgb/S004C002P003R002A048_rgb.avi",
        "videos/mma_demo.mp4",
        "videos/decord_video_90.mov",
        "videos/decord_video_180.mov",
    ],
)
def test_real_recordings_look_as_in_opencv(samples_dir, name):
    rgb = decode(PictureEncoder().encode(*first_picture(samples_dir / name)))
    capture = cv2.VideoCapture(str(samples_dir / name))
    _, full = capture.read()
    capture.release()
    small = cv2.resize(full, rgb.shape[1::-1], interpolation=cv2.INTER_AREA)[..., ::-1]
    assert np.abs(rgb.astype(int) - small).mean() < 4
    # OpenCV itself rounds green down by 1.5 levels.
    assert rgb.mean((0, 1)) == pytest.approx(small.mean((0, 1)), abs=3)
