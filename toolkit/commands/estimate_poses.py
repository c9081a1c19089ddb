"""``estimate-poses``: skeletons for videos that have none."""

from pathlib import Path

import click

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("estimate-poses")
@click.argument("videos", nargs=-1, required=True, type=_FILE, metavar="VIDEO...")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("poses"),
    show_default=True,
    help="Folder that gets a folder of OpenPose-style files for each video.",
)
@click.option(
    "--weights",
    type=_FILE,
    help="Weights of Keypoint R-CNN, a state dict of torchvision's.  [default: fetched by it]",
)
@click.option("--model", type=_FILE, help="An ONNX model instead: MoveNet or YOLO pose.")
@click.option(
    "--fps",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    help="Poses a second, whatever the video's rate.",
)
@click.option(
    "--min-score",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Joints with a lower score count as not seen.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def estimate_poses(
    videos: tuple[Path, ...],
    out: Path,
    weights: Path | None,
    model: Path | None,
    device: str,
    **given: float,
) -> None:
    """Estimate the 18 joints of everybody in videos, as folders of OpenPose-style files.

    By torchvision's Keypoint R-CNN, or by an ONNX model.  A folder that was made of the same video
    with the same model and options is kept; any other is refused.

    \b
    Examples:
      ctxtool estimate-poses clip.mp4
      ctxtool estimate-poses videos/*.mp4 --out keypoints --weights keypointrcnn.pth
      ctxtool estimate-poses clip.mp4 --model yolo11n-pose.onnx
    """
    from toolkit.poses.estimate import EstimateOptions, estimate_video
    from toolkit.poses.estimators import DEFAULT, name_model, open_estimator
    from toolkit.poses.onnx_model import open_onnx

    if weights is not None and model is not None:
        raise click.UsageError("give --weights or --model, not both: an ONNX file has its own")
    if len({video.stem for video in videos}) < len(videos):
        raise click.UsageError("two videos have the same name: their folders would be one")
    estimator = open_onnx(model) if model else open_estimator(DEFAULT, weights, device)
    options = EstimateOptions(**given, model=name_model(model or weights))
    for video in videos:
        click.echo(estimate_video(video, out, estimator, options))
