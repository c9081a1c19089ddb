"""``python -m train.evaluate``: score a trained network on a subset, all clips of every sample."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import SequentialSampler
from tqdm import tqdm

from toolkit.shards import OK, SPLIT_PREFIX, DatasetReader, read_manifest
from train.command_line import EPILOG, run_command, set_up_logging
from train.data_config import DataConfig
from train.dataset_folder import find_dataset, find_run_dataset
from train.distributed import World
from train.errors import TrainError
from train.evaluation import Evaluation
from train.loader import ClipLoader, LoaderOptions, make_eval_loader
from train.pairing import PairedClips, shuffle_pairs
from train.prepare import count_workers
from train.results import format_evaluation, write_evaluation
from train.saved_run import SavedRun, load_run
from train.scoring import AVERAGES, SampleScores, score_samples
from train.subsets import select_subsets
from train.synthetic import find_limits

log = logging.getLogger(__name__)

SUBSETS = ("test", "validation", "train")


@dataclass(frozen=True)
class EvaluationOptions:
    """What to evaluate and how; None takes what the run was trained with.

    - ``split``, ``subset``: which samples (``test``, ``validation`` or ``train``)
    - ``average`` over the clips of a sample: ``softmax`` or ``logits`` (docs/paper.md O28)
    - ``checkpoint``: ``last``, ``best`` or a file
    - ``batch_size``, ``workers``, ``device`` change the speed only
    - ``skip_bad``: count samples that cannot be read as dropped, instead of stopping
    - ``pairing``: sample number -> number of the sample whose pictures it is shown with;
      ``shuffle_context``: seed of a random such pairing within the subset

    Raises ``ValueError`` for values that make no sense.
    """

    split: str | None = None
    subset: str = "test"
    average: str = "softmax"
    checkpoint: str | Path = "last"
    batch_size: int | None = None
    workers: int | None = None
    device: str = "auto"
    skip_bad: bool | None = None
    shuffle_context: int | None = None
    pairing: Mapping[int, int] | None = None

    def __post_init__(self) -> None:
        for field, allowed in {"subset": SUBSETS, "average": AVERAGES}.items():
            if getattr(self, field) not in allowed:
                wanted = ", ".join(allowed)
                raise ValueError(f"{field} must be one of {wanted}; got {getattr(self, field)!r}")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if self.shuffle_context is not None and self.pairing is not None:
            raise ValueError("give shuffle_context or pairing, not both")


def evaluate_run(
    run: Path, shards: Path, options: EvaluationOptions = EvaluationOptions()
) -> Evaluation:
    """Score a run's network on all clips of every sample of a subset; writes nothing.

    Raises ``TrainError`` or ``ShardError`` with one sentence.
    """
    return evaluate_loaded(load_run(run, options.checkpoint, options.device), shards, options)


def evaluate_loaded(
    loaded: SavedRun, shards: Path, options: EvaluationOptions = EvaluationOptions()
) -> Evaluation:
    """Do what :func:`evaluate_run` does with a network that is loaded already.

    The options' ``checkpoint`` and ``device`` are those it was loaded with.
    """
    dataset = find_dataset(shards)
    reader = loaded.open_dataset(dataset)
    config = settle_split(loaded.config.data, reader, options.split)
    samples = getattr(select_subsets(reader, config, loaded.config.run.seed), options.subset)
    scored = _score(loaded, make_loader(loaded, dataset, samples, options), options)
    is_plain = options.pairing is None and options.shuffle_context is None
    return Evaluation(
        split=str(config.split),
        subset=options.subset,
        average=options.average,
        class_names=loaded.data.class_names,
        sample_ids=tuple(reader.samples["sample_id"].iloc[scored.sample.numpy()].astype(str)),
        labels=scored.label.numpy(),
        scores=scored.scores.numpy(),
        dropped=count_dropped(reader, str(config.split), options.subset)
        + np.bincount(
            reader.labels[scored.skipped.numpy()], minlength=len(reader.info.class_names)
        ),
        source={
            "run": loaded.folder.path.name,
            "system": loaded.config.model.system,
            "checkpoint": loaded.checkpoint.name,
            "epoch": loaded.epoch,
            "data": reader.info.name,
            "fingerprint": reader.info.fingerprint,
            **(find_limits(dataset, loaded.config.model) if is_plain else {}),
        },
    )


def settle_split(config: DataConfig, reader: DatasetReader, split: str | None) -> DataConfig:
    """Return the data settings for another split than the run's, if one is asked for."""
    if split is None or split == config.split:
        return config
    if split not in reader.info.splits:
        raise TrainError(
            f"{reader.folder} has no split {split!r}; choose out of {', '.join(reader.info.splits)}"
        )
    log.warning("trained on split %s: samples of %s may be training samples", config.split, split)
    return replace(config, split=split)


def make_loader(
    loaded: SavedRun,
    dataset: Path,
    samples: NDArray[np.int64],
    options: EvaluationOptions = EvaluationOptions(),
) -> ClipLoader:
    """Return a loader of all clips of the samples as the options say, centre crop, in order."""
    run, data = loaded.config.run, loaded.config.data
    device = loaded.forward.device
    loader_options = LoaderOptions(
        batch_size=options.batch_size or run.batch_size,
        workers=count_workers(
            run.workers if options.workers is None else options.workers, World(device=device)
        ),
        pictures=loaded.config.model.has_rgb_branch,
        pin_memory=device.type == "cuda",
        skip_bad=run.skip_bad if options.skip_bad is None else options.skip_bad,
    )
    pairing = options.pairing
    if options.shuffle_context is not None:
        pairing = shuffle_pairs(samples, options.shuffle_context)
    if pairing is None:
        return make_eval_loader(dataset, samples, data, loader_options)
    clips = PairedClips(dataset, samples, data, pairing, pictures=loader_options.pictures)
    return ClipLoader(clips, SequentialSampler(clips), loader_options)


def count_dropped(reader: DatasetReader, split: str, subset: str) -> NDArray[np.int64]:
    """Count the planned samples of a subset without usable data by class, (K,).

    ``val`` rows are the test subset where no other is usable (Kinetics), otherwise validation;
    validation held out of train has none of its own, they all count as train.
    """
    manifest = read_manifest(reader.folder)
    stands_in = len(reader.subset(split, "test")) == 0
    names = {"train": "train", "test": "val" if stands_in else "test"}
    names["validation"] = "" if stands_in else "val"
    rows = (manifest[SPLIT_PREFIX + split] == names[subset]) & (manifest["status"] != OK)
    labels = manifest.loc[rows.fillna(False).to_numpy(bool), "label"].to_numpy(np.int64)
    return np.bincount(labels, minlength=len(reader.info.class_names))


def _score(loaded: SavedRun, loader: ClipLoader, options: EvaluationOptions) -> SampleScores:
    batches = tqdm(loader, desc=options.subset, unit="batch", leave=False, disable=None)
    try:
        return score_samples(loaded.forward, loaded.model, batches, options.average)
    except torch.OutOfMemoryError as error:
        size = options.batch_size or loaded.config.run.batch_size
        raise TrainError(
            f"{loaded.forward.device} is out of memory with batches of {size} clips;"
            f" use --batch-size {max(size // 2, 1)}"
        ) from error


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--shards", type=click.Path(path_type=Path), help="Data set folder, or the folder"
              " that holds exactly one.  [default: the one trained on]")  # fmt: skip
@click.option("--split", help="Benchmark split.  [default: the run's]")
@click.option("--subset", type=click.Choice(SUBSETS), default="test", show_default=True,
              help="Which samples of the split.")  # fmt: skip
@click.option("--average", type=click.Choice(AVERAGES), default="softmax", show_default=True,
              help="What is averaged over the clips of a sample.")  # fmt: skip
@click.option("--checkpoint", default="last", show_default=True, metavar="last|best|FILE",
              help="Which state of the network.")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(1), help="Clips at a time.  [default: the run's]")
@click.option("--workers", type=click.IntRange(0), help="Reading processes.  [default: the run's]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--skip-bad/--no-skip-bad",
    default=None,
    help="Count samples that cannot be read as dropped, instead of stopping."
    "  [default: as the run]",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Where to write the results.  [default: RUN]")  # fmt: skip
def evaluate(run: Path, shards: Path | None, out: Path | None, **settings: Any) -> None:
    """Score the network of RUN, a folder of train.run, on all clips of every sample.

    Writes evaluation.json (top-1, top-5, mean class accuracy, confusion; with and without the
    samples that were dropped from the data set), scores.parquet (a row of scores for each sample;
    fuse several by python -m train.fuse), per_class.csv and confusion.png.

    \b
    Examples:
      python -m train.evaluate runs/ntu60-rgb-seed0 --shards out/
      python -m train.evaluate runs/demo --subset train --out runs/demo/on-train
    """
    set_up_logging()
    options = EvaluationOptions(**settings)
    loaded = load_run(run, options.checkpoint, options.device)
    if loaded.config.run.threads:
        torch.set_num_threads(loaded.config.run.threads)
    evaluation = evaluate_loaded(loaded, shards or find_run_dataset(loaded.folder), options)
    write_evaluation(evaluation, out or run)
    click.echo(format_evaluation(evaluation))


if __name__ == "__main__":
    run_command(evaluate)
