"""``python -m train.predict``: what a trained network says of a new recording, over time."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from toolkit.errors import CtxtoolError
from toolkit.poses.estimate import EstimateOptions, estimate_video
from toolkit.poses.estimators import open_by_file
from toolkit.recording import POSE_SCALES, Recording, choose_options, extract_recording
from toolkit.shards import LAYOUTS, DatasetReader, SkeletonLayout, read_dataset_info
from toolkit.video_file import H264, write_video
from train.command_line import EPILOG, run_command, set_up_logging
from train.dataset_folder import find_run_dataset
from train.errors import TrainError
from train.files import RunFolder, write_atomically, write_json
from train.prediction import (
    Prediction,
    format_prediction,
    predict_sample,
    prediction_to_json,
)
from train.prediction_video import iterate_frames, read_rate
from train.saved_run import SavedRun, find_checkpoint, load_run
from train.targets import check_target, check_video_target, refuse_replacing

log = logging.getLogger(__name__)

# In place of a file: poses are estimated from the video.
AUTO = Path("auto")


@dataclass(frozen=True)
class PredictionOptions:
    """How often a clip begins (its length when None), and where an annotated video goes, if any.

    ``show`` is called with the prediction before the video is drawn.
    """

    stride: int | None = None
    render: Path | None = None
    show: Callable[[Prediction], object] | None = None


def predict_recording(
    loaded: SavedRun, recording: Recording, options: PredictionOptions = PredictionOptions()
) -> Prediction:
    """Extract a recording as the training data was, and run the network on its clips.

    Raises ``TrainError`` in one sentence when the recording cannot be read or aligned, or does not
    have what the network needs.
    """
    check_recording(loaded, recording)
    kind = loaded.data.layout, loaded.data.class_names
    made_with = read_parameters(loaded)
    if not made_with:
        log.warning(
            "the data set that %s was trained on is not to be found: the recording is extracted"
            " with the extracting commands' defaults",
            loaded.folder.path,
        )
    with TemporaryDirectory(prefix="ctxtool-") as folder:
        try:
            build = choose_options(recording, made_with)
            reader = extract_recording(recording, build, kind, Path(folder) / "new")
        except CtxtoolError as error:
            raise TrainError(str(error)) from error
        prediction = predict_sample(loaded, reader, options.stride, build.pose_fps)
        if options.show is not None:
            options.show(prediction)
        if options.render is not None:
            _render(prediction, reader, recording.video, options.render)
    return prediction


def check_recording(loaded: SavedRun, recording: Recording) -> None:
    """Raise ``TrainError`` unless a recording has the joints and the pictures a network needs."""
    _check_pictures(loaded, recording)
    try:
        found = recording.layout(loaded.data.layout)
    except CtxtoolError as error:
        raise TrainError(str(error)) from error
    _check_joints(loaded, str(recording.poses), found)


def _check_pictures(loaded: SavedRun, recording: Recording) -> None:
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


def _check_joints(loaded: SavedRun, source: str, found: SkeletonLayout) -> None:
    wanted = loaded.data.layout
    if found != wanted:
        raise TrainError(
            f"{source} holds {found.n_joints} joints ({found.name}), and {loaded.folder.path} was"
            f" trained on {wanted.n_joints} ({wanted.name}): choose a run of such data"
        )


def estimate_recording(
    loaded: SavedRun, recording: Recording, given: Mapping[str, Any], out: Path
) -> Recording:
    """Return the recording with poses estimated from its video below ``out``.

    They come at the recording's rate, else at that of the training data.  ``given`` are the
    options ``pose_model`` and ``device``.
    """
    if recording.video is None:
        raise TrainError("--poses auto takes the poses from the video: give --video")
    # Before minutes of work on every frame.
    _check_pictures(loaded, recording)
    _check_joints(loaded, "--poses auto", LAYOUTS["openpose18"])
    fps = choose_options(recording, read_parameters(loaded)).pose_fps
    try:
        estimator = open_by_file(given["pose_model"], given["device"])
        poses = estimate_video(recording.video, out, estimator, EstimateOptions(fps))
    except CtxtoolError as error:
        raise TrainError(str(error)) from error
    # Estimated coordinates are fractions, whatever those of the training data were.
    return Recording(poses, recording.video, fps, "0..1")


def read_parameters(loaded: SavedRun) -> dict[str, Any]:
    """Return what the data set of a run was built with, nothing where it is out of reach."""
    try:
        return dict(read_dataset_info(find_run_dataset(loaded.folder)).parameters)
    except (TrainError, CtxtoolError):
        return {}


def _render(prediction: Prediction, reader: DatasetReader, video: Path | None, path: Path) -> None:
    with reader:
        frames = iterate_frames(prediction, reader.sample(0), reader.info.layout, video)
        fps = read_rate(video, prediction)
        written: list[int] = []
        write_atomically(path, lambda aside: written.append(write_video(aside, frames, H264, fps)))
    log.info("wrote %s, %d frames", path, written[0])


def _check_usage(given: Mapping[str, Any]) -> None:
    """Refuse an option that would be dropped in silence."""
    poses: Path = given["poses"]
    if given["pose_model"] is not None and poses != AUTO:
        raise click.UsageError(f"--pose-model is for --poses auto, and poses come from {poses}")
    if given["pose_fps"] is not None and poses.suffix == ".skeleton":
        raise click.UsageError("--pose-fps is for other poses: .skeleton files have 30 a second")
    if given["pose_scale"] is not None and not poses.is_dir():
        raise click.UsageError(f"--pose-scale is for folders of OpenPose files, not for {poses}")


def _list_inputs(run: Path, given: Mapping[str, Any]) -> list[Path]:
    """Return the files and folders that a command line names, or finds in a run, to be read."""
    folder = RunFolder(run)
    named = filter(None, (given[name] for name in ("poses", "video", "pose_model")))
    # The checkpoint by itself: its name in the run may be a link.
    found = folder.config, folder.environment, folder.checkpoints
    inputs = [*map(Path, named), *found, find_checkpoint(folder, given["checkpoint"])]
    # The word auto is no file.
    return [path for path in inputs if path.exists()]


class _PosesPath(click.Path):
    """A path whose absence is told with what may stand there."""

    def get_missing_message(self, *_: Any, **__: Any) -> str:
        return "Give a .skeleton file, a folder of OpenPose files, a JSON file, or auto."


def _check_poses(_context: click.Context, _option: click.Parameter, path: Path) -> Path:
    if path != AUTO and not path.exists():
        raise click.BadParameter(f"there is no file or folder {path}; auto takes them from --video")
    return path


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--poses", type=_PosesPath(path_type=Path), required=True, callback=_check_poses,
              help="A .skeleton file, a folder of OpenPose files, a Kinetics-style JSON file, or"
              " auto: from the video.")  # fmt: skip
@click.option("--video", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="The video.  Needed by networks that read pictures.")  # fmt: skip
@click.option("--pose-fps", type=click.FloatRange(0, min_open=True), help="Pose frames a second;"
              " not for .skeleton.  [default: the training data's, or 30]")  # fmt: skip
@click.option("--pose-scale", type=click.Choice(POSE_SCALES), help="Coordinates of a"
              " folder of OpenPose files.  [default: the training data's, or auto]")  # fmt: skip
@click.option("--pose-model", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="For --poses auto: weights of Keypoint R-CNN, or an ONNX model.")  # fmt: skip
@click.option("--stride", type=click.IntRange(1), help="Frames from the begin of a clip to that of"
              " the next.  [default: a clip's length, as in evaluation]")  # fmt: skip
@click.option("--render", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.mp4",
              callback=check_video_target,
              help="Write a video with skeletons and classes.")  # fmt: skip
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path),
              callback=check_target,
              help="Write the probabilities of all classes and clips.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Let --render and --json replace files.")
@click.option("--checkpoint", default="last", show_default=True, metavar="last|best|FILE",
              help="Which state of the network.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def predict(run: Path, json_file: Path | None, *, overwrite: bool, **given: Any) -> None:
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
    _check_usage(given)
    targets = {"--render": given["render"], "--json": json_file}
    refuse_replacing(targets, _list_inputs(run, given), overwrite=overwrite)
    loaded = load_run(run, given["checkpoint"], given["device"])

    def show(prediction: Prediction) -> None:
        click.echo(format_prediction(prediction))
        if json_file is not None:
            sources = {"run": run.name, "checkpoint": loaded.checkpoint.name}
            sources |= {"poses": str(given["poses"]), "video": str(given["video"] or "")}
            write_json(json_file, sources | prediction_to_json(prediction))
            log.info("wrote %s", json_file)

    options = PredictionOptions(given["stride"], given["render"], show)
    with TemporaryDirectory(prefix="ctxtool-") as aside:
        taken = (given[name] for name in ("poses", "video", "pose_fps", "pose_scale"))
        recording = Recording(*taken)
        if recording.poses == AUTO:
            recording = estimate_recording(loaded, recording, given, Path(aside))
        predict_recording(loaded, recording, options)


if __name__ == "__main__":
    run_command(predict)
