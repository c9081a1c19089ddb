"""Clips to batches: the two loaders that training and evaluation iterate over."""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, SequentialSampler

from toolkit.shards import ShardError
from train.batch import Batch, Clip, collate
from train.data import ClipSet, EvalClips, Numbers, TrainClips
from train.data_config import DataConfig
from train.errors import TrainError
from train.picture_cache import PictureCache
from train.sampling import EpochSampler

log = logging.getLogger(__name__)

_LOST_WORKER = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is )?(.*)", re.DOTALL)


@dataclass(frozen=True)
class LoaderOptions:
    """What a loader needs besides the data; ``batch_size`` is that of one rank.

    ``workers`` = 0 reads in the calling process; batches are the same for any number.
    ``pictures=False`` leaves pictures undecoded for systems that do not see them.  ``pin_memory``
    readies batches for a GPU.  ``skip_bad`` puts another clip with weight 0 in the place of one
    that cannot be read.  ``cache`` spares the decoding of the samples it holds.
    """

    batch_size: int = 128
    workers: int = 0
    seed: int = 0
    rank: int = 0
    world: int = 1
    pictures: bool = True
    pin_memory: bool = False
    skip_bad: bool = False
    cache: PictureCache | None = None

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ValueError(f"workers must not be negative, got {self.workers}")


class _StoodIn(NamedTuple):
    """A clip that stands in for one that cannot be read, and why it cannot."""

    clip: Clip
    reason: str


class _Loaded(NamedTuple):
    """A batch, and for each sample left out its number and why."""

    batch: Batch
    left_out: dict[int, str]


_Item = Clip | _StoodIn | ShardError


class ClipLoader(DataLoader[_Item]):
    """A ``DataLoader`` of :class:`Batch` whose workers' errors arrive as they were raised.

    torch would wrap them in a traceback as text, of which no sentence for a user can be made.
    A sample left out is told once.
    """

    def __init__(self, dataset: ClipSet, sampler: Sampler[Any], options: LoaderOptions) -> None:
        self._told: set[int] = set()
        super().__init__(
            _Guarded(dataset, skip_bad=options.skip_bad),
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
        """Yield batches; raises ``ShardError`` naming shard and sample that cannot be read.

        Raises ``TrainError`` when a reading process is gone.
        """
        with explain_lost_workers():
            for loaded in super().__iter__():
                if isinstance(loaded, ShardError):
                    raise loaded
                self._tell(loaded.left_out)
                yield loaded.batch

    def _tell(self, left_out: dict[int, str]) -> None:
        for sample, reason in left_out.items():
            if sample not in self._told:
                log.warning("%s; the sample is left out", reason)
        self._told |= left_out.keys()


@contextmanager
def explain_lost_workers() -> Iterator[None]:
    """Turn what torch raises when a reading process is gone into a ``TrainError``.

    It may be raised anywhere in the main thread, as torch learns of it by a signal.
    """
    try:
        yield
    except RuntimeError as error:
        told = _LOST_WORKER.match(str(error))
        if told is None:
            raise
        raise TrainError(
            f"a process that reads clips (pid {told[1]}) is gone: {told[2].strip().rstrip('.')};"
            " most often memory or shared memory (/dev/shm) has run out: use fewer by"
            " --set run.workers=1, or none by 0, or a smaller --batch-size"
        ) from error


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
    clips.source.cache = options.cache
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
    clips.source.cache = options.cache
    return ClipLoader(clips, SequentialSampler(clips), options)


class _Guarded(Dataset[_Item]):
    """Hands a broken sample's error on as an item, or stands another in for it."""

    def __init__(self, clips: ClipSet, *, skip_bad: bool) -> None:
        self.clips = clips
        self.skip_bad = skip_bad

    def __getitem__(self, key: Any) -> _Item:
        try:
            return self.clips[key]
        except ShardError as error:
            return (self._stand_in(key, error) if self.skip_bad else None) or error

    def _stand_in(self, key: Any, error: ShardError) -> _StoodIn | None:
        """Return a real clip, not zeros, as batch normalisation sees it; None if all tries fail."""
        for other in self.clips.list_others(key):
            with suppress(ShardError):
                clip = replace(self.clips[other], sample=self.clips.sample_of(key), weight=0.0)
                return _StoodIn(clip, str(error))
        return None


def _collate_guarded(items: Sequence[_Item]) -> _Loaded | ShardError:
    clips, left_out = [], {}
    for item in items:
        if isinstance(item, ShardError):
            return item
        if isinstance(item, _StoodIn):
            left_out[item.clip.sample] = item.reason
        clips.append(item.clip if isinstance(item, _StoodIn) else item)
    return _Loaded(collate(clips), left_out)


def _init_worker(worker: int) -> None:
    """Leave one core to each worker; torch limits its own threads itself."""
    cv2.setNumThreads(0)
