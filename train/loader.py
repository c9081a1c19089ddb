"""Clips to batches: the two loaders that training and evaluation iterate over."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, SequentialSampler

from toolkit.shards import ShardError
from train.batch import Batch, Clip, collate
from train.data import DataConfig, EvalClips, Numbers, TrainClips
from train.sampling import EpochSampler


@dataclass(frozen=True)
class LoaderOptions:
    """What a loader needs besides the data; ``batch_size`` is that of one rank.

    ``workers`` = 0 reads in the calling process; batches are the same for any number.
    ``pictures=False`` leaves pictures undecoded for systems that do not see them.  ``pin_memory``
    readies batches for a GPU.
    """

    batch_size: int = 128
    workers: int = 0
    seed: int = 0
    rank: int = 0
    world: int = 1
    pictures: bool = True
    pin_memory: bool = False

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(f"workers must not be negative, got {self.workers}")


class ClipLoader(DataLoader[Clip | ShardError]):
    """A ``DataLoader`` of :class:`Batch` whose workers' errors arrive as they were raised.

    torch would wrap them in a traceback as text, of which no sentence for a user can be made.
    """

    def __init__(
        self, dataset: Dataset[Clip], sampler: Sampler[Any], options: LoaderOptions
    ) -> None:
        super().__init__(
            _Guarded(dataset),
            options.batch_size,
            sampler=sampler,
            num_workers=options.workers,
            collate_fn=_collate_guarded,
            pin_memory=options.pin_memory,
            worker_init_fn=_init_worker,
            persistent_workers=options.workers > 0,
            # Its own generator: the seed for workers, which they do not use, would otherwise be
            # drawn from the global one and a resumed run would differ from an unbroken one.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Yield batches; raises ``ShardError`` naming shard and sample that cannot be read."""
        for batch in super().__iter__():
            if isinstance(batch, ShardError):
                raise batch
            yield batch


def make_train_loader(
    folder: str | os.PathLike[str],
    samples: Numbers,
    config: DataConfig,
    options: LoaderOptions,
) -> tuple[ClipLoader, EpochSampler]:
    """Return a loader of random windows, and its sampler.

    Call ``sampler.set_epoch(epoch, start_step)`` before iterating; an epoch has
    ``sampler.n_steps`` steps on every rank, and ``len(loader)`` those from ``start_step`` on.
    """
    clips = TrainClips(folder, samples, config, options.seed, pictures=options.pictures)
    sampler = EpochSampler(
        clips.samples, options.batch_size, options.seed, options.rank, options.world
    )
    return ClipLoader(clips, sampler, options), sampler


def make_eval_loader(
    folder: str | os.PathLike[str],
    samples: Numbers,
    config: DataConfig,
    options: LoaderOptions,
) -> ClipLoader:
    """Return a loader of every clip of the samples, in order, nothing random.

    Rank r of W gets every W-th sample from the r-th on with all its clips: scores are averaged
    over clips without any exchange, ranks may have different numbers of steps, even none.
    """
    mine = samples[options.rank :: options.world]
    clips = EvalClips(folder, mine, config, pictures=options.pictures)
    return ClipLoader(clips, SequentialSampler(clips), options)


class _Guarded(Dataset[Clip | ShardError]):
    """Hands a broken sample's error on as an item."""

    def __init__(self, clips: Dataset[Clip]) -> None:
        self.clips = clips

    def __getitem__(self, key: Any) -> Clip | ShardError:
        try:
            return self.clips[key]
        except ShardError as error:
            return error


def _collate_guarded(items: Sequence[Clip | ShardError]) -> Batch | ShardError:
    clips = []
    for item in items:
        if isinstance(item, ShardError):
            return item
        clips.append(item)
    return collate(clips)


def _init_worker(worker: int) -> None:
    """Leave one core to each worker; torch limits its own threads itself."""
    cv2.setNumThreads(0)
