import av
import cv2
import numpy as np
import pytest
from shard_builders import HEIGHT, MadeDataset, Recording, write_dataset

from toolkit import overlay
from toolkit.gif_file import write_gif
from toolkit.overlay import RenderOptions, render_sample
from toolkit.skeleton import OPENPOSE18

# 64 high a picture of 48x32 is 96 wide; the caption below and the title above have 18 each, and
# the square of space is as high as picture and caption.
SIZE = RenderOptions(height=64)
WIDTH, SPACE, FULL = 96, 64 + 18, 64 + 18 + 18


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    recordings = [
        Recording("a", n_frames=18),
        Recording("c", reason="bad_skeleton", detail="c.skeleton: line 3"),
    ]
    return write_dataset(tmp_path_factory.mktemp("made") / "out", recordings)


def read_movie(path):
    """Return frames (T, H, W, 3) in RGB and the times at which they are shown."""
    with av.open(path) as container:
        frames = list(container.decode(video=0))
    return np.stack([f.to_ndarray(format="rgb24") for f in frames]), [f.time for f in frames]


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_every_frame_is_drawn_beside_the_skeleton_in_space(folder, tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    assert render_sample(folder, "a", path, SIZE) == 18
    frames, _ = read_movie(path)
    assert frames.shape == (18, FULL, WIDTH + SPACE, 3)


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_frames_come_in_their_order(folder, tmp_path, kind):
    # Frame t of the made pictures is grey 5 t; the left edge shows no skeleton.
    path = tmp_path / f"a.{kind}"
    render_sample(folder, "a", path, SIZE)
    edge = read_movie(path)[0][:, 18 + 32, 4].mean(-1)
    assert np.abs(edge - 5 * np.arange(18)).max() < 6


def test_skeletons_in_fractions_have_no_space_beside_them(tmp_path):
    folder = write_dataset(tmp_path / "out", [Recording("a", n_frames=3)], MadeDataset(OPENPOSE18))
    render_sample(folder, "a", tmp_path / "a.mp4", SIZE)
    assert read_movie(tmp_path / "a.mp4")[0].shape == (3, FULL, WIDTH, 3)


def test_skeletons_without_pictures_are_drawn_alone(tmp_path):
    made = MadeDataset(OPENPOSE18, pictures=False)
    folder = write_dataset(tmp_path / "out", [Recording("a", n_frames=3)], made)
    render_sample(folder, "a", tmp_path / "a.mp4", SIZE)
    frames = read_movie(tmp_path / "a.mp4")[0]
    # 64 * 4/3 is 85.3: the nearest even width is below.
    assert frames.shape == (3, FULL, 84, 3)
    assert frames[:, 18:-18].max() > 150


def test_one_clip_alone(folder, tmp_path):
    assert render_sample(folder, "a", tmp_path / "a.mp4", RenderOptions(clip=1, height=64)) == 2
    edge = read_movie(tmp_path / "a.mp4")[0][:, 18 + 32, 4].mean(-1)
    assert np.abs(edge - [80, 85]).max() < 6


def test_a_video_runs_at_the_rate_of_the_poses_or_another(folder, tmp_path):
    for fps, period in ((None, 1 / 30), (10, 1 / 10)):
        render_sample(folder, "a", tmp_path / "a.mp4", RenderOptions(height=64, fps=fps))
        assert np.diff(read_movie(tmp_path / "a.mp4")[1]) == pytest.approx(period, abs=1e-3)


def test_without_libx264_a_video_is_mpeg4(folder, tmp_path, monkeypatch):
    codecs = []
    for found in (True, False):
        monkeypatch.setattr(overlay, "_can_encode", lambda codec, found=found: found)
        render_sample(folder, "a", tmp_path / "a.mp4", SIZE)
        with av.open(tmp_path / "a.mp4") as container:
            codecs.append(container.streams.video[0].codec_context.name)
    assert codecs == ["h264", "mpeg4"]


@pytest.mark.parametrize(("clip", "n_shown", "n_lines"), [(None, 8, 2), (1, 2, 1)])
def test_a_picture_is_a_contact_sheet(folder, tmp_path, clip, n_shown, n_lines):
    options = RenderOptions(clip=clip, height=64)
    assert render_sample(folder, "a", tmp_path / "a.png", options) == n_shown
    sheet = cv2.imread(str(tmp_path / "a.png"))
    assert sheet.shape[0] == 18 + n_lines * (64 + 18 + 4)
    assert HEIGHT == 32


@pytest.mark.parametrize(
    ("sample_id", "name", "options", "problem"),
    [
        ("zz", "a.mp4", SIZE, "no sample 'zz' among the 2 of the manifest"),
        ("c", "a.mp4", SIZE, "sample c cannot be drawn, it is bad_skeleton: c.skeleton: line 3"),
        ("a", "a.webm", SIZE, r"a\.webm: a sample is drawn as \.mp4, \.gif"),
        ("a", "a.mp4", RenderOptions(clip=2), "the clips 0 to 1: no clip 2"),
        ("a", "a.gif", RenderOptions(fps=60), "at most 50 frames a second, not 60"),
    ],
)
def test_what_cannot_be_drawn_is_said(folder, tmp_path, sample_id, name, options, problem):
    with pytest.raises(ValueError, match=problem):
        render_sample(folder, sample_id, tmp_path / name, options)
    assert list(tmp_path.iterdir()) == []


def test_a_gif_keeps_strong_colours_and_repeats(tmp_path):
    pictures = [np.full((8, 8, 3), (255, 0, 0), np.uint8), np.full((8, 8, 3), 40, np.uint8)]
    assert write_gif(tmp_path / "a.gif", lambda: iter(pictures), 10) == 2
    frames, times = read_movie(tmp_path / "a.gif")
    assert np.abs(frames[:, 4, 4] - [pictures[0][0, 0].astype(int), [40] * 3]).max() <= 8
    assert times == [0, 0.1]
    # The block that every viewer knows, and 0 for as often as it likes.
    block = (tmp_path / "a.gif").read_bytes().partition(b"NETSCAPE2.0")[2]
    assert block[:4] == b"\x03\x01\x00\x00"


def test_a_gif_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one frame"):
        write_gif(tmp_path / "a.gif", lambda: iter(()), 10)
