"""``extract-ntu``, ``extract-kinetics``, ``build-kinetics-motion`` and ``extract-openpose``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from toolkit.commands.extraction import (
    EXISTING_FILE,
    EXISTING_FOLDER,
    FOLDER,
    RunChoices,
    extract,
    extraction_options,
)

_NTU_SPLITS = {"ntu60": ("xsub", "xview"), "ntu120": ("xsub", "xset")}
_POSE_FPS = click.option(
    "--pose-fps",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    show_default=True,
    help="Pose frames a second: pose frame i was seen at i / FPS.",
)
_MAX_DRIFT = click.option(
    "--max-drift",
    "tolerance_ms",
    type=click.FloatRange(0),
    default=100.0,
    show_default=True,
    metavar="MS",
    help="Largest distance in time from a pose to its video frame before it is misaligned.",
)
_PEOPLE = click.option(
    "--bodies",
    type=click.Choice(["frame", "clip", "track"]),
    default="frame",
    show_default=True,
    help="Which two people: the best scored of each frame (the paper's loader), of the whole"
    " recording, or the best after tracking from frame to frame.",
)
_RAW = click.option(
    "--raw", type=FOLDER, help="Folder with poses and videos, searched recursively."
)
_VIDEOS = click.option("--videos", type=EXISTING_FOLDER, help="Videos, where they lie apart.")

_POSES = click.option(
    "--poses", type=EXISTING_FOLDER, help="Pose JSON files, where they lie apart."
)
_LABELS = click.option(
    "--labels",
    type=EXISTING_FILE,
    multiple=True,
    help="Label file(s); by default every *label*.json below the poses. Repeatable.",
)


@click.command("extract-ntu")
@click.option(
    "--split",
    type=click.Choice(["xsub", "xview", "xset"]),
    default="xsub",
    show_default=True,
    help="Split that is counted and becomes the data set's default; all splits are in the"
    " manifest, so a second run with another one decodes nothing. xset needs ntu120.",
)
@click.option(
    "--dataset",
    type=click.Choice(["ntu60", "ntu120"]),
    default="ntu60",
    show_default=True,
    help="NTU RGB+D (60 classes) or NTU RGB+D 120.",
)
@_RAW
@click.option("--skeletons", type=EXISTING_FOLDER, help=".skeleton files, where they lie apart.")
@_VIDEOS
@click.option(
    "--bodies",
    type=click.Choice(["denoise", "file-order"]),
    default="denoise",
    show_default=True,
    help="Which two bodies: by length, spread and motion, or the first two of the file.",
)
@click.option(
    "--tolerance",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    metavar="FRAMES",
    help="How far the counts of skeleton and video frames may differ before it is misaligned.",
)
@click.option(
    "--use-listed", is_flag=True, help="Use recordings on the published missing list too."
)
@extraction_options(out="out/ntu60")
@click.pass_context
def extract_ntu(ctx: click.Context, /, **given: Any) -> None:
    """Make shards of NTU RGB+D: .skeleton files and *_rgb.avi videos, frame to frame.

    \b
    Examples:
      ctxtool extract-ntu --split xsub
      ctxtool extract-ntu --raw /data/ntu --out out/ntu60 --jobs 8 --allow listed_missing
      ctxtool extract-ntu --dataset ntu120 --split xset --skeletons SK --videos RGB
      ctxtool extract-ntu --skeleton-only --dry-run
    """
    from toolkit.build.options import NTU_FPS, BuildOptions
    from toolkit.datasets.ntu import list_ntu

    run = _with_default_out(ctx, RunChoices.take(given), given["dataset"])
    _check_split(given["dataset"], given["split"], _NTU_SPLITS[given["dataset"]])
    skeletons, videos = _folders(given, "skeletons", Path("data/ntu"))
    names = {
        "dataset": given.pop("dataset"),
        "default_split": given.pop("split"),
        "use_listed": given.pop("use_listed"),
    }
    tolerance_ms = given.pop("tolerance") * 1000 / NTU_FPS
    options = BuildOptions(source="ntu", align="frame", tolerance_ms=tolerance_ms, **given)
    extract(list_ntu(skeletons, videos, **names), options, run)


@click.command("extract-kinetics")
@_RAW
@_POSES
@_VIDEOS
@_LABELS
@_PEOPLE
@_POSE_FPS
@_MAX_DRIFT
@extraction_options(out="out/kinetics")
def extract_kinetics(**given: Any) -> None:
    """Make shards of Kinetics-skeleton (400 classes): pose JSON and videos, matched by time.

    \b
    Examples:
      ctxtool extract-kinetics
      ctxtool extract-kinetics --poses kinetics-skeleton --videos kinetics400 --allow missing_video
    """
    run = RunChoices.take(given)
    _extract_kinetics(given, run, motion_only=False)


@click.command("build-kinetics-motion")
@_RAW
@_POSES
@_VIDEOS
@_LABELS
@click.option(
    "--from",
    "extraction",
    type=EXISTING_FOLDER,
    help="Take the samples from this finished Kinetics extraction; nothing is decoded again.",
)
@_PEOPLE
@_POSE_FPS
@_MAX_DRIFT
@extraction_options(out="out/kinetics-motion")
def build_kinetics_motion(extraction: Path | None, **given: Any) -> None:
    """Make shards of Kinetics-Motion: the 30 Kinetics classes that are told by motion.

    \b
    Examples:
      ctxtool build-kinetics-motion
      ctxtool build-kinetics-motion --from out/kinetics
    """
    run = RunChoices.take(given)
    if extraction is None:
        _extract_kinetics(given, run, motion_only=True)
        return
    from toolkit.build.regroup import list_kinetics_motion, regroup_options

    _refuse_beside_from()
    if run.out.resolve() == extraction.resolve():
        raise click.UsageError("--out must be another folder than --from, which it would replace")
    options = regroup_options(extraction, given["samples_per_shard"])
    extract(list_kinetics_motion(extraction), options, run)


@click.command("extract-openpose")
@click.option(
    "--table",
    type=EXISTING_FILE,
    required=True,
    help="CSV with the columns id, label, split, poses, video, and any split_NAME for further"
    " splits; paths count from its folder.",
)
@click.option(
    "--split",
    default="split",
    show_default=True,
    help="Split that is counted and becomes the data set's default: the column split, or NAME of"
    " a column split_NAME; all are in the manifest.",
)
@click.option(
    "--layout",
    "layout_file",
    type=EXISTING_FILE,
    help="JSON file with your own joints (name, joints, bones, centre, pairs), for poses in"
    " Kinetics-style JSON.",
)
@click.option(
    "--pose-scale",
    type=click.Choice(["auto", "pixels", "0..1", "-1..1"]),
    default="auto",
    show_default=True,
    help="What the coordinates of OpenPose folders mean; auto tells from their values.",
)
@_PEOPLE
@_POSE_FPS
@_MAX_DRIFT
@extraction_options(out="out/openpose")
def extract_openpose(table: Path, split: str, layout_file: Path | None, **given: Any) -> None:
    """Make shards of your own recordings: OpenPose output (COCO-18, BODY_25) and any videos.

    \b
    Examples:
      ctxtool extract-openpose --table my.csv
      ctxtool extract-openpose --table my.csv --skeleton-only --layout my-joints.json
    """
    from dataclasses import replace

    from toolkit.build.options import BuildOptions
    from toolkit.datasets.openpose import list_openpose, read_layout
    from toolkit.skeleton import OPENPOSE18

    if given["pose_scale"] == "pixels" and given["skeleton_only"]:
        raise click.UsageError(
            "--pose-scale pixels needs the videos, which tell how many: leave --skeleton-only out"
        )
    run = RunChoices.take(given)
    layout = read_layout(layout_file) if layout_file else OPENPOSE18
    options = BuildOptions(source="openpose", align="time", **given)
    data = list_openpose(table, videos=not options.skeleton_only, layout=layout)
    _check_split(str(table), split, data.splits)
    extract(replace(data, default_split=split), options, run)


def _check_split(dataset: str, split: str, offered: Sequence[str]) -> None:
    if split not in offered:
        one = "the split" if len(offered) == 1 else "the splits"
        raise click.BadParameter(
            f"{dataset} has {one} {' and '.join(offered)}, not {split}", param_hint="--split"
        )


def _extract_kinetics(given: dict[str, Any], run: RunChoices, *, motion_only: bool) -> None:
    from toolkit.build.options import BuildOptions
    from toolkit.datasets.kinetics import list_kinetics

    poses, videos = _folders(given, "poses", Path("data/kinetics"))
    labels = given.pop("labels") or None
    options = BuildOptions(source="kinetics", align="time", **given)
    data = list_kinetics(poses, videos, labels=labels, motion_only=motion_only)
    extract(data, options, run)


def _folders(given: dict[str, Any], poses: str, default: Path) -> tuple[Path, Path | None]:
    """Return where poses and videos are looked for; no video folder with --skeleton-only."""
    raw, pose_folder, video_folder = given.pop("raw"), given.pop(poses), given.pop("videos")
    # Where one of the pair is named, the other is not looked for among somebody else's files.
    elsewhere = raw or pose_folder or video_folder or default
    return pose_folder or elsewhere, None if given["skeleton_only"] else video_folder or elsewhere


def _with_default_out(ctx: click.Context, run: RunChoices, dataset: str) -> RunChoices:
    """Keep the two editions of NTU apart where the user names no folder."""
    from dataclasses import replace

    if ctx.get_parameter_source("out") is click.core.ParameterSource.DEFAULT:
        return replace(run, out=Path("out") / dataset)
    return run


def _refuse_beside_from() -> None:
    """An option that --from cannot honour must not be taken in silence."""
    ctx = click.get_current_context()
    honoured = {"extraction", "samples_per_shard", *RunChoices.__dataclass_fields__}
    for name in ctx.params:
        given = ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
        if given and name not in honoured:
            option = next(p.opts[0] for p in ctx.command.params if p.name == name)
            raise click.UsageError(f"{option} has no effect beside --from: the samples are copied")
