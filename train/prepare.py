"""From settings and a data set folder to the parts of a training, each mismatch in one sentence."""

import logging
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from toolkit.shards import DatasetReader
from train.checkpoint import DataFacts
from train.config import TrainConfig
from train.context_file import ContextFile
from train.data import stores_pictures
from train.distributed import World, sum_over_ranks
from train.errors import Interrupted, TrainError
from train.loader import ClipLoader, LoaderOptions, make_eval_loader, make_train_loader
from train.models import ActionNetwork, SkeletonGraph, build_model, use_channels_last
from train.picture_cache import GIGA, PictureCache, fill_cache, refuse_lack_of_room
from train.sampling import EpochSampler
from train.schedule import scale_rate
from train.signals import StopWish
from train.subsets import Subsets, select_subsets
from train.synthetic import count_stand_ins

logger = logging.getLogger(__name__)

MAX_WORKERS = 16


@dataclass(frozen=True)
class Prepared:
    """A training that can begin: settings without open choices, and what the data set holds."""

    config: TrainConfig
    dataset: Path
    data: DataFacts
    subsets: Subsets

    @property
    def n_classes(self) -> int:
        """Classes of the data set."""
        return len(self.data.class_names)

    @property
    def graph(self) -> SkeletonGraph:
        """The skeleton's graph."""
        layout = self.data.layout
        return SkeletonGraph(layout.n_joints, layout.bones, layout.centre)

    def clips_per_step(self, world: World) -> int:
        """Return how many clips of all ranks make one step, leaving smaller last ones aside."""
        run = self.config.run
        return run.batch_size * run.accumulate * world.size

    def peak_rate(self, world: World) -> float:
        """Return the learning rate that the schedule multiplies."""
        return scale_rate(self.config.optim, self.clips_per_step(world))

    def steps_per_epoch(self, world: World) -> int:
        """Return the steps of one epoch."""
        return -(-len(self.subsets.train) // self.clips_per_step(world))


def prepare(config: TrainConfig, dataset: Path) -> Prepared:
    """Settle what a configuration leaves to the data set, and check that the two fit.

    Raises ``TrainError``, or ``ShardError`` for shards that cannot be read.
    """
    reader = DatasetReader(dataset)
    info = reader.info
    split = config.data.split or info.default_split
    if split not in info.splits:
        raise TrainError(
            f"{dataset} has no split {split!r}; choose --split out of {', '.join(info.splits)}"
        )
    config = config.replaced({"data.split": split, "model.in_channels": len(info.layout.channels)})
    subsets = select_subsets(reader, config.data, config.run.seed)
    config = _settle_context(config, reader, subsets.train)
    _check_pictures(config, reader, subsets.train)
    _check_classes(config, reader, subsets.train)
    return Prepared(config, dataset, DataFacts.of(info), subsets)


def _settle_context(
    config: TrainConfig, reader: DatasetReader, samples: Sequence[int] | np.ndarray
) -> TrainConfig:
    """Give the network as many context channels as the context file holds."""
    path = config.data.context_file
    if path is None:
        if config.model.context_channels:
            raise TrainError(
                "model.context_channels is set, but no context file is: give one by --context"
            )
        return config
    if not config.model.has_context:
        raise TrainError(
            f"the {config.model.system} system has no use for the context file {path}; leave it"
            " out, or choose --system cross-attention or concat"
        )
    channels = ContextFile(path, reader, list(samples)).shape[1]
    return config.replaced({"model.context_channels": channels})


def _check_pictures(config: TrainConfig, reader: DatasetReader, samples: np.ndarray) -> None:
    if config.run.cache != "off" and not config.model.has_rgb_branch:
        raise TrainError(
            f"run.cache={config.run.cache} keeps decoded pictures, and this"
            f" {config.model.system} system reads none: leave it out"
        )
    if config.model.has_rgb_branch and not stores_pictures(reader, samples):
        raise TrainError(
            f"{reader.folder} holds skeletons only, and the {config.model.system} system needs"
            " pictures; choose --system skeleton or self-attention, give --context, or extract"
            " the data set with its videos"
        )


def _check_classes(config: TrainConfig, reader: DatasetReader, samples: np.ndarray) -> None:
    names = reader.info.class_names
    counts = np.bincount(reader.labels[samples], minlength=len(names))
    missing = [name for name, count in zip(names, counts, strict=True) if count == 0]
    if not missing:
        return
    shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
    told = (
        f"{len(missing)} of {len(names)} classes have no training sample in split"
        f" {config.data.split} ({shown})"
    )
    if config.run.missing_classes == "error":
        raise TrainError(
            f"{told}; extract them too, set run.missing_classes=allow to train without them, or"
            " take --recipe demo for synthetic data"
        )
    if count_stand_ins(reader) == len(reader):
        logger.info("%s: these are synthetic stand-ins, which have few classes", told)
    else:
        logger.warning("%s", told)


def build_network(prepared: Prepared, world: World) -> ActionNetwork:
    """Build the network with starting values drawn from the seed, on this rank's device."""
    config = prepared.config
    torch.manual_seed(config.run.seed)
    model = build_model(config.model, prepared.graph, prepared.n_classes)
    # On a CPU it gains nothing, and oneDNN's backward pass corrupts memory with 4 channels.
    if config.run.channels_last and world.device.type == "cuda":
        use_channels_last(model)
    if config.run.sync_norms:
        if world.device.type != "cuda":
            raise TrainError("run.sync_norms needs GPUs: torch synchronises batch norm only there")
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return model.to(world.device)


def keep_pictures(prepared: Prepared, world: World, stop: StopWish) -> PictureCache:
    """Decode all pictures that training and validation read; every rank must call this.

    Raises ``TrainError`` where they do not fit, ``Interrupted`` on all ranks when a signal came.
    """

    def stopped() -> bool:
        return stop.signal_number > 0

    begin = time.monotonic()
    samples = np.union1d(prepared.subsets.train, prepared.subsets.validation)
    with DatasetReader(prepared.dataset) as reader:
        refuse_lack_of_room(reader, samples, copies=world.local_size, stopped=stopped)
        # What a rank has written would be missing from the room that a slower one asks for.
        _stop_together(stop, world)
        cache = fill_cache(reader, samples, stopped=stopped)
    _stop_together(stop, world)
    told = (len(cache), cache.n_bytes / GIGA, time.monotonic() - begin)
    logger.info("the pictures of %d samples are kept decoded: %.2f GB, in %.0f s", *told)
    return cache


def _stop_together(stop: StopWish, world: World) -> None:
    """Wait for the other ranks, and raise ``Interrupted`` if a signal came to any of them."""
    if sum_over_ranks(torch.tensor([stop.signal_number]), world).item() > 0:
        raise Interrupted(stop.signal_number or signal.SIGTERM)


def count_workers(wanted: int | None, world: World) -> int:
    """Return the reading processes of this rank: as wanted, or those the machine has cores for."""
    if wanted is not None:
        return wanted
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = (n_cores or 1) // world.local_size
    # On a CPU the network itself takes the other cores.
    spare = share - 1 if world.device.type == "cuda" else share // 2
    return max(1, min(spare, MAX_WORKERS))


def make_loaders(
    prepared: Prepared, world: World, cache: PictureCache | None = None
) -> tuple[ClipLoader, EpochSampler, ClipLoader]:
    """Return the training loader with its sampler, and the loader of validation samples."""
    config = prepared.config
    options = LoaderOptions(
        batch_size=config.run.batch_size,
        workers=count_workers(config.run.workers, world),
        seed=config.run.seed,
        rank=world.rank,
        world=world.size,
        pictures=config.model.has_rgb_branch,
        pin_memory=world.device.type == "cuda",
        skip_bad=config.run.skip_bad,
        cache=cache,
    )
    loader, sampler = make_train_loader(
        prepared.dataset, prepared.subsets.train, config.data, options
    )
    # Processes that wait for the next validation cost memory: a few are enough.
    few = replace(options, workers=min(options.workers, 4))
    return (
        loader,
        sampler,
        make_eval_loader(prepared.dataset, prepared.subsets.validation, config.data, few),
    )
