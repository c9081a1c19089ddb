import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest
from builders import pose_person, write_kinetics_json
from raw_folders import in_process, numbers_of, rows, statuses, write_kinetics
from running import ctxtool
from video_builders import H264, Recipe, gray_pictures, quadrant_picture, set_rotation, write_video

from toolkit.shards import DatasetReader

# Ids of the kinds that tools stumble over.
DASH, FLOAT, PLAIN = "--33Lscn6sk", "12345678e05", "abcdefghij0"


def extract(raw, *options):
    """Build ``raw`` into the folder ``out`` beside it."""
    out = raw.parent / "out"
    return in_process("extract-kinetics", "--raw", raw, "--out", out, "--jobs", 1, *options), out


def write_poses(raw, name, n_poses):
    people = [[pose_person(t)] for t in range(n_poses)]
    return write_kinetics_json(raw / "kinetics_train" / f"{name}.json", people)


def clock(rate, ticks=None, tick_s=None):
    return dataclasses.replace(H264, rate=rate, ticks=ticks, tick_s=tick_s)


# Poses stand at 0, 1/30, 2/30, ... s; the picture nearest in time is stored, ties to the earlier.
# Each case: the video's clock, its pictures, the poses, which picture each gets, its drift in ms.
CLOCKS = {
    # Pictures at 0, 66.7, 133.3 ms: poses half-way between two keep the earlier.
    "15 a second": (clock(15), 3, 5, [0, 0, 1, 1, 2], [0, -100 / 3, 0, -100 / 3, 0]),
    # Pictures at 0, 16.7, 33.3, ... ms: every second one.
    "60 a second": (clock(60), 9, 5, [0, 2, 4, 6, 8], [0, 0, 0, 0, 0]),
    # Pictures at 0, 40, 80, 120 ms against poses at 0, 33.3, 66.7, 100, 133.3 ms.
    "25 a second": (
        clock(25), 4, 5, [0, 1, 2, 2, 3], [0, 20 / 3, 40 / 3, -20, -40 / 3],
    ),
    # Pictures at 0, 10, 90, 100, 190 ms against poses at 0, 33.3, 66.7, 100, 133.3, 166.7 ms.
    "variable": (
        clock(30, (0, 10, 90, 100, 190), Fraction(1, 1000)), 5, 6,
        [0, 1, 2, 3, 3, 4], [0, -70 / 3, 70 / 3, 0, -100 / 3, 70 / 3],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def timed(tmp_path_factory):
    """One build of a recording for each clock; ids in the order of the cases."""
    raw = tmp_path_factory.mktemp("timed") / "raw"
    for number, (recipe, n_pictures, n_poses, _, _) in enumerate(CLOCKS.values()):
        write_poses(raw, f"clock{number}", n_poses)
        write_video(raw / f"clock{number}.mp4", gray_pictures(n_pictures), recipe)
    return extract(raw)


@pytest.mark.parametrize(("number", "case"), list(enumerate(CLOCKS.values())), ids=CLOCKS)
def test_every_pose_gets_the_picture_nearest_in_time(timed, number, case):
    _, n_pictures, n_poses, chosen, drift_ms = case
    with DatasetReader(timed[1]) as data:
        window = data.sample(number)
        row = data.samples.iloc[number]
    assert numbers_of(window.pictures()) == chosen
    assert window.video_index.tolist() == chosen
    np.testing.assert_allclose(window.drift_s * 1000, drift_ms, atol=1e-2)
    assert (row["n_frames"], row["video_frames"]) == (n_poses, n_pictures)
    assert row["max_drift_ms"] == pytest.approx(max(map(abs, drift_ms)), abs=1e-2)


def test_poses_of_another_rate_are_told_by_the_user(tmp_path):
    raw = tmp_path / "raw"
    write_poses(raw, PLAIN, 4)
    write_video(raw / f"{PLAIN}.mp4", gray_pictures(10))
    _, out = extract(raw, "--pose-fps", 10)
    with DatasetReader(out) as data:
        assert numbers_of(data.sample(0).pictures()) == [0, 3, 6, 9]


@pytest.mark.parametrize(("max_drift", "status"), [(366, "misaligned"), (367, "ok")])
def test_a_video_that_ends_early_is_misaligned(tmp_path, max_drift, status):
    # 15 pictures a second, the last of 10 at 600 ms; the last of 30 poses stands at 967 ms.
    raw = tmp_path / "raw"
    write_poses(raw, PLAIN, 30)
    write_video(raw / f"{PLAIN}.mp4", gray_pictures(10), clock(15))
    ran, out = extract(raw, "--max-drift", max_drift)
    row = rows(out).loc[PLAIN]
    assert (ran.status, row["status"]) == (0 if status == "ok" else 3, status)
    told = (
        f"{raw}/{PLAIN}.mp4: pose frame 29 at 0.967 s is 367 ms from the nearest video frame"
        " (the video's last is at 0.600 s), 366 ms allowed"
    )
    assert row["detail"] == ("" if status == "ok" else told)


def test_pictures_are_turned_as_the_video_asks(tmp_path):
    raw = tmp_path / "raw"
    write_poses(raw, PLAIN, 2)
    video = write_video(raw / f"{PLAIN}.mp4", [quadrant_picture()] * 2)
    set_rotation(video, 90)
    _, out = extract(raw)
    with DatasetReader(out) as data:
        picture = data.sample(0).pictures()[0]
    # 96x64 red green / blue white, turned clockwise: blue red / white green, 64 wide.
    assert picture.shape == (96, 64, 3)
    assert rows(out).loc[PLAIN, ["width", "height"]].tolist() == [64, 96]
    corners = picture[[20, 20, 76, 76], [16, 48, 16, 48]] > 128
    assert corners.tolist() == [
        [False, False, True], [True, False, False], [True, True, True], [False, True, False],
    ]  # fmt: skip


def test_defaults_need_no_path(tmp_path):
    raw = tmp_path / "data" / "kinetics"
    for name in (DASH, FLOAT, PLAIN):
        write_kinetics(raw, name, 3)
    ran = ctxtool("extract-kinetics", "--jobs", 1, cwd=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == "out/kinetics: 3 planned = 3 ok\nsplit kinetics: train 3\n"
    manifest = rows(tmp_path / "out" / "kinetics")
    assert manifest["youtube_id"].tolist() == [DASH, FLOAT, PLAIN] == manifest.index.tolist()


def test_no_data_is_one_paragraph_with_a_way_out(tmp_path):
    ran = in_process("extract-kinetics", cwd=tmp_path)
    assert ran.status == 1
    assert ran.err.startswith("Error: No raw Kinetics-skeleton data was found")
    assert "below data/kinetics." in ran.err
    assert ran.err.endswith("run: ctxtool synthesize kinetics\n")
    assert not list(tmp_path.iterdir())


def test_videos_are_found_by_id_whatever_the_naming(tmp_path):
    raw = tmp_path / "raw"
    for name, video in (
        (DASH, f"videos/hopscotch/{DASH}_000010_000020.mp4"),
        (FLOAT, f"more/{FLOAT}.mp4"),
    ):
        write_poses(raw, name, 3)
        (raw / video).parent.mkdir(parents=True)
        write_video(raw / video, gray_pictures(3))
    _, out = extract(raw)
    assert statuses(out) == {DASH: "ok", FLOAT: "ok"}


def test_label_files_name_what_is_planned(tmp_path):
    raw = tmp_path / "raw"
    write_poses(raw, DASH, 3)
    entries = {
        name: {"has_skeleton": known, "label": "hopscotch", "label_index": 151}
        for name, known in ((DASH, True), (FLOAT, False), (PLAIN, True))
    }
    (raw / "kinetics_val_label.json").write_text(json.dumps(entries))
    ran, out = extract(raw, "--skeleton-only", "--allow", "missing_skeleton")
    assert ran.status == 0
    assert statuses(out) == {FLOAT: "missing_skeleton", DASH: "ok", PLAIN: "missing_skeleton"}
    assert set(rows(out)["split_kinetics"]) == {"test"}


def test_label_files_may_be_named(tmp_path):
    raw, labels = tmp_path / "raw", tmp_path / "train.json"
    write_poses(raw, DASH, 3)
    labels.write_text(json.dumps({DASH: {"label": "abseiling", "label_index": 0}}))
    _, out = extract(raw, "--skeleton-only", "--labels", labels)
    row = rows(out).loc[DASH]
    assert row[["label", "label_name", "split_kinetics"]].tolist() == [0, "abseiling", "train"]
    assert row["detail"] == "the pose file says label 'hopscotch'"


def test_the_two_best_people_of_each_frame_are_kept(tmp_path):
    raw = tmp_path / "raw"
    faint, good, best = (
        np.column_stack((np.full((18, 2), place), np.full(18, score)))
        for place, score in ((0.2, 0.3), (0.4, 0.6), (0.6, 0.9))
    )
    write_kinetics_json(raw / "kinetics_train" / f"{DASH}.json", [[faint, good, best]] * 3)
    _, out = extract(raw, "--skeleton-only")
    with DatasetReader(out) as data:
        joints = data.sample(0).joints
    np.testing.assert_allclose(joints[0, :, 0, 2], [0.9, 0.6], rtol=1e-6)
    assert "more than two people, 3 at most" in rows(out).loc[DASH, "detail"]


def test_a_recording_of_no_known_class_has_its_reason(tmp_path):
    raw = tmp_path / "raw"
    write_kinetics_json(
        raw / "kinetics_train" / f"{DASH}.json", [[pose_person()]], label="juggling chainsaws"
    )
    ran, out = extract(raw, "--skeleton-only")
    assert (ran.status, statuses(out)) == (3, {DASH: "unknown_label"})
    assert '"juggling chainsaws" is not one of the 400' in rows(out).loc[DASH, "detail"]


def test_a_label_index_that_disagrees_is_told_and_the_label_used(tmp_path):
    # Line 157 of the published names: hopscotch is class 156.
    raw = tmp_path / "raw"
    write_kinetics_json(raw / "kinetics_train" / f"{DASH}.json", [[pose_person()]], label_index=157)
    ran, out = extract(raw, "--skeleton-only")
    assert rows(out).loc[DASH, "label"] == 156
    assert "1 of 1 recordings (1 of them count from 1)" in ran.err
    assert f"{DASH}: hopscotch is 156, not 157" in ran.err


def test_a_video_of_another_codec_and_container_is_decoded_too(tmp_path):
    raw = tmp_path / "raw"
    write_poses(raw, DASH, 6)
    write_video(raw / f"{DASH}.avi", gray_pictures(6), Recipe(codec="mjpeg", pix_fmt="yuvj420p"))
    _, out = extract(raw)
    assert rows(out).loc[DASH, ["status", "video_frames"]].tolist() == ["ok", 6]


@pytest.fixture(scope="module")
def genuine(samples_dir, tmp_path_factory):
    """Extract the one file of the public release that lies here, skeleton only."""
    raw = tmp_path_factory.mktemp("genuine") / "raw"
    (raw / "kinetics_train").mkdir(parents=True)
    text = (samples_dir / "kinetics_skeleton" / f"{DASH}.json").read_text()
    (raw / "kinetics_train" / f"{DASH}.json").write_text(text)
    return json.loads(text), extract(raw, "--skeleton-only")


def test_the_genuine_file_is_usable_whole(genuine):
    _, (ran, out) = genuine
    row = rows(out).loc[DASH]
    assert ran.status == 0
    told = ["status", "label", "label_name", "n_frames", "n_clips", "split_kinetics"]
    assert row[told].tolist() == ["ok", 129, "flipping pancake", 189, 12, "train"]


def test_the_genuine_frames_are_in_order_and_gaps_stay(genuine):
    document, (_, out) = genuine
    with DatasetReader(out) as data:
        window = data.sample(0)
    people = [len(frame["skeleton"]) for frame in document["data"]]
    assert window.present.sum(1).tolist() == [min(n, 2) for n in people]
    for t, frame in enumerate(document["data"]):
        if len(frame["skeleton"]) == 1:
            pose = np.float32(frame["skeleton"][0]["pose"]).reshape(18, 2)
            np.testing.assert_array_equal(window.joints[t, 0, :, :2], pose)
