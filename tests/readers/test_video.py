import logging
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from video_builders import (
    H264,
    XVID,
    Recipe,
    damage_packet,
    gray_pictures,
    level_of,
    set_display_matrix,
    set_rotation,
    textured_pictures,
    write_cover_picture,
    write_sound,
    write_two_videos,
    write_video,
)

from toolkit.errors import VideoFileError
from toolkit.readers.video import DecodedFrame, PresentationClock, VideoReader

MS = Fraction(1, 1000)


def read_all(path: Path) -> list[DecodedFrame]:
    with VideoReader(path) as video:
        return list(video)


def times_of(path: Path) -> list[float]:
    return [frame.time_s for frame in read_all(path)]


def mean_luma(picture: av.VideoFrame) -> float:
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return float(rows[:, : plane.width].mean())


def refusal_of(path: Path) -> VideoFileError:
    with pytest.raises(VideoFileError) as refusal:
        read_all(path)
    assert refusal.value.path == str(path)
    return refusal.value


# What is read.

CONTAINERS = {
    "xvid.avi": XVID,
    "xvid_b.avi": replace(XVID, b_frames=2),
    "h264.mp4": H264,
    "h264_b.mp4": Recipe(b_frames=2),
    "h264_b.avi": Recipe(b_frames=2),
    "h264.mkv": H264,
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_frame_comes_once_in_presentation_order(tmp_path, name):
    frames = read_all(write_video(tmp_path / name, gray_pictures(9), CONTAINERS[name]))
    assert [frame.index for frame in frames] == list(range(9))
    for frame in frames:
        assert mean_luma(frame.picture) == pytest.approx(level_of(frame.index), abs=2)


@pytest.mark.parametrize("name", CONTAINERS)
def test_times_are_those_written(tmp_path, name):
    path = write_video(tmp_path / name, gray_pictures(9), CONTAINERS[name])
    tolerance = 0.0005 if name.endswith("mkv") else 1e-12
    assert times_of(path) == pytest.approx([i / 30 for i in range(9)], abs=tolerance)


def test_facts_of_the_stream_are_told(tmp_path):
    path = write_video(tmp_path / "v.avi", gray_pictures(5, 96, 64), replace(XVID, rate=25))
    with VideoReader(path) as video:
        assert (video.width, video.height, video.rotation) == (96, 64, 0)
        assert (video.fps, video.codec, video.n_decoded) == (25.0, "mpeg4", 0)
        assert len(list(video)) == video.n_decoded == 5
        assert video.n_repaired_times == 0


def test_pictures_outlive_the_reader(tmp_path):
    frames = read_all(write_video(tmp_path / "v.mp4", gray_pictures(3)))
    assert [round(mean_luma(frame.picture), -1) for frame in frames] == [20, 30, 40]


def test_iterating_twice_is_refused(tmp_path):
    with VideoReader(write_video(tmp_path / "v.mp4", gray_pictures(2))) as video:
        list(video)
        with pytest.raises(ValueError, match="only once"):
            iter(video)


def test_names_with_colons_percents_and_spaces_are_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = write_video(tmp_path / "made.mp4", gray_pictures(2))
    odd = made.rename("a:b 100%d é.mp4")
    assert len(read_all(Path(odd.name))) == 2


def test_a_title_in_a_foreign_encoding_does_not_stop_us(tmp_path):
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "TITLE"
        stream = container.add_stream("mpeg4", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(gray_pictures(1)[0]))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"TITLE", b"\xff\xfeTI\xe9"))
    assert len(read_all(path)) == 1


# Times.


def test_varying_frame_rate_keeps_its_times(tmp_path):
    recipe = replace(H264, ticks=[0, 10, 50, 51, 90], tick_s=MS)
    path = write_video(tmp_path / "v.mp4", gray_pictures(5), recipe)
    assert times_of(path) == pytest.approx([0.0, 0.010, 0.050, 0.051, 0.090], abs=1e-9)


@pytest.mark.parametrize("b_frames", [0, 1])
def test_dropped_chunks_of_an_avi_leave_gaps(tmp_path, b_frames):
    recipe = replace(XVID, ticks=[0, 1, 4, 5, 8, 9, 10], b_frames=b_frames)
    path = write_video(tmp_path / "v.avi", gray_pictures(7), recipe)
    assert times_of(path) == pytest.approx([t / 30 for t in (0, 1, 4, 5, 8, 9, 10)])


def test_pictures_that_begin_after_the_sound_keep_the_offset(tmp_path):
    recipe = replace(H264, ticks=[15, 16, 17])
    path = write_sound(tmp_path / "v.mkv", gray_pictures(3), recipe)
    assert times_of(path) == pytest.approx([0.5, 0.533, 0.567], abs=1e-9)


def test_a_file_that_begins_late_as_a_whole_is_counted_from_its_begin(tmp_path):
    recipe = replace(H264, ticks=[45, 46, 47])
    path = write_sound(tmp_path / "v.mkv", gray_pictures(3), recipe, begin_s=1)
    assert times_of(path) == pytest.approx([0.5, 0.533, 0.567], abs=1e-9)


def test_no_picture_is_before_the_begin(tmp_path):
    path = write_sound(tmp_path / "v.mkv", gray_pictures(3), begin_s=1)
    assert times_of(path) == pytest.approx([0.0, 0.033, 0.067], abs=1e-9)


def test_times_that_do_not_rise_are_repaired_and_counted(tmp_path):
    recipe = replace(H264, ticks=[0, 40_000, 40_100, 120_000], tick_s=Fraction(1, 10**6), rate=25)
    path = write_video(tmp_path / "v.mkv", gray_pictures(4), recipe)  # rounds to milliseconds
    with VideoReader(path) as video:
        assert [frame.time_s for frame in video] == pytest.approx([0.0, 0.04, 0.08, 0.12])
        assert video.n_repaired_times == 1


def test_missing_times_come_from_the_rate(tmp_path):
    path = write_video(tmp_path / "v.h264", gray_pictures(4))  # FFmpeg assumes 25 a second
    with VideoReader(path) as video:
        assert [frame.time_s for frame in video] == pytest.approx([0.0, 0.04, 0.08, 0.12])
        assert video.n_repaired_times == 4


@pytest.mark.parametrize(
    ("told", "times", "n_repaired"),
    [
        ([0.0, 0.5, 2.5], [0.0, 0.5, 2.5], 0),
        ([0.5, 1.5], [0.5, 1.5], 0),
        ([None, None, None], [0.0, 1.0, 2.0], 3),
        ([0.0, None, 2.5], [0.0, 1.0, 2.5], 1),
        ([0.0, 0.0, 0.5, 2.5], [0.0, 1.0, 2.0, 2.5], 2),
        ([4.0, 0.0, 1.0, 7.0], [4.0, 5.0, 6.0, 7.0], 2),
    ],
)
def test_clock(told, times, n_repaired):
    clock = PresentationClock(step_s=1.0)
    assert [clock.read(t) for t in told] == times
    assert clock.n_repaired == n_repaired


@given(
    st.lists(st.none() | st.floats(-1e4, 1e4), max_size=30),
    st.floats(1e-3, 1.0),
)
def test_the_clock_always_rises(told, step_s):
    clock = PresentationClock(step_s)
    times = [clock.read(t) for t in told]
    assert all(b > a for a, b in pairwise(times))
    kept = sum(time == t for time, t in zip(times, told, strict=True))
    assert kept + clock.n_repaired >= len(told)


# Rotation.


@pytest.mark.parametrize(
    ("clockwise", "size"), [(0, (96, 64)), (90, (64, 96)), (180, (96, 64)), (270, (64, 96))]
)
def test_the_display_matrix_turns_the_size(tmp_path, clockwise, size):
    path = set_rotation(write_video(tmp_path / "v.mp4", gray_pictures(2, 96, 64)), clockwise)
    with VideoReader(path) as video:
        assert video.rotation == clockwise
        assert (video.width, video.height) == size


@pytest.mark.parametrize(
    "matrix",
    [
        (-1, 0, 0, 0, 1, 0, 0, 0),  # mirrored
        (0.7071, 0.7071, 0, -0.7071, 0.7071, 0, 0, 0),  # 45 degrees
    ],
)
def test_a_matrix_that_is_not_a_quarter_turn_is_refused(tmp_path, matrix):
    path = set_display_matrix(write_video(tmp_path / "v.mp4", gray_pictures(2)), matrix)
    refusal = refusal_of(path)
    assert refusal.place == "header"
    assert "turns by 0, 90, 180 or 270 degrees" in refusal.expected


# Which stream.


@pytest.mark.parametrize(("default", "expected"), [(0, (2, 64)), (1, (3, 96))])
def test_of_two_videos_the_default_one_is_read(tmp_path, default, expected):
    first, second = gray_pictures(2, 64, 48), gray_pictures(3, 96, 64)
    path = write_two_videos(tmp_path / "v.mp4", first, second, default=default)
    with VideoReader(path) as video:
        assert (len(list(video)), video.width) == expected


def test_sound_beside_the_pictures_is_passed_over(tmp_path):
    path = write_sound(tmp_path / "v.mkv", gray_pictures(3))
    assert len(read_all(path)) == 3


def test_a_cover_picture_is_not_a_video(tmp_path):
    refusal = refusal_of(write_cover_picture(tmp_path / "song.mp3"))
    assert refusal.place == "header"
    assert refusal.expected == "a video stream"
    assert refusal.found == "only audio and cover pictures"


def test_sound_alone_is_not_a_video(tmp_path):
    assert refusal_of(write_sound(tmp_path / "song.wav")).found == "only audio"


# What is refused.


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("v.mp4", b"", "an empty file"),
        ("v.avi", b"", "an empty file"),
        ("v.avi", bytes(200_000), "NUL bytes"),
        ("v.mp4", b"<!DOCTYPE html>\n<html><body>404</body></html>\n", "text"),
        ("v.avi", b"RIFF\x00\x00\x00\x00AVI LIST", "Invalid data"),
    ],
)
def test_files_that_are_no_videos_are_refused(tmp_path, name, content, found):
    path = tmp_path / name
    path.write_bytes(content)
    refusal = refusal_of(path)
    assert refusal.place == "header"
    assert refusal.expected == "a video that FFmpeg can open"
    assert refusal.found.startswith(found)


def test_a_missing_file_is_refused(tmp_path):
    assert "No such file" in refusal_of(tmp_path / "nowhere.avi").found


def test_a_folder_is_refused(tmp_path):
    assert "directory" in refusal_of(tmp_path).found


def test_an_mp4_cut_before_its_index_says_so(tmp_path):
    path = write_video(tmp_path / "v.mp4", textured_pictures(12))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "moov atom not found" in refusal_of(path).found


def test_the_reason_is_found_again_for_the_next_file(tmp_path):
    path = write_video(tmp_path / "v.mp4", textured_pictures(12))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert refusal_of(path).found == refusal_of(path).found


def test_an_avi_cut_between_pictures_just_ends(tmp_path):
    path = write_video(tmp_path / "v.avi", textured_pictures(12), XVID)
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: places[8] - 8])  # 8 bytes of chunk header
    assert len(read_all(path)) == 8


def test_an_avi_with_a_header_only_is_refused(tmp_path):
    path = write_video(tmp_path / "v.avi", textured_pictures(12), XVID)
    path.write_bytes(path.read_bytes()[: path.read_bytes().index(b"movi") + 4])
    refusal = refusal_of(path)
    assert refusal.place == "frame 0"
    assert refusal.expected == "at least one decodable picture"


@pytest.mark.parametrize(("name", "recipe"), [("v.avi", XVID), ("v.avi", H264), ("v.mp4", H264)])
def test_a_damaged_picture_is_named(tmp_path, name, recipe):
    path = write_video(tmp_path / name, textured_pictures(12), recipe)
    refusal = refusal_of(damage_packet(path, 7, byte=0xFF, keep=40))
    assert refusal.place == "frame 7"
    assert refusal.expected == "an intact picture"


@pytest.mark.parametrize(("name", "recipe"), [("v.avi", XVID), ("v.avi", H264), ("v.mp4", H264)])
def test_a_hole_of_nul_bytes_is_named(tmp_path, name, recipe):
    path = write_video(tmp_path / name, textured_pictures(12), recipe)
    refusal = refusal_of(damage_packet(path, 7, byte=0))
    assert (refusal.place, refusal.found) == ("frame 7", "only NUL bytes")


def test_uncompressed_black_is_no_hole(tmp_path):
    black = [av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "bgr24")] * 2
    path = write_video(tmp_path / "v.avi", black, Recipe("rawvideo", pix_fmt="bgr24"))
    assert len(read_all(path)) == 2


def test_a_packet_that_no_decoder_takes_is_named(tmp_path):
    path = write_video(tmp_path / "v.mp4", textured_pictures(12))
    refusal = refusal_of(damage_packet(path, 5, byte=0xFF))  # impossible NAL unit sizes
    assert refusal.place == "frame 5"
    assert "Invalid data found when processing input" in refusal.found


def test_the_frames_before_a_damaged_one_are_handed_out(tmp_path):
    path = write_video(tmp_path / "v.avi", textured_pictures(12), XVID)
    damage_packet(path, 7, byte=0)
    with VideoReader(path) as video:
        frames = iter(video)
        assert [next(frames).index for _ in range(7)] == list(range(7))
        with pytest.raises(VideoFileError):
            next(frames)
        assert video.n_decoded == 7


def test_an_unknown_codec_is_refused(tmp_path):
    path = write_video(tmp_path / "v.avi", gray_pictures(2), XVID)
    path.write_bytes(path.read_bytes().replace(b"XVID", b"ZZQ9"))
    refusal = refusal_of(path)
    assert (refusal.place, refusal.expected) == ("header", "a codec that FFmpeg decodes here")


def test_a_picture_of_another_size_half_way_is_refused(tmp_path):
    small = write_video(tmp_path / "a.h264", gray_pictures(3, 64, 48)).read_bytes()
    large = write_video(tmp_path / "b.h264", gray_pictures(3, 96, 64)).read_bytes()
    (tmp_path / "v.h264").write_bytes(small + large)
    refusal = refusal_of(tmp_path / "v.h264")
    assert refusal.place == "frame 3"
    assert (refusal.expected, refusal.found) == ("64x48 pixels as in frame 0", "96x64")


def test_an_absurd_size_is_refused(tmp_path):
    path = write_video(tmp_path / "v.mkv", gray_pictures(1, 16400, 2), Recipe("ffv1"))
    refusal = refusal_of(path)
    assert (refusal.expected, refusal.found) == ("at most 16384 pixels a side", "16400x2")


def test_colours_that_cannot_be_converted_are_refused(tmp_path):
    ycgco = gray_pictures(2)
    for picture in ycgco:
        picture.colorspace = 8
    assert refusal_of(write_video(tmp_path / "v.mp4", ycgco)).found == "colour matrix 8"


def test_ffmpeg_prints_and_logs_nothing(tmp_path, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    path = write_video(tmp_path / "v.avi", textured_pictures(12), XVID)
    caplog.clear()
    capfd.readouterr()
    refusal_of(damage_packet(path, 7, byte=0xFF, keep=40))
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    refusal_of(tmp_path / "no.mp4")
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_the_log_level_of_the_caller_is_left_alone(tmp_path):
    before = av.logging.get_level()
    av.logging.set_level(av.logging.PANIC)
    try:
        read_all(write_video(tmp_path / "v.mp4", gray_pictures(1)))
        assert av.logging.get_level() == av.logging.PANIC
    finally:
        av.logging.set_level(before)


# Real recordings: frame count, displayed size, rotation, rate, codec, time of the last frame.

SAMPLES = {
    "ntu_rgb/S001C001P001R001A001_rgb.avi": (103, (1920, 1080), 0, 30.0, "h264", 102 / 30),
    "ntu_rgb/S004C002P003R001A055_rgb.avi": (76, (1920, 1080), 0, 30.0, "mpeg4", 75 / 30),
    "ntu_rgb/S004C002P003R002A048_rgb.avi": (62, (1920, 1080), 0, 30.0, "mpeg4", 61 / 30),
    "videos/mma_demo.mp4": (280, (340, 256), 0, 28.0, "h264", 279 / 28),
    "videos/mma_test.avi": (164, (320, 240), 0, 25.0, "mpeg4", 163 / 25),
    "videos/stgcn_clean_and_jerk.mp4": (300, (340, 256), 0, 30 / 1.001, "h264", 299 * 1.001 / 30),
    "videos/decord_video_90.mov": (3, (320, 568), 90, 30.0, "h264", 2 / 30),
    "videos/decord_video_180.mov": (3, (568, 320), 180, 30.0, "h264", 2 / 30),
    "videos/decord_unordered.mov": (4, (50, 50), 0, 32.0, "h264", 3 / 32),
    "videos/torchcodec_av1_video.mkv": (125, (640, 360), 0, 25.0, "av1", 124 / 25),
    "videos/torchcodec_nasa_13013.mp4": (325, (320, 180), 0, 25.0, "h264", 324 / 25),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_real_recordings(samples_dir, name):
    n_frames, size, rotation, fps, codec, last_s = SAMPLES[name]
    with VideoReader(samples_dir / name) as video:
        frames = [(frame.index, frame.time_s) for frame in video]
        assert (video.width, video.height) == size
        assert (video.rotation, video.codec, video.n_decoded) == (rotation, codec, n_frames)
        assert video.fps == pytest.approx(fps)
        assert video.n_repaired_times == 0
    assert frames[0] == (0, 0.0)
    assert frames[-1] == (n_frames - 1, pytest.approx(last_s))
    assert np.diff([time for _, time in frames]) == pytest.approx(1 / fps, abs=1e-6)
