import dataclasses

import cv2
import numpy as np
import pytest
from shard_builders import RECORDINGS, MadeDataset, Recording, write_dataset

from toolkit.build.options import BuildOptions
from toolkit.build.run import BuildSettings, plan_build, run_build
from toolkit.datasets.ntu import list_ntu
from toolkit.drawing import MIDDLE, SIDES, bone_colour
from toolkit.render import (
    SheetStyle,
    draw_dataset,
    draw_sample,
    draw_skeleton,
    pick_evenly,
    write_picture,
)
from toolkit.shards import DatasetReader
from toolkit.skeleton import NTU25, OPENPOSE18, SkeletonLayout

GREY = np.full((100, 100, 3), 128, np.uint8)
STICK = SkeletonLayout("stick", ("left hand", "left elbow", "head"), ((0, 1), (1, 2)), 2)

# A tile of a 48x32 picture 64 high is 96 wide, 18 more for the caption, 2 of border all around.
TILE = 64 + 18 + 4, 96 + 4
TITLE = 18
STYLE = SheetStyle(n_frames=3, n_columns=2, tile_height=64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("made") / "out")


def stick(*points):
    """Return pixels (1, 3, 2) of the stick figure."""
    return np.array([points], np.float32)


def changed(picture):
    """Return where a drawing left its mark on grey, (n, 2) of row and column."""
    return np.argwhere((picture != 128).any(-1))


def test_a_skeleton_lies_where_its_joints_are():
    drawn = draw_skeleton(GREY, stick((0.2, 0.5), (0.5, 0.5), (0.8, 0.5)), np.ones(1), STICK)
    rows, columns = changed(drawn).T
    assert abs(rows - 50).max() <= 3
    assert 16 <= columns.min() <= 20
    assert 80 <= columns.max() <= 84


def test_x_counts_along_the_width_and_y_along_the_height():
    wide = np.full((100, 200, 3), 128, np.uint8)
    drawn = draw_skeleton(wide, stick((0.75, 0.1), (0.75, 0.2), (0.75, 0.3)), np.ones(1), STICK)
    rows, columns = changed(drawn).T
    assert abs(columns - 150).max() <= 3
    assert rows.max() <= 34


def test_bones_have_the_colour_of_their_side():
    drawn = draw_skeleton(GREY, stick((0.2, 0.5), (0.8, 0.5), (0.8, 0.1)), np.ones(1), STICK)
    # Where a thin line lies between two rows of pixels, its colour mixes with the ground's.
    assert np.allclose(drawn[50, 50], SIDES["left"], atol=40)


def test_the_picture_given_stays_as_it_is():
    draw_skeleton(GREY, stick((0.2, 0.5), (0.8, 0.5), (0.8, 0.1)), np.ones(1), STICK)
    assert (GREY == 128).all()


def test_an_absent_body_is_not_drawn():
    pixels = np.repeat(stick((0.2, 0.5), (0.5, 0.5), (0.8, 0.5)), 2, 0)
    assert len(changed(draw_skeleton(GREY, pixels, np.zeros(2), STICK))) == 0


def test_an_unseen_joint_takes_its_bone_with_it():
    drawn = draw_skeleton(GREY, stick((0.2, 0.5), (0.5, 0.5), (0, 0)), np.ones(1), STICK)
    rows, columns = changed(drawn).T
    assert rows.min() >= 46
    assert columns.max() <= 54


@pytest.mark.parametrize("far", [(40.0, 0.5), (-1e9, 0.5), (np.inf, 0.5), (np.nan, 0.5)])
def test_a_joint_far_outside_is_left_out(far):
    drawn = draw_skeleton(GREY, stick((0.2, 0.5), (0.5, 0.5), far), np.ones(1), STICK)
    assert changed(drawn)[:, 1].max() <= 54


def test_a_joint_a_little_outside_keeps_its_bone():
    drawn = draw_skeleton(GREY, stick((0.2, 0.5), (0.5, 0.5), (1.1, 0.5)), np.ones(1), STICK)
    assert changed(drawn)[:, 1].max() == 99


def test_small_pictures_can_be_enlarged():
    drawn = draw_skeleton(
        GREY, stick((0.2, 0.5), (0.5, 0.5), (0.8, 0.5)), np.ones(1), STICK, scale=3
    )
    assert drawn.shape == (300, 300, 3)
    assert abs(changed(drawn)[:, 0] - 150).max() <= 6


@pytest.mark.parametrize(
    ("layout", "a", "b", "colour"),
    [
        (NTU25, 5, 4, SIDES["left"]),
        (NTU25, 8, 20, SIDES["right"]),
        (NTU25, 0, 1, MIDDLE),
        (OPENPOSE18, 3, 2, SIDES["right"]),
        (OPENPOSE18, 5, 1, SIDES["left"]),
        (OPENPOSE18, 0, 1, MIDDLE),
    ],
)
def test_sides_are_told_by_the_joints_names(layout, a, b, colour):
    assert bone_colour(layout, a, b) == colour


@pytest.mark.parametrize(
    ("n", "n_wanted", "expected"),
    [(9, 3, [0, 4, 8]), (103, 4, [0, 34, 68, 102]), (2, 5, [0, 1]), (7, 1, [0]), (0, 3, [])],
)
def test_frames_are_picked_evenly_with_both_ends(n, n_wanted, expected):
    assert pick_evenly(n, n_wanted) == expected


def test_a_sheet_holds_its_frames_row_by_row(folder):
    # Three frames in two columns are two rows below the title.
    sheet = draw_sample(folder, "a", style=STYLE)
    assert sheet.shape == (TITLE + 2 * TILE[0], 2 * TILE[1], 3)


def test_each_tile_shows_its_own_frame(folder):
    # Frame t of the made pictures is grey 5 t; the middle of the left edge shows no skeleton.
    sheet = draw_sample(folder, "a", [4, 10], dataclasses.replace(STYLE, skeletons=False))
    first, second = sheet[TITLE + 34, 10], sheet[TITLE + 34, TILE[1] + 10]
    assert np.allclose(first, 20, atol=2)
    assert np.allclose(second, 50, atol=2)


def test_skeletons_can_be_left_out(folder):
    plain = draw_sample(folder, "a", [4], dataclasses.replace(STYLE, skeletons=False))
    drawn = draw_sample(folder, "a", [4], STYLE)
    assert (plain != drawn).any(-1).sum() > 100


def test_captions_tell_frame_video_and_drift(folder, monkeypatch):
    texts = []
    put_text = cv2.putText
    monkeypatch.setattr(
        cv2, "putText", lambda bar, text, *rest: (texts.append(text), put_text(bar, text, *rest))
    )
    draw_sample(folder, "g", [3, 16], STYLE)
    assert texts == ["frame 3  video 3  +0.0 ms", "frame 16  video 16  +20.0 ms", texts[-1]]
    assert texts[-1] == "eat meal   g   17 frames"


def test_a_reader_at_hand_is_used_and_left_open(folder):
    with DatasetReader(folder) as reader:
        assert (
            draw_sample(reader, "a", style=STYLE) == draw_sample(folder, "a", style=STYLE)
        ).all()
        assert len(reader.sample(0)) == 33


def test_skeletons_without_pictures_are_drawn_on_a_dark_ground(tmp_path):
    made = MadeDataset(layout=OPENPOSE18, pictures=False)
    folder = write_dataset(tmp_path / "out", RECORDINGS[:1], made)
    sheet = draw_sample(folder, "a", [0], STYLE)
    tile = sheet[TITLE + 2 : TITLE + 66, 2:-2]
    assert tile.shape[1] == round(64 * 4 / 3)
    assert np.median(tile) < 60
    assert tile.max() > 200


def test_zooming_shows_the_bodies_larger(tmp_path):
    folder = write_dataset(tmp_path / "out", [Recording("a", n_frames=40)])
    near, whole = (
        draw_sample(folder, "a", [0], SheetStyle(tile_height=200, zoom=zoom))
        for zoom in (True, False)
    )
    # Joints fill 0.2 to 0.8 of the picture, with margins 0.72 of it: 1.39 times as large.
    wide = [np.ptp(np.argwhere((s[TITLE + 8 : 200] > 60).any(-1))[:, 1]) for s in (near, whole)]
    assert wide[0] / wide[1] == pytest.approx(1.39, abs=0.1)


@pytest.mark.parametrize(
    ("sample_id", "frames", "problem"),
    [
        ("zz", None, "no sample 'zz'"),
        ("c", None, "sample c cannot be drawn, it is bad_skeleton: c.skeleton: line 3"),
        ("a", [33], "sample a has the frames 0 to 32: no frame 33"),
        ("a", [-1], "no frame -1"),
        ("a", [], "no frame was asked for"),
    ],
)
def test_what_cannot_be_drawn_is_said(folder, sample_id, frames, problem):
    with pytest.raises(ValueError, match=problem):
        draw_sample(folder, sample_id, frames)


def test_a_data_set_is_drawn_one_row_a_sample(folder):
    sheet = draw_dataset(folder, 3, STYLE)
    assert sheet.shape == (3 * (TITLE + TILE[0]), 2 * TILE[1], 3)


def test_short_samples_leave_the_rest_of_their_row_empty(tmp_path):
    recordings = [Recording("a", n_frames=1), Recording("b", n_frames=9)]
    folder = write_dataset(tmp_path / "out", recordings)
    sheet = draw_dataset(folder, 2, STYLE)
    assert sheet.shape == (2 * (TITLE + TILE[0]), 2 * TILE[1], 3)


def test_a_data_set_without_a_usable_sample_cannot_be_drawn(tmp_path):
    folder = write_dataset(tmp_path / "out", [Recording("a", reason="no_body")])
    with pytest.raises(ValueError, match="no usable sample"):
        draw_dataset(folder)


@pytest.mark.parametrize("name", ["sheet.png", "sheet.JPG"])
def test_a_written_picture_reads_back_in_its_colours(tmp_path, name):
    rgb = np.zeros((16, 16, 3), np.uint8)
    rgb[..., 0] = 200
    write_picture(tmp_path / name, rgb)
    blue, green, red = cv2.imread(str(tmp_path / name))[8, 8]
    assert red > 190
    assert max(blue, green) < 10


def test_a_picture_of_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"not 'sheet\.bmp'"):
        write_picture(tmp_path / "sheet.bmp", GREY)


@pytest.mark.parametrize("wrong", [{"n_frames": 0}, {"n_columns": 0}, {"tile_height": 5}])
def test_a_sheet_of_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="cannot be drawn"):
        SheetStyle(**wrong)


def test_the_skeleton_of_a_real_recording_lies_on_the_body(samples_dir, tmp_path):
    """The subject wears black before a white wall; a hand passes before the trunk now and then."""
    settings = BuildSettings(tmp_path / "out")
    data = list_ntu(samples_dir / "ntu_skeleton", samples_dir / "ntu_rgb")
    options = BuildOptions(source="ntu", align="frame", bodies="denoise")
    run_build(plan_build(data, options, settings), settings, lambda rows: None)
    with DatasetReader(settings.out) as reader:
        window = reader.sample(0)
    spine_mid = window.pixels[:, 0, NTU25.joints.index("spine mid")]
    pictures = window.pictures()
    columns, rows = (spine_mid * (pictures.shape[2], pictures.shape[1])).astype(int).T
    trunk = pictures[np.arange(len(window)), rows, columns].mean(1)
    beside = pictures[np.arange(len(window)), rows, columns + 20].mean(1)
    assert np.mean(trunk < 40) > 0.9
    assert beside.min() > 120
