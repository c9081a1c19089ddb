import json
import tarfile

import numpy as np
import pytest
from builders import (
    pose_person,
    write_kinetics_json,
    write_openpose_folder,
    write_openpose_frame,
)
from raw_folders import in_process, numbers_of, rows, statuses
from running import ctxtool
from video_builders import gray_pictures, write_video

from toolkit.shards import DatasetReader, read_dataset_info

HEADER = "id,label,split,poses,video\n"


def extract(table, *options):
    out = table.parent / "out"
    return in_process(
        "extract-openpose", "--table", table, "--out", out, "--jobs", 1, *options
    ), out


def write_table(folder, *lines):
    table = folder / "my.csv"
    table.write_text(HEADER + "".join(f"{line}\n" for line in lines))
    return table


def stored(out, number=0):
    with DatasetReader(out) as data:
        return data.sample(number)


def people(n_frames, n_joints=18):
    return [[pose_person(t, n_joints)] for t in range(n_frames)]


@pytest.fixture
def recorded(tmp_path):
    """A table of two recordings of 6 frames with videos of 64x48 pixels: COCO-18 and BODY_25."""
    for name, n_joints in (("one", 18), ("two", 25)):
        write_openpose_folder(tmp_path / "poses" / name, people(6, n_joints))
        write_video(tmp_path / f"{name}.mp4", gray_pictures(6))
    lines = ("one,walk,train,poses/one,one.mp4", "two,run,test,poses/two,two.mp4")
    return write_table(tmp_path, *lines)


def test_a_table_of_own_recordings_is_built(recorded):
    out = recorded.parent / "out" / "openpose"
    ran = ctxtool("extract-openpose", "--table", "my.csv", "--jobs", 1, cwd=recorded.parent)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == "out/openpose: 2 planned = 2 ok\nsplit: train 1, test 1\n"
    manifest = rows(out)
    # Classes in the order of their names: run, walk.
    assert manifest[["label", "label_name", "split_split"]].values.tolist() == [
        [1, "walk", "train"], [0, "run", "test"],
    ]  # fmt: skip
    assert numbers_of(stored(out).pictures()) == [0, 1, 2, 3, 4, 5]


def test_body25_is_mapped_not_cut_off(recorded):
    _, out = extract(recorded)
    # Joint 8 is the mid hip; COCO-18 goes on with the right hip, 9, and ends with the ears, 18.
    wanted = [person[[*range(8), *range(9, 19)]] for (person,) in people(6, 25)]
    np.testing.assert_allclose(stored(out, 1).joints[:, 0], wanted, rtol=1e-6)


def test_pixels_become_fractions_of_the_video(tmp_path):
    in_pixels = [[person * (64, 48, 1)] for (person,) in people(4)]
    write_openpose_folder(tmp_path / "poses", in_pixels)
    write_video(tmp_path / "v.mp4", gray_pictures(4))
    _, out = extract(write_table(tmp_path, "a,walk,train,poses,v.mp4"), "--pose-scale", "pixels")
    wanted = [person for (person,) in people(4)]
    np.testing.assert_allclose(stored(out).joints[:, 0], wanted, rtol=1e-6)
    np.testing.assert_allclose(stored(out).pixels[:, 0], np.array(wanted)[..., :2], rtol=1e-6)


def test_a_scale_around_zero_is_moved_to_fractions(tmp_path):
    around_zero = [[person * (2, 2, 1) - (1, 1, 0)] for (person,) in people(4)]
    write_openpose_folder(tmp_path / "poses", around_zero)
    table = write_table(tmp_path, "a,walk,train,poses,")
    _, out = extract(table, "--skeleton-only", "--pose-scale=-1..1")
    wanted = [person for (person,) in people(4)]
    np.testing.assert_allclose(stored(out).joints[:, 0], wanted, atol=1e-6)


def test_pixels_of_no_picture_are_refused(recorded):
    ran, out = extract(recorded, "--pose-scale", "pixels", "--skeleton-only")
    assert ran.status == 2
    assert "--pose-scale pixels needs the videos" in ran.err
    assert not out.exists()


def test_another_split_of_the_table_may_be_the_default(tmp_path):
    write_kinetics_json(tmp_path / "a.json", people(2), label="walk")
    table = tmp_path / "my.csv"
    table.write_text("id,label,split,split_fold0,poses,video\na,walk,train,test,a.json,\n")
    ran, out = extract(table, "--split", "fold0", "--skeleton-only")
    assert (ran.status, ran.out.splitlines()[1]) == (0, "split fold0: test 1")
    assert read_dataset_info(out).default_split == "fold0"
    ran, _ = extract(table, "--split", "fold1", "--skeleton-only")
    assert ran.status == 2
    assert "my.csv has the splits split and fold0, not fold1" in ran.err


LAYOUT = {
    "name": "stick",
    "joints": ["head", "hand", "foot"],
    "bones": [[1, 0], [2, 0]],
    "centre": 0,
    "pairs": [],
}


def test_own_joints_come_from_a_layout_file(tmp_path):
    (tmp_path / "stick.json").write_text(json.dumps(LAYOUT))
    write_kinetics_json(tmp_path / "a.json", people(5, 3), label="walk")
    table = write_table(tmp_path, "a,walk,train,a.json,")
    ran, out = extract(table, "--layout", tmp_path / "stick.json", "--skeleton-only")
    assert ran.status == 0
    assert stored(out).joints.shape == (5, 2, 3, 3)
    assert read_dataset_info(out).layout.joints == ("head", "hand", "foot")


def test_poses_of_another_layout_are_told(tmp_path):
    (tmp_path / "stick.json").write_text(json.dumps(LAYOUT))
    write_kinetics_json(tmp_path / "a.json", people(5, 18), label="walk")
    table = write_table(tmp_path, "a,walk,train,a.json,")
    ran, out = extract(table, "--layout", tmp_path / "stick.json", "--skeleton-only")
    row = rows(out).loc["a"]
    assert (ran.status, row["status"]) == (3, "bad_skeleton")
    assert f"{tmp_path}/a.json: frame_index 1, person 0: expected 6 numbers" in row["detail"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bones": [[1, 7]]}, "layout"),
        ({"name": ""}, "key 'name': expected a name"),
        ({"joint": []}, "key 'joint': expected only the keys"),
    ],
)
def test_a_wrong_layout_file_is_named(recorded, change, told):
    path = recorded.parent / "stick.json"
    path.write_text(json.dumps(LAYOUT | change))
    ran, out = extract(recorded, "--layout", path)
    assert ran.status == 1
    assert ran.err.startswith(f"Error: {path}: {told}")
    assert not out.exists()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a,walk,training,poses,v.mp4", "line 2: expected a split among train, val, test"),
        ("a,,train,poses,v.mp4", "line 2: expected a class name"),
        ("a,walk,train,poses", "line 2: expected 5 cells as in the header, found 4"),
    ],
)
def test_a_mistake_in_the_table_is_told_with_its_line(tmp_path, line, told):
    ran, out = extract(write_table(tmp_path, line))
    assert ran.status == 1
    assert ran.err.startswith(f"Error: {tmp_path}/my.csv: {told}")
    assert not out.exists()


def test_files_that_are_not_there_are_rows_with_reasons(recorded):
    (recorded.parent / "one.mp4").unlink()
    recorded.write_text(recorded.read_text().replace("poses/two", "poses/three"))
    ran, out = extract(recorded)
    assert (ran.status, statuses(out)) == (3, {"one": "missing_video", "two": "missing_skeleton"})
    assert "my.csv, line 3" in rows(out).loc["two", "detail"]


def unpacked(archive, folder):
    """Unpack a sample into a folder and write its files again in another order."""
    with tarfile.open(archive) as tar:
        names = sorted(m.name for m in tar.getmembers() if m.isfile())
        documents = {n: json.loads(tar.extractfile(n).read()) for n in names}
    folder.mkdir()
    for name in reversed(names):
        (folder / name.rpartition("/")[2]).write_text(json.dumps(documents[name]))
    return [documents[name]["people"] for name in names]


def first_person(frame):
    return np.float32(frame[0]["pose_keypoints_2d"]).reshape(-1, 3)


@pytest.mark.parametrize(("name", "n_frames", "n_empty"), [("19", 381, 0), ("25", 341, 8)])
def test_a_real_coco18_recording_is_usable_in_true_order(
    samples_dir, tmp_path, name, n_frames, n_empty
):
    frames = unpacked(samples_dir / "openpose_coco18" / f"{name}.tar.gz", tmp_path / name)
    table = write_table(tmp_path, f"{name},walk,train,{name},")
    _, out = extract(table, "--skeleton-only")
    window = stored(out)
    assert statuses(out) == {name: "ok"}
    assert (len(window), n_frames - int(window.present[:, 0].sum())) == (n_frames, n_empty)
    for t, frame in enumerate(frames):
        if len(frame) == 1:
            np.testing.assert_array_equal(window.joints[t, 0], first_person(frame))


def test_a_prefix_that_is_not_the_folders_name_is_no_matter(samples_dir, tmp_path):
    unpacked(samples_dir / "openpose_coco18" / "37.tar.gz", tmp_path / "37")
    _, out = extract(write_table(tmp_path, "37,walk,train,37,"), "--skeleton-only")
    assert rows(out).loc["37", ["status", "n_frames"]].tolist() == ["ok", 305]


def test_a_real_body25_recording_is_mapped_and_in_true_order(samples_dir, tmp_path):
    archive = samples_dir / "openpose_body25" / "sitting_0_keypoints.tar.gz"
    frames = unpacked(archive, tmp_path / "sitting_0")
    _, out = extract(write_table(tmp_path, "s,sitting,train,sitting_0,"), "--skeleton-only")
    window = stored(out)
    kept = [*range(8), *range(9, 19)]
    assert len(window) == len(frames) == 300
    for joints, frame in zip(window.joints[:, 0], frames, strict=True):
        listed = [first_person([person])[kept] for person in frame]
        best = max(listed, key=lambda person: person[:, 2].mean())
        np.testing.assert_array_equal(joints, best)


def test_the_wrongly_merged_file_disagrees_with_ours(samples_dir, tmp_path):
    """Its frame 0 is raw frame 198, and joint 8 of 25, the mid hip, stands for the right hip."""
    archive = samples_dir / "openpose_body25" / "sitting_0_keypoints.tar.gz"
    unpacked(archive, tmp_path / "sitting_0")
    _, out = extract(write_table(tmp_path, "s,sitting,train,sitting_0,"), "--skeleton-only")
    merged = samples_dir / "openpose_body25_merged_wrong" / "sitting_0_processed.json"
    pose = json.loads(merged.read_text())["data"][0]["skeleton"][0]["pose"]
    theirs, ours = np.float32(pose).reshape(18, 2), stored(out).joints[..., :2]
    off = np.abs(ours - theirs).max(-1)
    # Slots are in order of score, theirs in that of the file.
    assert off[198, :, :8].max(-1).min() < 1e-6
    assert off[0, :, :8].max(-1).min() > 1e-3
    assert off[198, :, 8:].max(-1).min() > 0.1


def test_a_single_frame_may_be_a_recording(tmp_path):
    (tmp_path / "poses").mkdir()
    write_openpose_frame(tmp_path / "poses" / "x_000000000000_keypoints.json", [pose_person()])
    _, out = extract(write_table(tmp_path, "a,walk,train,poses,"), "--skeleton-only")
    assert rows(out).loc["a", ["status", "n_frames", "n_clips"]].tolist() == ["ok", 1, 1]
