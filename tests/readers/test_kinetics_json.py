import json

import numpy as np
import pytest
from builders import kinetics_frame, pose_person, write_kinetics_json

from toolkit.errors import SkeletonFileError
from toolkit.readers.kinetics_json import read_kinetics_json
from toolkit.skeleton import NTU25, SkeletonLayout

A, B, C = (pose_person(seed) for seed in range(3))


def write(tmp_path, document):
    path = tmp_path / "-abc_123456.json"
    path.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    return path


def clip(*frames):
    data = [kinetics_frame(index, people) for index, people in frames]
    return {"data": data, "label": "hopscotch", "label_index": 151}


def test_people_stand_where_their_frame_lists_them(tmp_path):
    poses = read_kinetics_json(write_kinetics_json(tmp_path / "a.json", [[A], [], [B, C]]))
    assert poses.sequence.present.tolist() == [[True, False], [False, False], [True, True]]
    np.testing.assert_array_equal(poses.sequence.joints[0, 0], np.float32(A))
    np.testing.assert_array_equal(poses.sequence.joints[2, 1], np.float32(C))
    np.testing.assert_array_equal(poses.sequence.pixels[2, 0], np.float32(B[:, :2]))
    assert poses.sequence.body_ids.tolist() == [-1, -1]
    assert (poses.label, poses.label_index, poses.n_gaps) == ("hopscotch", 151, 0)


# smallest and other frame_index -> (first_index, row of each, rows, gaps)
NUMBERING = {
    "from 1": ([1, 2, 3], 1, [0, 1, 2], 3, 0),
    "from 0": ([0, 1, 2], 0, [0, 1, 2], 3, 0),
    "file out of order": ([3, 1, 2], 1, [2, 0, 1], 3, 0),
    "gap inside": ([1, 4], 1, [0, 3], 4, 2),
    "gap inside from 0": ([0, 4], 0, [0, 4], 5, 3),
    "starting at 5": ([5, 6], 1, [4, 5], 6, 4),
}


@pytest.mark.parametrize("case", NUMBERING.values(), ids=NUMBERING.keys())
def test_rows_follow_frame_index(tmp_path, case):
    indices, first, rows, n_frames, n_gaps = case
    people = [pose_person(index) for index in indices]
    document = clip(*((index, [p]) for index, p in zip(indices, people, strict=True)))
    poses = read_kinetics_json(write(tmp_path, document), fps=25.0)
    assert (poses.first_index, len(poses.sequence), poses.n_gaps) == (first, n_frames, n_gaps)
    np.testing.assert_array_equal(poses.sequence.joints[rows, 0], np.float32(people))
    assert poses.sequence.present.sum() == len(indices)
    np.testing.assert_array_equal(poses.sequence.times, np.arange(n_frames) / 25)


def test_score_zero_is_not_absence_but_no_coordinate_is(tmp_path):
    unscored, nobody = A.copy(), np.zeros((18, 3))
    unscored[:, 2] = 0
    nobody[:, 2] = 0.5
    poses = read_kinetics_json(write(tmp_path, clip((1, [unscored, nobody]))))
    assert poses.sequence.present.tolist() == [[True, False]]


def test_whole_numbers_and_places_outside_the_picture_are_kept(tmp_path):
    person = A.copy()
    person[0] = 0, 1, 1
    person[1] = -0.12, 1.129, 1.02
    document = json.dumps(clip((1, [person]))).replace("0.0, 1.0", "0, 1")
    poses = read_kinetics_json(write(tmp_path, document.encode()))
    np.testing.assert_array_equal(poses.sequence.joints[0, 0], np.float32(person))


@pytest.mark.parametrize("frames", [[], [(1, []), (2, [])]], ids=["no frame", "nobody"])
def test_a_clip_without_people_has_no_slot(tmp_path, frames):
    poses = read_kinetics_json(write(tmp_path, clip(*frames)))
    assert poses.sequence.joints.shape == (len(frames), 0, 18, 3)


def test_another_layout_sets_the_number_of_joints(tmp_path):
    layout = SkeletonLayout("stick", ("a", "b", "c"), ((0, 1), (1, 2)), centre=1)
    person = pose_person(n_joints=3)
    poses = read_kinetics_json(write(tmp_path, clip((1, [person]))), layout=layout)
    np.testing.assert_array_equal(poses.sequence.joints[0, 0], np.float32(person))


@pytest.mark.parametrize("index", [None, "absent"])
def test_a_file_may_leave_its_label_index_open(tmp_path, index):
    document = clip((1, [A])) | {"label_index": None}
    if index == "absent":
        del document["label_index"]
    assert read_kinetics_json(write(tmp_path, document)).label_index is None


@pytest.mark.parametrize("arguments", [{"fps": 0.0}, {"fps": float("nan")}, {"layout": NTU25}])
def test_wrong_arguments_are_value_errors(tmp_path, arguments):
    with pytest.raises(ValueError, match=r"fps must be|layout ntu25 has channels"):
        read_kinetics_json(write(tmp_path, clip((1, [A]))), **arguments)


def changed(change):
    document = clip((1, [A]), (7, [B, C]))
    change(document, document["data"][1]["skeleton"][1])
    return document


def setting(key, position, value):
    def change(_, person):
        person[key][position] = value

    return changed(change)


def frame_index(value):
    return changed(lambda d, _: d["data"][1].update(frame_index=value))


PERSON = "frame_index 7, person 1"
BROKEN = {
    "empty": (b"", "byte 0: expected poses, found an empty file"),
    "NUL-filled": (b"\0" * 64, "byte 0: expected text, found a NUL byte"),
    "truncated": (json.dumps(clip((1, [A]))).encode()[:-9], r"line 1, column \d+: expected JSON"),
    "bad token": (b'{"data": [],\n "label": oops}', "line 2, column 11: expected JSON, found"),
    "not UTF-8": (b'{"data": "\xff"}', "line 1, column 1: expected JSON, found str is not valid"),
    "NaN literal": (b'{"data": [NaN]}', "line 1, column 11: expected JSON"),
    "deep nesting": (b"[" * 100_000, "line 1, column .*: expected JSON, found "),
    "as deep as JSON may be": (
        b'{"data": [' + b"[" * 900 + b"]" * 900 + b"]}",
        r"data\[0\]: expected an object, found a list",
    ),
    "deep nesting in score": (
        setting("score", 0, [[[1]]]),
        f"{PERSON}, number 0: expected a number, found a list",
    ),
    "a list": ([], "top level: expected an object, found a list"),
    "no data": ({"label": "a"}, r"top level: expected the key 'data', found only \['label'\]"),
    "data null": ({"data": None, "label": "a"}, "top level: expected a list for 'data', found nul"),
    "label a number": ({"data": [], "label": 3}, "expected a text for 'label', found 3"),
    "label_index a text": (
        {"data": [], "label": "a", "label_index": "3"},
        "expected a whole number for 'label_index', found \"3\"",
    ),
    "frame no object": ({"data": [3], "label": "a"}, r"data\[0\]: expected an object, found 3"),
    "no frame_index": (changed(lambda d, _: d["data"][0].pop("frame_index")), r"data\[0\]: .*key"),
    "frame_index a text": (frame_index("7"), r"data\[1\]: expected a whole number"),
    "frame_index a bool": (frame_index(True), r"data\[1\]: expected a whole number .* found true"),
    "frame_index 1.0": (frame_index(1.0), r"data\[1\]: expected a whole number .*, found 1.0"),
    "frame_index -1": (frame_index(-1), r"data\[1\]: expected a frame_index of 0 or more, .* -1"),
    "frame_index twice": (frame_index(1), r"data\[1\]: expected .*each once, found 1"),
    "frame_index absurd": (
        frame_index(2**40),
        "frame numbers: expected at most 1200 frames for the 2 listed, found frame number 1099511",
    ),
    "no pose": (changed(lambda _, p: p.pop("pose")), f"{PERSON}: expected the key 'pose'"),
    "pose too short": (changed(lambda _, p: p["pose"].pop()), f"{PERSON}: .* 36 numbers, found 35"),
    "BODY_25": (changed(lambda _, p: p.update(score=[0.5] * 25)), f"{PERSON}: .*18 .* found 25"),
    "null": (setting("pose", 4, None), f"{PERSON}, number 4: expected a number, found null"),
    "text": (setting("pose", 4, "0.5"), f'{PERSON}, number 4: expected a number, found "0.5"'),
    "bool": (setting("score", 2, True), f"{PERSON}, number 2: expected a number, found true"),
    "pixels": (
        setting("pose", 5, 170.5),
        f"{PERSON}, joint 2: expected x and y within -10..10 pictures, found 170.5",
    ),
    "huge": (setting("pose", 0, -1e300), f"{PERSON}, joint 0: .*, found -1e.300"),
    "score in percent": (setting("score", 17, 99), f"{PERSON}, joint 17: .*score.* found 99"),
    "negative score": (setting("score", 0, -0.1), f"{PERSON}, joint 0: .*score.* found -0.1"),
}


@pytest.mark.parametrize(("document", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_refused_with_its_place(tmp_path, document, message):
    with pytest.raises(SkeletonFileError, match=message):
        read_kinetics_json(write(tmp_path, document))


def test_few_people_cannot_claim_much_memory(tmp_path):
    nobody = np.zeros((18, 3))
    document = clip((1, [nobody] * 200), *((index, []) for index in range(2, 52)), (5100, []))
    with pytest.raises(SkeletonFileError, match="found 5100 frames x 200 bodies"):
        read_kinetics_json(write(tmp_path, document))


def test_the_genuine_release_file(samples_dir):
    poses = read_kinetics_json(samples_dir / "kinetics_skeleton" / "--33Lscn6sk.json")
    assert (len(poses.sequence), poses.first_index, poses.n_gaps) == (189, 1, 0)
    assert (poses.label, poses.label_index) == ("flipping pancake", 129)
    assert (
        poses.sequence.joints[0, 0, :2, :2].tolist()
        == np.float32([[0.491, 0.220], [0.512, 0.375]]).tolist()
    )
    assert poses.sequence.pixels.max() == np.float32(1.011)
    assert sorted(set(poses.sequence.present.sum(1).tolist())) == [0, 1, 2, 3]


def test_a_real_file_whose_every_score_is_zero_has_people(samples_dir):
    path = samples_dir / "kinetics_skeleton" / "S004C002P003R001A055_rgb.json"
    sequence = read_kinetics_json(path).sequence
    assert len(sequence) == 76
    assert not sequence.joints[..., 2].any()
    assert set(sequence.present.sum(1).tolist()) == {2, 3, 4}


def test_a_file_without_a_label_is_read(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"data": [kinetics_frame(1, [pose_person()])]}))
    assert (read_kinetics_json(path).label, len(read_kinetics_json(path).sequence)) == ("", 1)
