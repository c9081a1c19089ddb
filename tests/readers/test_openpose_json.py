import json
import tarfile

import numpy as np
import pytest
from builders import pose_person, write_openpose_folder, write_openpose_frame
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import SkeletonFileError
from toolkit.readers.kinetics_json import read_kinetics_json
from toolkit.readers.openpose_json import (
    BODY25_TO_COCO18,
    read_openpose_file,
    read_openpose_folder,
)

A, B, C = (pose_person(seed) for seed in range(3))


def test_rows_follow_the_numbers_in_the_names_not_the_directory(tmp_path):
    people = [pose_person(seed) for seed in range(12)]
    for number in (7, 3, 11, 0, 9, 1, 10, 5, 2, 8, 4, 6):
        name = f"11_{number:012d}_keypoints.json"
        write_openpose_frame(tmp_path / name, [people[number]])
    poses = read_openpose_folder(tmp_path, fps=25.0)
    np.testing.assert_array_equal(poses.sequence.joints[:, 0], np.float32(people))
    np.testing.assert_array_equal(poses.sequence.times, np.arange(12) / 25)
    assert (poses.n_gaps, poses.source_joints, poses.scale) == (0, 18, "0..1")


# first number, number left out -> rows with people, rows, gaps
@pytest.mark.parametrize(
    ("first", "left_out", "rows", "n_frames", "n_gaps"),
    [(0, 1, [0, 2], 3, 1), (1, 2, [0, 2], 3, 1), (5, 6, [4, 6], 7, 5), (0, None, [0, 1, 2], 3, 0)],
)
def test_missing_numbers_become_rows_without_people(
    tmp_path, first, left_out, rows, n_frames, n_gaps
):
    folder = write_openpose_folder(tmp_path / "c", [[A], [A], [A]], first=first)
    if left_out is not None:
        (folder / f"clip_{left_out:012d}_keypoints.json").unlink()
    poses = read_openpose_folder(folder)
    assert np.flatnonzero(poses.sequence.present[:, 0]).tolist() == rows
    assert (len(poses.sequence), poses.n_gaps) == (n_frames, n_gaps)


def test_body25_loses_the_mid_hip_and_the_feet(tmp_path):
    body = pose_person(n_joints=25)
    poses = read_openpose_folder(write_openpose_folder(tmp_path / "c", [[body]]))
    kept = np.delete(body, [8, 19, 20, 21, 22, 23, 24], axis=0)
    np.testing.assert_array_equal(poses.sequence.joints[0, 0], np.float32(kept))
    assert poses.source_joints == 25
    assert BODY25_TO_COCO18 == (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)


def test_frames_without_people_are_kept(tmp_path):
    poses = read_openpose_folder(write_openpose_folder(tmp_path / "c", [[], [A, B], []]))
    assert poses.sequence.present.tolist() == [[False, False], [True, True], [False, False]]


def test_a_folder_without_anyone_has_no_slot_and_no_source_joints(tmp_path):
    poses = read_openpose_folder(write_openpose_folder(tmp_path / "c", [[], []]))
    assert poses.sequence.joints.shape == (2, 0, 18, 3)
    assert poses.source_joints is None


def scaled(person, scale):
    x, y = {"pixels": (640 * person[:, 0], 480 * person[:, 1])}.get(
        scale, (person[:, 0], person[:, 1])
    )
    if scale == "-1..1":
        x, y = 2 * x - 1, 2 * y - 1
    return np.stack([x, y, person[:, 2]], axis=1) * (person[:, 2:] > 0)


@pytest.mark.parametrize("scale", ["pixels", "0..1", "-1..1"])
@pytest.mark.parametrize("told", [True, False])
def test_every_scale_gives_the_same_fractions_and_missing_joints_stay_zero(tmp_path, scale, told):
    person = A.copy()
    person[[4, 9]] = 0
    folder = write_openpose_folder(tmp_path / "c", [[scaled(person, scale)], [scaled(B, scale)]])
    poses = read_openpose_folder(folder, scale=scale if told else "auto", picture=(640, 480))
    assert poses.scale == scale
    np.testing.assert_allclose(poses.sequence.joints[:, 0], [person, B], atol=1e-6)
    assert not poses.sequence.joints[0, 0, [4, 9]].any()


def test_the_scale_is_told_from_the_whole_folder(tmp_path):
    right = np.array([[0.2, 0.4, 0.9]] * 18)
    left = np.array([[-0.4, 0.4, 0.9]] * 18)
    poses = read_openpose_folder(write_openpose_folder(tmp_path / "c", [[right], [left]]))
    assert poses.scale == "-1..1"
    np.testing.assert_allclose(poses.sequence.joints[:, 0, 0, 0], [0.6, 0.3], atol=1e-6)


def test_coordinates_just_outside_the_picture_do_not_change_the_scale(tmp_path):
    person = A.copy()
    person[0, :2] = -0.01, 1.129
    assert read_openpose_folder(write_openpose_folder(tmp_path / "c", [[person]])).scale == "0..1"


def test_a_single_file_of_any_name_is_one_frame(tmp_path):
    poses = read_openpose_file(write_openpose_frame(tmp_path / "x.json", [A, B]))
    np.testing.assert_array_equal(poses.sequence.joints[0], np.float32([A, B]))


@given(order=st.permutations(range(6)), first=st.integers(0, 1))
@settings(max_examples=20, deadline=None)
def test_the_order_of_writing_never_matters(tmp_path_factory, order, first):
    folder = tmp_path_factory.mktemp("frames")
    for t in order:
        person = np.full((18, 3), (t + 1) / 10)
        write_openpose_frame(folder / f"a_b_{first + t:012d}_keypoints.json", [person])
    rows = read_openpose_folder(folder).sequence.joints[:, 0, 0, 0]
    np.testing.assert_allclose(rows, np.arange(1, 7) / 10, rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": "0..255"}, "scale must be one of auto, pixels, 0..1, -1..1, got '0..255'"),
        ({"scale": "pixels"}, "scale 'pixels' needs the picture's width and height"),
        ({"picture": (0, 480)}, "picture must be a positive width and height"),
        ({"fps": -1.0}, "fps must be a positive number"),
    ],
)
def test_wrong_arguments_are_value_errors(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        read_openpose_folder(write_openpose_folder(tmp_path / "c", [[A]]), **arguments)


def test_pixels_of_an_unknown_picture_are_refused(tmp_path):
    folder = write_openpose_folder(tmp_path / "c", [[A * (640, 480, 1)]])
    with pytest.raises(SkeletonFileError, match=r"coordinates: .*picture's width and height"):
        read_openpose_folder(folder)


def test_pixels_called_fractions_are_refused(tmp_path):
    folder = write_openpose_folder(tmp_path / "c", [[A * (640, 480, 1)]])
    with pytest.raises(SkeletonFileError, match="person 0, joint 0: expected x and y within -10"):
        read_openpose_folder(folder, scale="0..1")


NAMES = {
    "no frames": (["readme.txt"], "names: expected files <prefix>_<12 digits>_.*found none"),
    "two prefixes": (
        ["a_000000000000_keypoints.json", "b_000000000001_keypoints.json"],
        "one prefix for all, found 'a_000000000000_keypoints.json' and 'b_000000000001_key",
    ),
    "too few digits": (["a_0001_keypoints.json"], "expected names .*, found 'a_0001_keypoints"),
    "other digits": (["a_" + "\N{ARABIC-INDIC DIGIT ONE}" * 12 + "_keypoints.json"], "names: "),
    "absurd number": (
        ["a_000000000001_keypoints.json", "a_999999999999_keypoints.json"],
        "frame numbers: expected at most 1200 frames for the 2 listed, found frame number 99999",
    ),
}


@pytest.mark.parametrize(("names", "message"), NAMES.values(), ids=NAMES.keys())
def test_wrong_file_names_are_refused(tmp_path, names, message):
    for name in names:
        write_openpose_frame(tmp_path / name, [A])
    with pytest.raises(SkeletonFileError, match=message):
        read_openpose_folder(tmp_path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(SkeletonFileError, match="opening: expected a folder of OpenPose frames"):
        read_openpose_folder(tmp_path / "none")


def people(*poses):
    return {"people": [{"pose_keypoints_2d": list(pose)} for pose in poses]}


BROKEN = {
    "empty": (b"", "byte 0: expected poses, found an empty file"),
    "NUL-filled": (b"\0" * 9, "byte 0: expected text, found a NUL byte"),
    "truncated": (b'{"people": [', "line 1, column 1[0-9]: expected JSON"),
    "deep nesting": (b'{"people":' + b"[" * 5000, "line 1, column .*: expected JSON, found "),
    "no people": ({"version": 1.3}, "top level: expected the key 'people'"),
    "no keypoints": ({"people": [{}]}, "person 0: expected the key 'pose_keypoints_2d'"),
    "53 numbers": (people([0.5] * 53), "person 0: expected 54 numbers .*or 75 .*, found 53"),
    "mixed kinds": (people([0.5] * 75), "person 0: expected 54 numbers as in c_0{12}_.*, found 75"),
    "null": (people([0.5] * 54, [None] * 54), "person 1, number 0: expected a number, found null"),
    "text": (people(["0.5"] * 54), 'person 0, number 0: expected a number, found "0.5"'),
    "bool": (people([True] * 54), "person 0, number 0: expected a number, found true"),
    "negative score": (people([0.5, 0.5, -1] * 18), "person 0, joint 0: expected a score within"),
}


@pytest.mark.parametrize(("document", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_frame_is_refused_with_its_file(tmp_path, document, message):
    folder = write_openpose_folder(tmp_path, [[A], [B]], prefix="c")
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    (folder / "c_000000000001_keypoints.json").write_bytes(data)
    with pytest.raises(SkeletonFileError, match="c_000000000001_keypoints.json: " + message):
        read_openpose_folder(folder)


def unpacked(archive, into):
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    (folder,) = into.iterdir()
    return folder


# frames, frames without people: counted in the samples' own description
@pytest.mark.parametrize(("name", "n", "empty"), [("19", 381, 0), ("25", 341, 8), ("37", 305, 0)])
def test_real_coco18_folders(samples_dir, tmp_path, name, n, empty):
    poses = read_openpose_folder(
        unpacked(samples_dir / "openpose_coco18" / f"{name}.tar.gz", tmp_path)
    )
    assert (len(poses.sequence), poses.source_joints, poses.scale) == (n, 18, "0..1")
    assert (~poses.sequence.present.any(axis=1)).sum() == empty


@pytest.mark.parametrize("name", ["sitting_0", "sleeping_0", "standing_1"])
def test_a_real_body25_folder_disagrees_with_the_wrong_merge(samples_dir, tmp_path, name):
    archive = samples_dir / "openpose_body25" / f"{name}_keypoints.tar.gz"
    ours = read_openpose_folder(unpacked(archive, tmp_path)).sequence
    wrong = samples_dir / "openpose_body25_merged_wrong" / f"{name}_processed.json"
    merged = read_kinetics_json(wrong).sequence
    assert len(ours) == len(merged)
    near = np.abs(ours.joints[:, 0, :2, :2] - merged.joints[:, 0, :2, :2]).max(axis=(1, 2)) < 1e-3
    assert near.mean() < 0.05


def test_the_wrong_merge_put_raw_frame_198_first_and_the_mid_hip_at_joint_8(samples_dir, tmp_path):
    archive = samples_dir / "openpose_body25" / "sitting_0_keypoints.tar.gz"
    folder = unpacked(archive, tmp_path)
    wrong = samples_dir / "openpose_body25_merged_wrong" / "sitting_0_processed.json"
    merged = read_kinetics_json(wrong).sequence.joints[0, 0, :, :2]
    raw_198 = json.loads((folder / "sitting_0_000000000198_keypoints.json").read_text())
    raw = np.array(raw_198["people"][0]["pose_keypoints_2d"]).reshape(25, 3)[:, :2]
    ours = read_openpose_folder(folder).sequence.joints[198, 0, :, :2]
    np.testing.assert_allclose(merged[8], raw[8], atol=1e-3)
    np.testing.assert_allclose(ours[:8], merged[:8], atol=1e-3)
    np.testing.assert_allclose(ours[8], raw[9], atol=1e-3)


def test_a_real_pixel_file_needs_its_picture(samples_dir):
    path = samples_dir / "openpose_body25" / "im1010_openpose_pixels.json"
    raw = np.array(json.loads(path.read_text())["people"][0]["pose_keypoints_2d"]).reshape(25, 3)
    poses = read_openpose_file(path, picture=(600, 800))
    assert (poses.scale, poses.source_joints) == ("pixels", 25)
    np.testing.assert_allclose(poses.sequence.joints[0, 0, 1, :2], raw[1, :2] / (600, 800), 1e-6)
    with pytest.raises(SkeletonFileError, match="picture's width and height"):
        read_openpose_file(path)
