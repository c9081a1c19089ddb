import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from running import ctxtool
from video_builders import H264, gray_pictures, write_video

from toolkit.errors import CtxtoolError
from toolkit.poses.coco import coco17_to_openpose18
from toolkit.poses.estimate import EstimateOptions, estimate_video, list_ticks, to_fractions
from toolkit.poses.estimators import GROUP, name_model, open_by_file, open_estimator
from toolkit.poses.onnx_model import OnnxEstimator
from toolkit.readers.openpose_json import read_openpose_folder
from toolkit.skeleton import OPENPOSE18

COCO = (
    "nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder",
    "left elbow", "right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee",
    "right knee", "left ankle", "right ankle",
)  # fmt: skip


def one_person(score=0.9):
    """Joint j of COCO at (10 + j, 20 + j)."""
    joints = np.arange(17, dtype=np.float32)
    return np.stack([10 + joints, 20 + joints, np.full(17, score, np.float32)], 1)[None]


class Estimator:
    """Finds one person, moved to the right by the grey of the picture, and counts pictures."""

    def __init__(self):
        self.n_pictures = 0

    def estimate(self, picture):
        self.n_pictures += 1
        people = one_person()
        people[..., 0] += float(picture.mean()) / 20
        return people


def test_joints_keep_their_names():
    joints = coco17_to_openpose18(one_person())[0]
    for joint, name in enumerate(OPENPOSE18.joints):
        if name != "neck":
            assert joints[joint, 0] == 10 + COCO.index(name), name


def test_the_neck_lies_between_the_shoulders():
    people = one_person()
    people[0, 5] = 10, 40, 0.5
    people[0, 6] = 30, 44, 0.8
    assert coco17_to_openpose18(people)[0, 1] == pytest.approx([20, 42, 0.5])


@pytest.mark.parametrize(
    ("last_s", "fps", "ticks"),
    [(0, 30, [0]), (0.1, 30, [0, 1 / 30, 2 / 30, 0.1]), (0.09, 10, [0]), (0.2, 10, [0, 0.1, 0.2])],
)
def test_ticks_run_to_the_last_frame(last_s, fps, ticks):
    assert list_ticks(last_s, fps) == pytest.approx(ticks)


def test_unseen_joints_are_zero_and_the_best_person_is_first():
    picture = np.zeros((100, 50, 3), np.uint8)
    weak, strong, nobody = one_person(0.4), one_person(0.9), one_person(0.05)
    strong[0, 0] = -1, 20, 0.9
    strong[0, 9, 2] = 0.05
    found = to_fractions(np.concatenate([weak, nobody, strong]), picture, 0.1)
    assert len(found) == 2
    # Outside of the picture: the nose; scored too low: the left wrist.
    assert found[0, [0, 7]].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert found[1, 0] == pytest.approx([10 / 50, 20 / 100, 0.4])


@pytest.mark.parametrize(("rate", "n_poses"), [(15, 9), (30, 5), (60, 3)])
def test_poses_come_at_a_steady_rate_whatever_the_video(tmp_path, rate, n_poses):
    video = write_video(tmp_path / "a b.mp4", gray_pictures(5), replace(H264, rate=rate))
    estimator = Estimator()
    folder = estimate_video(video, tmp_path / "out", estimator)
    assert folder == tmp_path / "out" / "a b"
    read = read_openpose_folder(folder)
    assert (len(read.sequence), read.n_gaps, read.scale) == (n_poses, 0, "0..1")
    assert estimator.n_pictures == min(n_poses, 5)
    # Brighter frame by frame, so further to the right; at half the rate each frame serves two.
    x = read.sequence.joints[:, 0, 0, 0]
    assert (np.diff(x) >= -1e-4).all()
    assert x[-1] > x[0]


def test_a_finished_folder_is_kept(tmp_path):
    video = write_video(tmp_path / "a.mp4", gray_pictures(2))
    estimate_video(video, tmp_path / "out", Estimator())
    again = Estimator()
    assert estimate_video(video, tmp_path / "out", again) == tmp_path / "out" / "a"
    assert again.n_pictures == 0


def test_poses_of_another_video_of_that_name_are_refused(tmp_path):
    for n_frames, name in ((2, "one"), (3, "other")):
        (tmp_path / name).mkdir()
        write_video(tmp_path / name / "a.mp4", gray_pictures(n_frames))
    estimate_video(tmp_path / "one" / "a.mp4", tmp_path / "out", Estimator())
    with pytest.raises(CtxtoolError, match=r"out/a holds the poses of another video .* --out"):
        estimate_video(tmp_path / "other" / "a.mp4", tmp_path / "out", Estimator())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (EstimateOptions(fps=15), "fps 30.0 and not 15"),
        (EstimateOptions(min_score=0.5), "min_score 0.1 and not 0.5"),
        (EstimateOptions(model="other"), "model .* and not other"),
    ],
)
def test_poses_made_with_other_options_are_refused(tmp_path, options, told):
    video = write_video(tmp_path / "a.mp4", gray_pictures(2))
    estimate_video(video, tmp_path / "out", Estimator())
    with pytest.raises(CtxtoolError, match=f"holds poses made with {told}: choose another --out"):
        estimate_video(video, tmp_path / "out", Estimator(), options)


def test_a_folder_of_unknown_origin_is_refused(tmp_path):
    video = write_video(tmp_path / "a.mp4", gray_pictures(2))
    (tmp_path / "out" / "a").mkdir(parents=True)
    with pytest.raises(CtxtoolError, match="does not say what made it"):
        estimate_video(video, tmp_path / "out", Estimator())


def test_a_model_is_known_by_its_content(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text(name)
    names = [name_model(tmp_path / "a"), name_model(tmp_path / "b"), name_model(None)]
    assert len(set(names)) == 3


def test_a_broken_estimator_leaves_no_folder(tmp_path):
    class Broken:
        def estimate(self, picture):
            raise RuntimeError("out of memory")

    video = write_video(tmp_path / "a.mp4", gray_pictures(2))
    with pytest.raises(RuntimeError):
        estimate_video(video, tmp_path / "out", Broken(), EstimateOptions())
    assert list((tmp_path / "out").iterdir()) == []


def test_files_are_as_openpose_writes_them(tmp_path):
    video = write_video(tmp_path / "a.mp4", gray_pictures(1))
    folder = estimate_video(video, tmp_path, Estimator())
    (path,) = folder.glob("a_*")
    assert path.name == "a_000000000000_keypoints.json"
    frame = json.loads(path.read_text())
    assert len(frame["people"][0]["pose_keypoints_2d"]) == 54


class Session:
    """Declares shapes, keeps what it was fed, and answers with ``output``."""

    def __init__(self, taken, output, kind="tensor(float)", n_inputs=1):
        one = SimpleNamespace(name="images", shape=taken, type=kind)
        self.inputs = [one] * n_inputs
        self.output = np.asarray(output, np.float32)
        self.fed = None

    def get_inputs(self):
        return self.inputs

    def get_outputs(self):
        return [SimpleNamespace(name="out", shape=list(self.output.shape))]

    def run(self, names, feed):
        self.fed = feed["images"]
        return [self.output]


PICTURE = np.full((100, 200, 3), (255, 0, 51), np.uint8)


def test_movenet_for_one_person():
    output = np.zeros((1, 1, 17, 3))
    output[0, 0, 3] = 0.25, 0.5, 0.7
    session = Session([1, 192, 192, 3], output, "tensor(int32)")
    people = OnnxEstimator(session, "m").estimate(PICTURE)
    # 200 pixels became 192: y 48 and x 96 of the input.
    assert people[0, 3] == pytest.approx([100, 50, 0.7])
    assert (session.fed.dtype, session.fed.shape) == (np.int32, (1, 192, 192, 3))
    assert session.fed[0, 50, 100].tolist() == [255, 0, 51]
    assert session.fed[0, 150, 100].tolist() == [114, 114, 114]


def test_movenet_for_several_people():
    output = np.zeros((1, 6, 56))
    output[0, 2, :3] = 0.25, 0.5, 0.7
    output[0, 2, 55] = 0.9
    people = OnnxEstimator(Session([1, None, None, 3], output), "m").estimate(PICTURE)
    assert people.shape == (1, 17, 3)
    assert people[0, 0] == pytest.approx([100, 50, 0.7])


def test_yolo_pose_drops_the_same_person_seen_twice():
    output = np.zeros((1, 56, 4), np.float32)
    output[0, :5] = np.array(
        [[50, 40, 20, 30, 0.5], [51, 40, 20, 30, 0.9], [150, 40, 20, 30, 0.6], [9, 9, 2, 2, 0.1]]
    ).T
    output[0, 5:8, 1] = 64, 32, 0.8
    session = Session([1, 3, 64, 128], output)
    people = OnnxEstimator(session, "m").estimate(PICTURE)
    assert people.shape == (2, 17, 3)
    assert people[0, 0] == pytest.approx([100, 50, 0.8])
    assert session.fed.shape == (1, 3, 64, 128)
    assert session.fed[0, :, 10, 10] == pytest.approx([1, 0, 0.2])


def test_nobody_is_found():
    session = Session([1, 3, 64, 64], np.zeros((1, 56, 5)))
    assert OnnxEstimator(session, "m").estimate(PICTURE).shape == (0, 17, 3)


@pytest.mark.parametrize(
    ("taken", "given", "n_inputs"),
    [
        ([1, 3, 256, 192], (1, 17, 384), 1),
        ([1, 256, 256, 3], (1, 195), 1),
        ([1, 3, 64, 64], (1, 84, 10), 1),
        ([1, 3, 64, 64], (1, 56, 10), 2),
        ([1, 3], (1, 56, 10), 1),
    ],
)
def test_other_models_are_refused(taken, given, n_inputs):
    session = Session(taken, np.zeros(given), n_inputs=n_inputs)
    with pytest.raises(CtxtoolError, match="no known pose model"):
        OnnxEstimator(session, "model.onnx")


def test_another_package_may_offer_an_estimator(tmp_path, monkeypatch):
    (tmp_path / "stick_poses.py").write_text("def open_it(weights, device):\n    return device\n")
    info = tmp_path / "stick_poses-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stick-poses\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nstick = stick_poses:open_it\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert open_estimator("stick", None, "here") == "here"


def test_an_unknown_estimator_is_told():
    with pytest.raises(CtxtoolError, match="no pose estimator is called 'none'"):
        open_estimator("none", None, "cpu")


def test_without_onnxruntime_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(CtxtoolError, match="onnxruntime, which is not installed"):
        open_by_file(tmp_path / "a.onnx", "cpu")


def test_the_command_tells_what_is_no_model(tmp_path):
    video = write_video(tmp_path / "a.mp4", gray_pictures(1))
    (tmp_path / "a.onnx").write_bytes(b"no model")
    ran = ctxtool("estimate-poses", video, "--model", tmp_path / "a.onnx")
    assert ran.status == 1
    assert f"{tmp_path / 'a.onnx'}: " in ran.err
    assert "onnxruntime" in ran.err
