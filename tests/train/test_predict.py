import json
import re
import shutil
from dataclasses import replace

import av
import numpy as np
import pytest
from builders import (
    ntu_frames,
    pose_person,
    write_kinetics_json,
    write_ntu_skeleton,
    write_openpose_folder,
)
from click.testing import CliRunner
from shard_builders import MadeDataset, write_dataset
from tiny_runs import RECORDINGS
from trained_runs import train_run
from video_builders import textured_pictures, write_video

from toolkit.build.options import BuildOptions
from toolkit.build.run import BuildSettings, plan_build, run_build
from toolkit.errors import CtxtoolError
from toolkit.recording import Recording, choose_options
from toolkit.samples import DataSet, Sample
from toolkit.skeleton import NTU25, OPENPOSE18
from train.errors import TrainError
from train.evaluate import EvaluationOptions, evaluate_run
from train.files import RunFolder
from train.predict import PredictionOptions, predict, predict_recording
from train.prediction import Prediction, format_prediction, prediction_to_json, slide_spans
from train.sampling import Span, tile_spans
from train.saved_run import load_run

CLASSES = ("jump", "run", "sit")
# Other settings than the defaults, to see that they are taken over.
OPTIONS = BuildOptions(source="ntu", align="frame", bodies="file-order", frame_size=32, quality=70)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Six recordings of one or two bodies, 18 frames and more, with videos."""
    folder = tmp_path_factory.mktemp("raw")
    for i in range(6):
        frames = ntu_frames(*[[7, 8][: 1 + i % 2]] * (18 + i))
        write_ntu_skeleton(folder / f"r{i}.skeleton", frames)
        write_video(folder / f"r{i}.mp4", textured_pictures(20)[:18] + textured_pictures(i))
    return folder


@pytest.fixture(scope="module")
def shards(raw, tmp_path_factory):
    samples = [
        Sample(
            f"r{i}", i % 3, CLASSES[i % 3], {"own": "train" if i < 3 else "test"},
            raw / f"r{i}.skeleton", raw / f"r{i}.mp4",
        )
        for i in range(6)
    ]  # fmt: skip
    data = DataSet("made", NTU25, CLASSES, ("own",), "own", tuple(samples))
    settings = BuildSettings(tmp_path_factory.mktemp("shards") / "made")
    run_build(plan_build(data, OPTIONS, settings), settings, lambda rows: None)
    return settings.out


@pytest.fixture(scope="module")
def run(shards, tmp_path_factory):
    changes = {"data.split": "own", "data.validation_share": 0.0}
    return train_run(shards, tmp_path_factory.mktemp("runs") / "cross", changes)


@pytest.fixture(scope="module")
def loaded(run):
    return load_run(run, device="cpu")


def recording(raw, i):
    return Recording(raw / f"r{i}.skeleton", raw / f"r{i}.mp4")


@pytest.mark.parametrize(
    ("n_frames", "stride", "spans"),
    [
        (16, 16, [(0, 16)]),
        (5, 16, [(0, 5)]),
        (40, 16, [(0, 16), (16, 16), (32, 8)]),
        (18, 4, [(0, 16), (4, 14)]),
        (24, 4, [(0, 16), (4, 16), (8, 16)]),
        (16, 1, [(0, 16)]),
        (30, 20, [(0, 16), (20, 10)]),
        (18, 20, [(0, 16)]),
    ],
)
def test_clips_slide_until_one_reaches_the_end(n_frames, stride, spans):
    assert slide_spans(n_frames, 16, stride, "keep") == spans


@pytest.mark.parametrize("partial", ["keep", "drop"])
def test_clips_a_length_apart_are_those_of_evaluation(partial):
    for n_frames in range(1, 70):
        expected = tile_spans(n_frames, 16, partial)
        assert slide_spans(n_frames, 16, 16, partial) == expected


def test_a_recording_is_taken_for_what_evaluation_takes_it_for(loaded, run, raw, shards):
    """The raw files of the test samples, to the last bit."""
    evaluation = evaluate_run(run, shards, EvaluationOptions(batch_size=2, workers=0, device="cpu"))
    assert evaluation.sample_ids == ("r3", "r4", "r5")
    for i, scores in zip((3, 4, 5), evaluation.scores, strict=True):
        prediction = predict_recording(loaded, recording(raw, i))
        assert prediction.n_frames == 18 + i
        assert np.array_equal(prediction.overall, scores)


def test_options_are_taken_over_from_data_of_the_same_kind(raw):
    made_with = OPTIONS.to_dict()
    ntu = choose_options(recording(raw, 0), made_with)
    assert ntu == BuildOptions(**made_with)
    own = choose_options(Recording(raw / "a.json", None, 25.0), made_with)
    assert own == BuildOptions(
        source="openpose", align="time", bodies="frame", pose_fps=25.0, skeleton_only=True
    )


def test_rate_and_scale_are_those_of_the_data_unless_told(tmp_path):
    made_with = BuildOptions(
        source="openpose", align="time", bodies="track", pose_fps=25.0, pose_scale="-1..1",
        min_frames=3,
    ).to_dict()  # fmt: skip
    folder = write_openpose_folder(tmp_path / "poses", [[pose_person()]])
    silent = choose_options(Recording(folder), made_with)
    assert silent == BuildOptions(**made_with | {"skeleton_only": True})
    told = choose_options(Recording(folder, None, 15.0, "0..1"), made_with)
    assert (told.pose_fps, told.pose_scale) == (15.0, "0..1")


def test_pixels_of_an_unknown_picture_are_told(tmp_path):
    folder = write_openpose_folder(tmp_path / "poses", [[pose_person()]])
    with pytest.raises(CtxtoolError, match="in pixels need the video"):
        choose_options(Recording(folder, pose_scale="pixels"), {})


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """OpenPose folders whose fractions mean -1 to 1, at 15 a second, and a network of them."""
    folder = tmp_path_factory.mktemp("halves")
    samples = [
        Sample(
            f"p{i}", i % 3, CLASSES[i % 3], {"own": "test" if i == 3 else "train"},
            write_openpose_folder(folder / f"p{i}", [[pose_person(t + i)] for t in range(9)]),
        )
        for i in range(4)
    ]  # fmt: skip
    data = DataSet("halves", OPENPOSE18, CLASSES, ("own",), "own", tuple(samples))
    build = BuildOptions(
        source="openpose", align="time", bodies="frame", pose_fps=15.0, pose_scale="-1..1",
        skeleton_only=True,
    )  # fmt: skip
    settings = BuildSettings(folder / "shards")
    run_build(plan_build(data, build, settings), settings, lambda rows: None)
    changes = {"data.split": "own", "data.validation_share": 0.0, "model.system": "skeleton"}
    return folder, train_run(settings.out, folder / "run", changes)


def test_a_folder_is_taken_for_what_evaluation_takes_it_for(halves):
    folder, run = halves
    options = EvaluationOptions(batch_size=1, workers=0, device="cpu")
    evaluation = evaluate_run(run, folder / "shards", options)
    loaded = load_run(run, device="cpu")
    prediction = predict_recording(loaded, Recording(folder / "p3"))
    assert np.array_equal(prediction.overall, evaluation.scores[0])
    assert prediction.fps == 15.0
    otherwise = predict_recording(loaded, Recording(folder / "p3", pose_scale="0..1"))
    assert not np.array_equal(otherwise.overall, evaluation.scores[0])


class Nobody:
    def estimate(self, picture):
        return np.full((1, 17, 3), 10, np.float32)


@pytest.mark.parametrize(("asked", "fps"), [([], 15.0), (["--pose-fps", "5"], 5.0)])
def test_estimated_poses_come_at_the_rate_asked_for(halves, tmp_path, monkeypatch, asked, fps):
    monkeypatch.setattr("train.predict.open_by_file", lambda path, device: Nobody())
    video, out = write_video(tmp_path / "a.mp4", textured_pictures(31)), tmp_path / "out.json"
    ran = call_predict(halves[1], "--poses", "auto", "--video", video, "--json", out, *asked)
    assert ran.exit_code == 0, ran.output
    found = json.loads(out.read_text())
    assert (found["n_frames"], found["fps"]) == (1 + fps, fps)


def test_a_video_that_cannot_be_drawn_costs_no_figure(loaded, raw, tmp_path, monkeypatch):
    shown = []

    def fail(*_):
        assert len(shown) == 1
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("train.predict.write_video", fail)
    options = PredictionOptions(None, tmp_path / "out.mp4", shown.append)
    with pytest.raises(OSError, match="No space left"):
        predict_recording(loaded, recording(raw, 3), options)
    assert len(shown) == 1


def made_prediction():
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], np.float32)
    return Prediction(CLASSES, (Span(0, 16), Span(12, 15)), shares, 27, 30.0)


def test_the_table_tells_every_clip_and_the_mean():
    assert format_prediction(made_prediction()).splitlines() == [
        "seconds    1          2         3",
        "0.0 - 0.5   70% jump   20% run   10% sit",
        "0.4 - 0.9   60% sit    30% run   10% jump",
        "-----------------------------------------",
        "all         40% jump   35% sit   25% run",
    ]


def test_json_tells_the_same():
    found = prediction_to_json(made_prediction())
    assert [best["class"] for best in found["top"]] == ["jump", "sit", "run"]
    assert found["probabilities"] == pytest.approx([0.4, 0.25, 0.35])
    assert [(clip["start_s"], clip["end_s"]) for clip in found["clips"]] == [
        (0, 0.5333),
        (0.4, 0.9),
    ]
    json.dumps(found)


@pytest.mark.parametrize(("frame", "clip"), [(0, 0), (13, 0), (14, 1), (26, 1)])
def test_a_frame_belongs_to_the_clip_whose_middle_is_nearest(frame, clip):
    assert made_prediction().clip_at(frame) == clip


def test_a_video_is_drawn_frame_by_frame(loaded, raw, tmp_path, caplog):
    options = PredictionOptions(stride=4, render=tmp_path / "out.mp4")
    with caplog.at_level("INFO", "train.predict"):
        predict_recording(loaded, recording(raw, 4), options)
    assert f"wrote {options.render}, 22 frames" in caplog.messages
    with av.open(str(options.render)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    # 64x48 pixels enlarged to 480x360, and a line of 26 pixels for each of three classes.
    assert len(frames) == 22
    assert frames[0].shape == (360 + 3 * 26 + 8, 480, 3)


def test_other_joints_are_told(loaded, tmp_path):
    write_openpose_folder(tmp_path / "poses", [[pose_person()]] * 3)
    video = write_video(tmp_path / "a.mp4", textured_pictures(3))
    with pytest.raises(TrainError, match=r"18 joints \(openpose18\).*trained on 25 \(ntu25\)"):
        predict_recording(loaded, Recording(tmp_path / "poses", video))


def test_a_folder_without_openpose_files_is_told(loaded, raw, tmp_path):
    with pytest.raises(TrainError, match=r"expected a folder of OpenPose files .*, found none"):
        predict_recording(loaded, Recording(raw, raw / "r0.mp4"))


def test_a_json_file_has_no_joints_in_metres(loaded, raw, tmp_path):
    write_kinetics_json(tmp_path / "a.json", [[pose_person(0, 25)]])
    with pytest.raises(TrainError, match=r"a\.json: expected a \.skeleton file.*in metres"):
        predict_recording(loaded, Recording(tmp_path / "a.json", raw / "r0.mp4"))


def test_missing_pictures_are_told(loaded, raw):
    with pytest.raises(TrainError, match="reads pictures: give --video"):
        predict_recording(loaded, Recording(raw / "r0.skeleton"))


def test_video_and_poses_that_do_not_belong_together_are_told(loaded, raw, tmp_path):
    video = write_video(tmp_path / "a.mp4", textured_pictures(3))
    with pytest.raises(TrainError, match=r"misaligned.*18 pose frames, 3 video frames"):
        predict_recording(loaded, Recording(raw / "r0.skeleton", video))


@pytest.mark.parametrize(
    ("poses", "video", "told"),
    [
        ("S001C001P001R001A003", "S001C001P001R001A003_rgb", None),
        ("S001C001P001R001A003", "S017C002P031R001A001_rgb", "A003 and .* of S017C002P031R001A001"),
        ("S001C001P001R001A003", "S001C002P001R001A003", "A003 and .* of S001C002P001R001A003"),
        ("S001C001P001R001A003", "holiday", None),
    ],
)
def test_names_of_two_recordings_are_told(loaded, raw, tmp_path, poses, video, told):
    pair = Recording(tmp_path / f"{poses}.skeleton", tmp_path / f"{video}.mp4")
    pair.poses.symlink_to(raw / "r0.skeleton")
    pair.video.symlink_to(raw / "r0.mp4")
    if told is None:
        assert predict_recording(loaded, pair).n_frames == 18
        return
    with pytest.raises(TrainError, match=told):
        predict_recording(loaded, pair)


def test_a_context_file_is_told(loaded, raw):
    config = loaded.config.replaced({"data.context_file": "a.h5"})
    with pytest.raises(TrainError, match="trained with a context file"):
        predict_recording(replace(loaded, config=config), recording(raw, 0))


def test_a_network_of_skeletons_needs_no_video(tmp_path):
    made = MadeDataset(layout=OPENPOSE18, pictures=False)
    shards = write_dataset(tmp_path / "made", RECORDINGS, made)
    run = train_run(shards, tmp_path / "run", {"model.system": "skeleton"})
    poses = tmp_path / "clip.json"
    write_kinetics_json(poses, [[pose_person(t)] for t in range(20)], label="", label_index=None)
    options = PredictionOptions(render=tmp_path / "out.mp4")
    prediction = predict_recording(load_run(run, device="cpu"), Recording(poses), options)
    assert prediction.spans == ((0, 8), (8, 8), (16, 4))
    assert options.render.stat().st_size > 1000


def call_predict(run, *arguments):
    words = [str(word) for word in (run, *arguments, "--device", "cpu")]
    return CliRunner().invoke(predict, words)


def test_the_command_tells_and_writes(run, raw, tmp_path):
    out = tmp_path / "out.json"
    ran = call_predict(run, *poses_of(raw, "r4"), "--json", out)
    assert ran.exit_code == 0, ran.output
    written = json.loads(out.read_text())
    assert [clip["start_frame"] for clip in written["clips"]] == [0, 8, 16]
    assert ran.stdout.splitlines()[-1].split()[2] == written["top"][0]["class"]
    assert isinstance(call_predict(run, *poses_of(raw, "r4"), "--json", out).exception, TrainError)
    assert call_predict(run, *poses_of(raw, "r4"), "--json", out, "--overwrite").exit_code == 0


def test_forgotten_poses_are_told_with_what_they_may_be(run):
    ran = call_predict(run)
    assert ran.exit_code == 2
    assert "Missing option '--poses'. Give a .skeleton file" in ran.output


def poses_of(raw, name):
    return "--poses", raw / f"{name}.skeleton", "--video", raw / f"{name}.mp4"


@pytest.mark.parametrize(
    "name", ["config.json", "environment.json", "checkpoints/new.json", "checkpoints/best.pt"]
)
def test_what_is_read_of_the_run_is_an_input(run, raw, name):
    before = {path: path.stat().st_size for path in run.rglob("*")}
    ran = call_predict(run, *poses_of(raw, "r4"), "--json", run / name, "--overwrite")
    assert (ran.exit_code, f"{name} is an input" in "".join(ran.output.split("\n"))) == (2, True)
    assert {path: path.stat().st_size for path in run.rglob("*")} == before


def test_a_checkpoint_elsewhere_that_the_run_links_to_is_an_input(run, raw, tmp_path):
    linked = tmp_path / "run"
    (linked / "checkpoints").mkdir(parents=True)
    state = tmp_path / "state.pt"
    shutil.copyfile(RunFolder(run).latest(), state)
    (linked / "checkpoints" / "step-000000001.pt").symlink_to(state)
    ran = call_predict(linked, *poses_of(raw, "r4"), "--json", state, "--overwrite")
    assert (ran.exit_code, "is an input" in " ".join(ran.output.split())) == (2, True)


def test_results_may_lie_in_the_run_folder(run, raw):
    out = run / "prediction.json"
    assert call_predict(run, *poses_of(raw, "r4"), "--json", out).exit_code == 0
    out.unlink()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--json", "{raw}/r4.skeleton"], "--json .* is an input"),
        (["--render", "{raw}/r4.mp4", "--overwrite"], "--render .* is an input"),
        (["--render", "{raw}/a.gif"], "a video is written as .mp4"),
        (["--json", "{raw}/nodir/a.json"], "no folder .*nodir"),
        (["--pose-fps", "25"], "--pose-fps is for other poses"),
        (["--pose-scale", "0..1"], "--pose-scale is for folders"),
        (["--pose-model", "{raw}/r3.mp4"], "--pose-model is for --poses auto"),
    ],
)
def test_wrong_usage_is_told_before_any_work(run, raw, more, told):
    before = {path: path.stat().st_size for path in raw.iterdir()}
    ran = call_predict(run, *poses_of(raw, "r4"), *(word.format(raw=raw) for word in more))
    assert ran.exit_code == 2
    assert re.search(told, " ".join(ran.output.split()))
    assert {path: path.stat().st_size for path in raw.iterdir()} == before
