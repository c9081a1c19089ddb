"""Videos that are refused, and what is said of them."""

import av
import numpy as np
import pytest
from read_videos import read_all, refusal_of
from video_builders import (
    H264,
    XVID,
    Recipe,
    damage_packet,
    gray_pictures,
    textured_pictures,
    write_video,
)

from toolkit.errors import VideoFileError
from toolkit.readers.video import VideoReader


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
