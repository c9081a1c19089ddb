"""``python -m train.attention``: pictures of what the attention of a trained network looks at."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from toolkit.video_file import H264, write_video
from train.attention_heatmap import draw_heatmap, measure_joints, write_joint_means
from train.attention_maps import attend_sample, check_attention
from train.attention_pictures import Figure6, draw_clip, iterate_frames
from train.command_line import EPILOG, run_command, set_up_logging
from train.dataset_folder import find_dataset, find_run_dataset
from train.errors import TrainError
from train.evaluate import SUBSETS, EvaluationOptions, make_loader
from train.files import write_atomically
from train.saved_run import SavedRun, load_run
from train.subsets import select_subsets

log = logging.getLogger(__name__)

FOLDER = "attention"
# A third of the recordings' speed: circles are to be read.
VIDEO_FPS = 10.0


@dataclass(frozen=True)
class PictureOptions:
    """Which clips of a sample are drawn and how; None takes all clips, and the scale they ask for.

    ``scale`` are the weights of the smallest and the largest circle; ``scene`` is a sample whose
    pictures are shown to the network in place of its own.
    """

    clips: Sequence[int] | None = None
    scale: tuple[float, float] | None = None
    scene: str | None = None

    def __post_init__(self) -> None:
        if self.scale is not None and not 0 <= self.scale[0] < self.scale[1] <= 1:
            raise ValueError(f"a scale goes up from 0 to 1 at most, got {self.scale}")


def draw_sample(
    loaded: SavedRun, dataset: Path, sample_id: str, out: Path, options: PictureOptions
) -> list[Path]:
    """Write the pictures and videos of one sample; return their paths.

    Raises ``TrainError`` for a network without attention, an unknown sample or clip.
    """
    clips = attend_sample(loaded, dataset, sample_id, options.clips, options.scene)
    out.mkdir(parents=True, exist_ok=True)
    return [
        path
        for module in clips[0].modules
        for path in _draw_module(Figure6.of(clips, module, options.scale), out)
    ]


def _draw_module(figure6: Figure6, out: Path) -> Iterator[Path]:
    """Yield the path of each picture of one module when it is written."""
    first = figure6.clips[0]
    name = first.sample_id + (f"-in-{first.scene_id}" if first.scene_id != first.sample_id else "")
    for clip in figure6.clips:
        path = out / f"{name}-clip{clip.number}-{figure6.module}.png"
        write_atomically(path, partial(draw_clip, figure6, clip))
        yield path
    path = out / f"{name}-{figure6.module}.mp4"
    frames = iterate_frames(figure6)
    write_atomically(path, lambda aside: write_video(aside, frames, H264, VIDEO_FPS))
    yield path


def draw_subset(loaded: SavedRun, dataset: Path, subset: str, out: Path) -> list[Path]:
    """Write the mean weight of each joint in each class over a subset; return the paths.

    Raises ``TrainError`` for a network without attention, or a subset without samples.
    """
    reader = loaded.open_dataset(dataset)
    config = loaded.config.data
    samples = getattr(select_subsets(reader, config, loaded.config.run.seed), subset)
    if not len(samples):
        raise TrainError(f"split {config.split} of {dataset} has no {subset} sample to look at")
    loader = make_loader(loaded, dataset, samples, EvaluationOptions(subset=subset))
    found = measure_joints(loaded, tqdm(loader, desc=subset, unit="batch", disable=None))
    out.mkdir(parents=True, exist_ok=True)
    table = out / f"joints-{subset}.csv"
    write_atomically(table, partial(write_joint_means, loaded, found))
    pictures = {module: out / f"joints-{subset}-{module}.png" for module in found}
    for module, path in pictures.items():
        write_atomically(path, partial(draw_heatmap, loaded, found[module]))
    return [table, *pictures.values()]


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--shards", type=click.Path(path_type=Path), help="Data set folder, or the folder"
              " that holds exactly one.  [default: the one trained on]")  # fmt: skip
@click.option("--sample", "samples", multiple=True, metavar="ID", help="Draw this sample."
              " Repeatable.")  # fmt: skip
@click.option("--clip", "clips", type=click.IntRange(0), multiple=True,
              help="Only this clip of it, from 0.  Repeatable.  [default: all]")  # fmt: skip
@click.option("--scene", metavar="ID", help="Show the network the pictures of this sample with the"
              " skeletons of --sample.")  # fmt: skip
@click.option("--heatmap", is_flag=True, help="Draw the mean weight of each joint in each class.")
@click.option("--subset", type=click.Choice(SUBSETS), default="test", show_default=True,
              help="Which samples --heatmap takes.")  # fmt: skip
@click.option("--scale", type=(float, float), metavar="LOW HIGH",
              help="Weights of the smallest and the largest circle, to compare pictures."
              "  [default: the range of the sample]")  # fmt: skip
@click.option("--checkpoint", default="last", show_default=True, metavar="last|best|FILE",
              help="Which state of the network.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Where to write.  [default: RUN/attention]")  # fmt: skip
def attention(run: Path, shards: Path | None, out: Path | None, **given: Any) -> None:
    """Draw what the attention of RUN, a folder of train.run, looks at (Fig. 6 of the paper).

    \b
    Examples:
      python -m train.attention runs/NAME --sample ID --clip 0
      python -m train.attention runs/NAME --sample ID --sample OTHER --scale 0 1
      python -m train.attention runs/NAME --sample ID --scene OTHER --scale 0 1
      python -m train.attention runs/NAME --heatmap
    """
    set_up_logging()
    if not given["samples"] and not given["heatmap"]:
        raise click.UsageError("nothing to draw: give --sample ID, or --heatmap")
    if given["scene"] and not given["samples"]:
        raise click.UsageError("--scene goes with --sample: whose skeletons are to be seen in it?")
    try:
        options = PictureOptions(given["clips"] or None, given["scale"], given["scene"])
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    loaded = load_run(run, given["checkpoint"], given["device"])
    check_attention(loaded)
    dataset = find_dataset(shards or find_run_dataset(loaded.folder))
    out = out or run / FOLDER
    for sample_id in given["samples"]:
        for path in draw_sample(loaded, dataset, sample_id, out, options):
            click.echo(path)
    if given["heatmap"]:
        for path in draw_subset(loaded, dataset, given["subset"], out):
            click.echo(path)


if __name__ == "__main__":
    run_command(attention)
