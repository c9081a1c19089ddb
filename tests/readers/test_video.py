"""Which pictures of a video are read, of which stream, and how they lie."""

import logging
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from read_videos import read_all, refusal_of, times_of
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

from toolkit.readers.video import VideoReader

CONTAINERS = {
    "xvid.avi": XVID,
    "xvid_b.avi": replace(XVID, b_frames=2),
    "h264.mp4": H264,
    "h264_b.mp4": Recipe(b_frames=2),
    "h264_b.avi": Recipe(b_frames=2),
    "h264.mkv": H264,
}


def mean_luma(picture: av.VideoFrame) -> float:
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return float(rows[:, : plane.width].mean())


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


# Frame count, displayed size, rotation, rate, codec, time of the last frame.
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
