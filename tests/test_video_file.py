import av
import numpy as np
import pytest

from toolkit.readers.video import VideoReader
from toolkit.video_file import H264, XVID, write_video


def grey_frames(n, height=16, width=32):
    return iter([np.full((height, width, 3), 40 * t, np.uint8) for t in range(n)])


@pytest.mark.parametrize("kind", [H264, XVID])
def test_frames_come_back_at_their_times(tmp_path, kind):
    path = tmp_path / "no suffix tells the container"
    assert write_video(path, grey_frames(3), kind, 25.0) == 3
    with VideoReader(path) as video:
        found = [(frame.time_s, frame.picture.to_ndarray(format="rgb24")) for frame in video]
        assert (video.width, video.height, video.fps) == (32, 16, 25.0)
    assert [time for time, _ in found] == pytest.approx([0, 0.04, 0.08])
    assert [float(picture.mean()) for _, picture in found] == pytest.approx([0, 40, 80], abs=3)


def test_an_uneven_rate_is_kept(tmp_path):
    write_video(tmp_path / "a.mp4", grey_frames(2), H264, 30000 / 1001)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(29.97003)


def test_the_same_frames_make_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_video(tmp_path / name, grey_frames(4), H264)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("frames", "found"), [(grey_frames(0), "no frame"), (grey_frames(1, 15), "got 32x15")]
)
def test_frames_that_no_codec_takes_are_refused(tmp_path, frames, found):
    with pytest.raises(ValueError, match=found):
        write_video(tmp_path / "a.mp4", frames, H264)
