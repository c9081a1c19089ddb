"""Clips through a network, and their scores averaged to one row a sample."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from train.batch import Batch
from train.data import DataConfig
from train.distributed import World, sum_over_ranks
from train.metrics import Tally, measure_batch
from train.transforms import normalise_rgb

AVERAGES = ("softmax", "logits")


@dataclass(frozen=True)
class Forward:
    """Takes a batch to its device, normalises it there, and runs a network on it."""

    device: torch.device
    data: DataConfig
    amp: bool = False

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return logits (N, K) in float32; the batch may lie anywhere."""
        batch = batch.to(self.device)
        rgb = batch.rgb
        if rgb is not None:
            dtype = torch.bfloat16 if self.amp else torch.float32
            rgb = normalise_rgb(rgb, self.data.rgb_mean, self.data.rgb_scale, dtype)
        with self.autocast():
            logits = model(batch.joints, rgb, batch.context, batch.present)
        return logits.float()

    def autocast(self) -> AbstractContextManager[None]:
        """Compute in bfloat16 where torch holds it safe, if asked."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp)


@dataclass(frozen=True)
class SampleScores:
    """Mean scores of samples: ``sample`` and ``label`` int64 (n,), ``scores`` float32 (n, K)."""

    sample: Tensor
    label: Tensor
    scores: Tensor


def score_samples(
    forward: Forward,
    model: nn.Module,
    batches: Iterable[Batch],
    average: str = "softmax",
    stopped: Callable[[], bool] = lambda: False,
) -> SampleScores:
    """Score every clip and average over the clips of each sample (docs/paper.md O28).

    The network is in evaluation mode for the time.  ``softmax`` averages probabilities, ``logits``
    what the network puts out.  All on the CPU, by rising sample number.  ``stopped`` ends it early.
    """
    if average not in AVERAGES:
        raise ValueError(f"average must be one of {', '.join(AVERAGES)}; got {average!r}")
    was_training = model.training
    model.eval()
    samples, labels, scores = [], [], []
    with torch.inference_mode():
        for batch in batches:
            logits = forward(model, batch)
            scores.append((logits.softmax(1) if average == "softmax" else logits).cpu())
            samples.append(batch.sample)
            labels.append(batch.label)
            if stopped():
                break
    model.train(was_training)
    return _average_clips(samples, labels, scores)


def _average_clips(
    samples: list[Tensor], labels: list[Tensor], scores: list[Tensor]
) -> SampleScores:
    if not samples:
        empty = torch.empty(0, dtype=torch.int64)
        return SampleScores(empty, empty, torch.empty(0, 0))
    numbers, place, n_clips = torch.cat(samples).unique(return_inverse=True, return_counts=True)
    clip_scores = torch.cat(scores)
    sums = torch.zeros(len(numbers), clip_scores.shape[1]).index_add_(0, place, clip_scores)
    own = torch.zeros(len(numbers), dtype=torch.int64).index_copy_(0, place, torch.cat(labels))
    return SampleScores(numbers, own, sums / n_clips[:, None])


def tally_scores(scored: SampleScores, world: World) -> Tally:
    """Measure mean probabilities over the samples of all ranks, each counted once.

    The loss is the cross-entropy of the averaged probabilities.
    """
    sums = torch.zeros(4, dtype=torch.float64)
    if len(scored.sample):
        own = scored.scores.gather(1, scored.label[:, None])[:, 0]
        losses = -own.clamp_min(torch.finfo(torch.float32).tiny).log()
        weights = torch.ones(len(own))
        sums[0] = len(own)
        sums[1:] = measure_batch(scored.scores, scored.label, weights, losses)
    weight, *columns = sum_over_ranks(sums, world).tolist()
    tally = Tally()
    tally.add(weight, columns)
    return tally
