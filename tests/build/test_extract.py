"""One recording through the worker's eyes: which picture is stored for which pose, and why not."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from builders import (
    ntu_frames,
    pose_person,
    write_kinetics_json,
    write_ntu_skeleton,
    write_openpose_folder,
)
from recordings import data_set, sample
from video_builders import H264, XVID, Recipe, gray_pictures, level_of, write_video

from toolkit.build.options import BuildOptions
from toolkit.build.run import BuildSettings, plan_build, run_build
from toolkit.shards import DatasetReader, read_manifest
from toolkit.shards.writer import ShardWriter
from toolkit.skeleton import OPENPOSE18

NTU = BuildOptions(source="ntu", align="frame", bodies="denoise", frame_size=16)
KINETICS = BuildOptions(source="kinetics", align="time", bodies="frame", frame_size=16)


def build(out, options, *samples):
    layout = {} if options.source == "ntu" else {"layout": OPENPOSE18}
    settings = BuildSettings(out, limits=None)
    run_build(plan_build(data_set(*samples, **layout), options, settings), settings, lambda _: None)
    return read_manifest(out).set_index("sample_id")


def shown(out, number=0):
    """Return which of ``gray_pictures`` each stored frame of a sample shows."""
    with DatasetReader(out) as reader:
        lumas = reader.sample(number).pictures()[:, 0, 0, 1].astype(float)
    # 16..235 of the video is 0..255 of the picture.
    levels = lumas * 219 / 255 + 16
    return [round((level - level_of(0)) / 10) for level in levels.tolist()]


def stored(out, number=0):
    with DatasetReader(out) as reader:
        return reader.sample(number)


def ntu_sample(folder, n_poses, n_pictures):
    poses = write_ntu_skeleton(folder / "a.skeleton", ntu_frames(*[[7]] * n_poses))
    video = write_video(folder / "a_rgb.avi", gray_pictures(n_pictures), XVID)
    return sample("a", poses, video)


def kinetics_sample(folder, n_poses, n_pictures, recipe=H264):
    people = [[pose_person(t)] for t in range(n_poses)]
    poses = write_kinetics_json(folder / "a.json", people, label="jump")
    return sample("a", poses, write_video(folder / "a.mp4", gray_pictures(n_pictures), recipe))


def test_pose_and_picture_of_the_same_number_belong_together(tmp_path):
    row = build(tmp_path / "out", NTU, ntu_sample(tmp_path, 18, 18)).loc["a"]
    assert shown(tmp_path / "out") == list(range(18))
    assert stored(tmp_path / "out").video_index.tolist() == list(range(18))
    assert not stored(tmp_path / "out").drift_s.any()
    told = row[["status", "n_frames", "n_clips", "video_frames", "max_drift_ms", "fps", "detail"]]
    assert told.tolist() == ["ok", 18, 2, 18, 0.0, 30.0, ""]


def test_the_stored_size_is_told(tmp_path):
    row = build(tmp_path / "out", NTU, ntu_sample(tmp_path, 3, 3)).loc["a"]
    pictures = stored(tmp_path / "out").pictures()
    # 64x48 with a short side of 16: 21.3 to the nearest even number.
    assert pictures.shape == (3, 16, 22, 3)
    assert row[["width", "height"]].tolist() == [22, 16]


@pytest.mark.parametrize(
    ("n_pictures", "chosen", "told"),
    [
        (11, range(10), "10 pose frames, 11 video frames"),
        (8, [*range(8), 7, 7], "10 pose frames, 8 video frames"),
        (7, [*range(7), 6, 6, 6], "10 pose frames, 7 video frames"),
    ],
)
def test_counts_that_differ_a_little_are_told(tmp_path, n_pictures, chosen, told):
    row = build(tmp_path / "out", NTU, ntu_sample(tmp_path, 10, n_pictures)).loc["a"]
    assert (row["status"], row["detail"]) == ("ok", told)
    assert shown(tmp_path / "out") == list(chosen)
    drift = (10 - n_pictures) / 30 * 1000 if n_pictures < 10 else 0
    assert row["max_drift_ms"] == pytest.approx(drift, abs=1e-3)


@pytest.mark.parametrize("n_pictures", [6, 14])
def test_counts_that_differ_by_more_than_the_tolerance_are_misaligned(tmp_path, n_pictures):
    row = build(tmp_path / "out", NTU, ntu_sample(tmp_path, 10, n_pictures)).loc["a"]
    assert row["status"] == "misaligned"
    told = f"10 pose frames, {n_pictures} video frames, at most 3 apart allowed"
    assert row["detail"] == f"{tmp_path / 'a_rgb.avi'}: {told}"


def test_a_video_frame_that_serves_two_poses_is_stored_for_both(tmp_path):
    # 15 pictures a second: pictures 0, 1, 2 at 0, 66.7, 133.3 ms; ties go to the earlier.
    one = kinetics_sample(tmp_path, 5, 3, dataclasses.replace(H264, rate=15))
    row = build(tmp_path / "out", KINETICS, one).loc["a"]
    assert shown(tmp_path / "out") == [0, 0, 1, 1, 2]
    assert stored(tmp_path / "out").video_index.tolist() == [0, 0, 1, 1, 2]
    assert row["max_drift_ms"] == pytest.approx(1000 / 30, abs=1e-2)


def test_drift_is_signed_and_in_seconds(tmp_path):
    one = kinetics_sample(tmp_path, 4, 3, dataclasses.replace(H264, rate=20))
    build(tmp_path / "out", KINETICS, one)
    # Poses at 0, 33.3, 66.7, 100 ms; pictures at 0, 50, 100 ms.
    drift_ms = stored(tmp_path / "out").drift_s * 1000
    np.testing.assert_allclose(drift_ms, [0, 50 / 3, -50 / 3, 0], atol=1e-2)


def test_a_variable_rate_is_followed_by_its_times(tmp_path):
    # Pictures at 0, 10, 20, 100, 200 ms.
    recipe = Recipe(ticks=[0, 10, 20, 100, 200], tick_s=Fraction(1, 1000), options=H264.options)
    build(tmp_path / "out", KINETICS, kinetics_sample(tmp_path, 7, 5, recipe))
    # Poses at 0, 33, 67, 100, 133, 167, 200 ms.
    assert shown(tmp_path / "out") == [0, 2, 3, 3, 3, 4, 4]


@pytest.mark.parametrize(("n_pictures", "status"), [(7, "ok"), (6, "misaligned")])
def test_a_video_that_ends_before_its_poses(tmp_path, n_pictures, status):
    # The last pose stands at 300 ms, the last pictures at 200 and 167 ms: 100 ms are allowed.
    one = kinetics_sample(tmp_path, 10, n_pictures)
    row = build(tmp_path / "out", KINETICS, one).loc["a"]
    assert row["status"] == status
    if status != "ok":
        assert "pose frame 9 at 0.300 s is 133 ms from the nearest video frame" in row["detail"]


def test_a_longer_tolerance_takes_it(tmp_path):
    options = dataclasses.replace(KINETICS, tolerance_ms=140.0)
    one = kinetics_sample(tmp_path, 10, 6)
    assert build(tmp_path / "out", options, one).loc["a", "status"] == "ok"


def test_poses_may_have_another_rate(tmp_path):
    options = dataclasses.replace(KINETICS, pose_fps=15.0)
    build(tmp_path / "out", options, kinetics_sample(tmp_path, 5, 9))
    assert shown(tmp_path / "out") == [0, 2, 4, 6, 8]


def test_a_label_that_the_pose_file_tells_otherwise_is_noted(tmp_path):
    one = dataclasses.replace(kinetics_sample(tmp_path, 3, 3), label=1, label_name="run")
    row = build(tmp_path / "out", KINETICS, one).loc["a"]
    assert (row["status"], row["detail"]) == ("ok", "the pose file says label 'jump'")


def test_openpose_folders_are_read_in_the_order_of_their_numbers(tmp_path):
    people = [[pose_person(t)] for t in range(12)]
    poses = write_openpose_folder(tmp_path / "a", people)
    options = dataclasses.replace(KINETICS, source="openpose", skeleton_only=True)
    row = build(tmp_path / "out", options, sample("a", poses)).loc["a"]
    assert row[["status", "n_frames", "n_bodies"]].tolist() == ["ok", 12, 1]
    window = stored(tmp_path / "out")
    np.testing.assert_allclose(window.joints[:, 0], np.stack([p[0] for p in people]), rtol=1e-6)
    assert window.video_index.tolist() == [-1] * 12


def test_a_failed_video_leaves_its_neighbours_whole(tmp_path):
    samples = []
    for name in "abc":
        (tmp_path / name).mkdir()
        one = kinetics_sample(tmp_path / name, 6, 6)
        samples.append(dataclasses.replace(one, sample_id=name))
    samples[1].video.write_bytes(samples[1].video.read_bytes()[:500])
    rows = build(tmp_path / "out", KINETICS, *samples)
    assert rows["status"].tolist() == ["ok", "bad_video", "ok"]
    assert [shown(tmp_path / "out", i) for i in range(2)] == [list(range(6))] * 2


def test_too_few_frames_are_too_short(tmp_path):
    options = dataclasses.replace(NTU, min_frames=4, skeleton_only=True)
    row = build(tmp_path / "out", options, ntu_sample(tmp_path, 3, 3)).loc["a"]
    assert (row["status"], row["detail"]) == (
        "too_short", f"{tmp_path / 'a.skeleton'}: 3 frames, 4 wanted",
    )  # fmt: skip


def test_nobody_in_any_frame_is_no_body(tmp_path):
    options = dataclasses.replace(NTU, skeleton_only=True)
    poses = write_ntu_skeleton(tmp_path / "a.skeleton", ntu_frames([], [], []))
    row = build(tmp_path / "out", options, sample("a", poses)).loc["a"]
    assert (row["status"], row["detail"]) == (
        "no_body", f"{poses}: none of the 3 frames holds a body",
    )  # fmt: skip


def test_a_fault_of_ours_costs_one_sample_and_is_logged(tmp_path, monkeypatch, caplog):
    from toolkit.build import extract

    read = extract.read_kinetics_json

    def stumble(path, **options):
        if path.parent.name == "b":
            raise ZeroDivisionError("a bug")
        return read(path, **options)

    monkeypatch.setattr(extract, "read_kinetics_json", stumble)
    samples = []
    for name in "abc":
        (tmp_path / name).mkdir()
        one = kinetics_sample(tmp_path / name, 3, 3)
        samples.append(dataclasses.replace(one, sample_id=name))
    rows = build(tmp_path / "out", KINETICS, *samples)
    assert rows["status"].tolist() == ["ok", "crashed", "ok"]
    assert rows.loc["b", "detail"] == "unexpected ZeroDivisionError: a bug"
    assert "sample b: unexpected error, please report it" in caplog.text


def test_a_full_disk_is_not_blamed_on_the_recording(tmp_path, monkeypatch):
    from toolkit.build import extract

    def fail(path, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(extract, "read_kinetics_json", fail)
    with pytest.raises(OSError, match="No space left"):
        build(tmp_path / "out", KINETICS, kinetics_sample(tmp_path, 3, 3))
    assert not list((tmp_path / "out" / "shards").iterdir())


def test_a_sample_that_cannot_be_stored_leaves_no_pictures_behind(tmp_path, monkeypatch):
    samples = []
    for name in "ab":
        (tmp_path / name).mkdir()
        samples.append(dataclasses.replace(kinetics_sample(tmp_path / name, 4, 4), sample_id=name))
    add = ShardWriter.add

    def refuse_first(writer, stored_sample):
        if stored_sample.sample_id == "a":
            raise RuntimeError("no place")
        add(writer, stored_sample)

    monkeypatch.setattr(ShardWriter, "add", refuse_first)
    manifest = build(tmp_path / "out", KINETICS, *samples)

    assert manifest["status"].to_dict() == {"a": "crashed", "b": "ok"}
    assert manifest.loc["a", "detail"] == "unexpected RuntimeError: no place"
    assert shown(tmp_path / "out") == [0, 1, 2, 3]


@pytest.mark.parametrize("codec", ["jpeg", "h264"])
def test_pictures_larger_than_can_be_read_are_refused_before_they_are_encoded(
    tmp_path, monkeypatch, codec
):
    for name in ("toolkit.build.video_match", "toolkit.shards.stores", "toolkit.shards.codec"):
        monkeypatch.setattr(f"{name}.MAX_PIXELS", 351, raising=False)
    options = dataclasses.replace(NTU, codec=codec, encoder="x" if codec == "h264" else "")
    row = build(tmp_path / "out", options, ntu_sample(tmp_path, 18, 18)).loc["a"]
    told = "a_rgb.avi: header: expected pictures that have at most 351 pixels when stored"
    assert row["status"] == "bad_video"
    assert told in row["detail"]
    assert row["detail"].endswith(", found 22x16")
