"""Which frames make a clip and which rank reads which sample: integers only, no files.

All randomness is drawn from (seed, epoch, sample), so neither the number of workers nor the number
of ranks changes what a sample yields.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

# First word of every random stream: numpy pads short seeds with zeros, so without it the order of
# an epoch and its sample 0 would share one stream.
_ORDER_STREAM, _ITEM_STREAM = 1, 2
_AT_ONCE = 1 << 14


class Span(NamedTuple):
    """Frames of a sample that become a clip: ``n_valid`` of them from ``start`` on."""

    start: int
    n_valid: int


class Key(NamedTuple):
    """What a training item is a function of; ``weight`` is 0 for padding and 1 otherwise."""

    epoch: int
    sample: int
    weight: float = 1.0


def draw_span(n_frames: int, length: int, window: str, rng: np.random.Generator) -> Span:
    """Draw a training window that lies inside the sample (docs/paper.md O1).

    ``centre`` draws the middle frame and pushes the window inside, so that the ends are likelier;
    ``uniform`` draws the start.  A sample shorter than ``length`` is taken whole.
    """
    last = max(n_frames - length, 0)
    if window == "uniform":
        start = int(rng.integers(last + 1))
    else:
        start = min(max(int(rng.integers(n_frames)) - length // 2, 0), last)
    return Span(start, min(length, n_frames))


def tile_spans(n_frames: int, length: int, partial: str) -> list[Span]:
    """Return the clips that tile a sample for evaluation, in order (docs/paper.md O3).

    The last one may be shorter; ``drop`` leaves it out unless it is the only one.
    """
    spans = [Span(start, min(length, n_frames - start)) for start in range(0, n_frames, length)]
    if partial == "drop" and len(spans) > 1 and spans[-1].n_valid < length:
        spans.pop()
    return spans


def loop_order(n_valid: int, length: int) -> NDArray[np.intp]:
    """Return which of ``n_valid`` frames stands at each of ``length`` places, looping (O2)."""
    return np.arange(length) % n_valid


def item_rng(seed: int, epoch: int, sample: int) -> np.random.Generator:
    """Return the random numbers of one training item."""
    return np.random.default_rng([_ITEM_STREAM, seed, epoch, sample])


def branch_rng(rng: np.random.Generator, number: int) -> np.random.Generator:
    """Return a stream beside a generator's own, whatever was drawn from that or branched off it.

    Raises ``ValueError`` for a generator that was not made from a seed.
    """
    seed = rng.bit_generator.seed_seq
    if not isinstance(seed, np.random.SeedSequence):
        raise ValueError(f"a stream is branched off a seeded generator, not off {seed!r}")
    return np.random.default_rng(
        np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, number))
    )


def _iterate_keys(
    epoch: int, samples: NDArray[np.int64], padding: NDArray[np.int64]
) -> Iterator[Key]:
    # A few at a time: an epoch of five million would be a gigabyte of Python objects.
    for begin in range(0, len(samples), _AT_ONCE):
        for sample in samples[begin : begin + _AT_ONCE].tolist():
            yield Key(epoch, sample)
    for sample in padding.tolist():
        yield Key(epoch, sample, weight=0.0)


class EpochSampler(Sampler[Key]):
    """The samples of one epoch in random order, shared out over ranks.

    The order depends on (seed, epoch); rank r of W takes every W-th sample from the r-th on, so
    over all ranks each sample comes exactly once with weight 1.  Ranks that would run out early
    get one more sample with weight 0: every rank makes ``n_steps`` steps of ``batch_size``, the
    last one possibly smaller, and sizes are equal on all ranks.

    Call :meth:`set_epoch` before each epoch; ``start_step`` leaves out steps done before a resume.
    Raises ``ValueError`` for no samples, or numbers that make no sense.
    """

    def __init__(
        self,
        samples: Sequence[int] | NDArray[np.integer],
        batch_size: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if len(samples) == 0:
            raise ValueError("an epoch needs at least one sample")
        if batch_size < 1 or seed < 0 or not 0 <= rank < world:
            raise ValueError(
                "need batch_size >= 1, seed >= 0 and 0 <= rank < world; got"
                f" batch_size {batch_size}, seed {seed}, rank {rank}, world {world}"
            )
        self.samples = np.asarray(samples, np.int64)
        self.batch_size, self.seed, self.rank, self.world = batch_size, seed, rank, world
        self.epoch = self.start_step = 0

    @property
    def n_items(self) -> int:
        """Items of a whole epoch on this rank, padding included."""
        return -(-len(self.samples) // self.world)

    @property
    def n_steps(self) -> int:
        """Steps of a whole epoch, the same on every rank."""
        return -(-self.n_items // self.batch_size)

    def set_epoch(self, epoch: int, start_step: int = 0) -> None:
        """Choose the epoch that the next iteration yields, from ``start_step`` on."""
        if epoch < 0 or not 0 <= start_step <= self.n_steps:
            raise ValueError(f"epoch {epoch} has no step {start_step}: there are {self.n_steps}")
        self.epoch, self.start_step = epoch, start_step

    def __len__(self) -> int:
        return max(self.n_items - self.start_step * self.batch_size, 0)

    def __iter__(self) -> Iterator[Key]:
        rng = np.random.default_rng([_ORDER_STREAM, self.seed, self.epoch])
        order = rng.permutation(self.samples)
        mine = order[self.rank :: self.world]
        # A real sample, not zeros: batch normalisation on this rank sees it too.
        padding = order[: self.n_items - len(mine)]
        begin = self.start_step * self.batch_size
        return _iterate_keys(self.epoch, mine[begin:], padding[: len(self)])
