"""``python -m train.predict``: what a trained network says of a new recording, over time."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from toolkit.errors import CtxtoolError
from toolkit.poses.estimate import estimate_video
from toolkit.poses.estimators import open_by_file
from toolkit.recording import Recording, choose_options, extract_recording, pose_rate
from toolkit.shards import DatasetReader, read_dataset_info
from toolkit.video_file import H264, write_video
from train.command_line import EPILOG, run_command, set_up_logging
from train.errors import TrainError
from train.files import write_atomically, write_json
from train.prediction import (
    Prediction,
    format_prediction,
    predict_sample,
    prediction_to_json,
)
from train.prediction_video import iterate_frames, read_rate
from train.saved_run import SavedRun, find_run_dataset, load_run

log = logging.getLogger(__name__)

# In place of a file: poses are estimated from the video.
AUTO = Path("auto")


@dataclass(frozen=True)
class PredictionOptions:
    """How often a clip begins (its length when None), and where an annotated video goes, if any."""

    stride: int | None = None
    render: Path | None = None


def predict_recording(
    loaded: SavedRun, recording: Recording, options: PredictionOptions = PredictionOptions()
) -> Prediction:
    """Extract a recording as the training data was, and run the network on its clips.

    Raises ``TrainError`` in one sentence when the recording cannot be read or aligned, or does not
    have what the network needs.
    """
    check_recording(loaded, recording)
    kind = loaded.data.layout, loaded.data.class_names
    build = choose_options(recording, read_parameters(loaded))
    with TemporaryDirectory(prefix="ctxtool-") as folder:
        try:
            reader = extract_recording(recording, build, kind, Path(folder) / "new")
        except CtxtoolError as error:
            raise TrainError(str(error)) from error
        rate = pose_rate(recording)
        prediction = predict_sample(loaded, reader, options.stride, rate)
        if options.render is not None:
            _render(prediction, reader, recording.video, options.render)
    return prediction


def check_recording(loaded: SavedRun, recording: Recording) -> None:
    """Raise ``TrainError`` unless a recording has the joints and the pictures a network needs."""
    run, model = loaded.folder.path, loaded.config.model
    if loaded.config.data.context_file is not None:
        raise TrainError(
            f"{run} was trained with a context file in place of pictures, and a new recording has"
            " none; choose a run that reads pictures or skeletons alone"
        )
    if model.has_rgb_branch and recording.video is None:
        raise TrainError(
            f"{run} holds a network of the {model.system} system, which reads pictures: give"
            " --video"
        )
    found = recording.layout(loaded.data.layout)
    if found != loaded.data.layout:
        wanted = loaded.data.layout
        raise TrainError(
            f"{recording.poses} holds {found.n_joints} joints ({found.name}), and {run} was"
            f" trained on {wanted.n_joints} ({wanted.name}): choose a run of such data"
        )


def estimate_recording(
    loaded: SavedRun, recording: Recording, given: Mapping[str, Any], out: Path
) -> Recording:
    """Return the recording with poses estimated from its video, 30 a second, below ``out``.

    ``given`` are the options ``pose_model`` and ``device``.
    """
    if recording.video is None:
        raise TrainError("--poses auto takes the poses from the video: give --video")
    # Before minutes of work on every frame.
    check_recording(loaded, replace(recording, poses=out))
    try:
        estimator = open_by_file(given["pose_model"], given["device"])
        poses = estimate_video(recording.video, out, estimator)
    except CtxtoolError as error:
        raise TrainError(str(error)) from error
    return Recording(poses, recording.video)


def read_parameters(loaded: SavedRun) -> dict[str, Any]:
    """Return what the data set of a run was built with, nothing where it is out of reach."""
    try:
        return dict(read_dataset_info(find_run_dataset(loaded.folder)).parameters)
    except (TrainError, CtxtoolError):
        log.warning(
            "the data set that %s was trained on is not to be found: the recording is extracted"
            " with the extracting commands' defaults",
            loaded.folder.path,
        )
        return {}


def _render(prediction: Prediction, reader: DatasetReader, video: Path | None, path: Path) -> None:
    with reader:
        frames = iterate_frames(prediction, reader.sample(0), reader.info.layout, video)
        fps = read_rate(video, prediction)
        write_atomically(path, lambda aside: write_video(aside, frames, H264, fps))


def _check_poses(_context: click.Context, _option: click.Parameter, path: Path) -> Path:
    if path != AUTO and not path.exists():
        raise click.BadParameter(f"there is no file or folder {path}; auto takes them from --video")
    return path


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--poses", type=click.Path(path_type=Path), required=True, callback=_check_poses,
              help="A .skeleton file, a folder of OpenPose files, a Kinetics-style JSON file, or"
              " auto: from the video.")  # fmt: skip
@click.option("--video", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="The video.  Needed by networks that read pictures.")  # fmt: skip
@click.option("--pose-fps", type=click.FloatRange(0, min_open=True), default=30.0,
              show_default=True, help="Pose frames a second; not for .skeleton.")  # fmt: skip
@click.option("--pose-model", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="For --poses auto: weights of Keypoint R-CNN, or an ONNX model.")  # fmt: skip
@click.option("--stride", type=click.IntRange(1), help="Frames from the begin of a clip to that of"
              " the next.  [default: a clip's length, as in evaluation]")  # fmt: skip
@click.option("--render", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.mp4",
              help="Write a video with skeletons and classes.")  # fmt: skip
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the probabilities of all classes and clips.")  # fmt: skip
@click.option("--checkpoint", default="last", show_default=True, metavar="last|best|FILE",
              help="Which state of the network.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def predict(run: Path, json_file: Path | None, **given: Any) -> None:
    """Tell what RUN, a folder of train.run, takes a recording for: five classes for each clip.

    The recording is extracted, aligned and prepared as the training data was.

    \b
    Examples:
      python -m train.predict runs/NAME --video clip.mp4 --poses keypoints/
      python -m train.predict runs/NAME --video a_rgb.avi --poses a.skeleton --render out.mp4
      python -m train.predict runs/NAME --video clip.mp4 --poses auto
      python -m train.predict runs/SKELETON --poses clip.json --stride 4 --json out.json
    """
    set_up_logging()
    loaded = load_run(run, given["checkpoint"], given["device"])
    options = PredictionOptions(given["stride"], given["render"])
    with TemporaryDirectory(prefix="ctxtool-") as aside:
        recording = Recording(given["poses"], given["video"], given["pose_fps"])
        if recording.poses == AUTO:
            recording = estimate_recording(loaded, recording, given, Path(aside))
        prediction = predict_recording(loaded, recording, options)
    click.echo(format_prediction(prediction))
    if json_file is not None:
        sources = {"run": run.name, "checkpoint": loaded.checkpoint.name}
        sources |= {"poses": str(given["poses"]), "video": str(recording.video or "")}
        write_json(json_file, sources | prediction_to_json(prediction))


if __name__ == "__main__":
    run_command(predict)
