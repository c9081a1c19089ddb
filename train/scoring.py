"""Clips through a network, and their scores averaged to one row a sample."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from train.batch import Batch
from train.data_config import DataConfig
from train.distributed import World, sum_over_ranks
from train.metrics import N_COLUMNS, Tally, measure_batch
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
    """Mean scores of samples: ``sample`` and ``label`` int64 (n,), ``scores`` float32 (n, K).

    ``skipped`` int64: numbers of the samples that could not be read and have no row.
    """

    sample: Tensor
    label: Tensor
    scores: Tensor
    skipped: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))


def score_samples(
    forward: Forward,
    model: nn.Module,
    batches: Iterable[Batch],
    average: str = "softmax",
    stopped: Callable[[], bool] = lambda: False,
) -> SampleScores:
    """Score every clip and average over the clips of each sample (docs/paper.md O28).

    The network is in evaluation mode for the time.  ``softmax`` averages probabilities, ``logits``
    what the network puts out.  All on the CPU, by rising sample number.  A sample with a clip of
    weight 0 is skipped.  ``stopped`` ends it early.
    """
    if average not in AVERAGES:
        raise ValueError(f"average must be one of {', '.join(AVERAGES)}; got {average!r}")
    was_training = model.training
    model.eval()
    samples, labels, scores, weights = [], [], [], []
    with torch.inference_mode():
        for batch in batches:
            logits = forward(model, batch)
            scores.append((logits.softmax(1) if average == "softmax" else logits).cpu())
            samples.append(batch.sample)
            labels.append(batch.label)
            weights.append(batch.weight)
            if stopped():
                break
    model.train(was_training)
    if not samples:
        empty = torch.empty(0, dtype=torch.int64)
        return SampleScores(empty, empty, torch.empty(0, 0))
    sample, clip_scores, label = torch.cat(samples), torch.cat(scores), torch.cat(labels)
    skipped = sample[torch.cat(weights) == 0].unique()
    kept = ~torch.isin(sample, skipped)
    scored = _average_clips(sample[kept], label[kept], clip_scores[kept])
    return replace(scored, skipped=skipped)


def _average_clips(samples: Tensor, labels: Tensor, clip_scores: Tensor) -> SampleScores:
    numbers, place, n_clips = samples.unique(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(numbers), clip_scores.shape[1]).index_add_(0, place, clip_scores)
    own = torch.zeros(len(numbers), dtype=torch.int64).index_copy_(0, place, labels)
    return SampleScores(numbers, own, sums / n_clips[:, None])


def tally_scores(scored: SampleScores, world: World) -> Tally:
    """Measure mean probabilities over the samples of all ranks, each counted once.

    The loss is the cross-entropy of the averaged probabilities.
    """
    sums = torch.zeros(1 + N_COLUMNS, dtype=torch.float64)
    sums[0] = len(scored.sample) + len(scored.skipped)
    if len(scored.sample):
        own = scored.scores.gather(1, scored.label[:, None])[:, 0]
        losses = -own.clamp_min(torch.finfo(torch.float32).tiny).log()
        weights = torch.ones(len(own))
        sums[1:] = measure_batch(scored.scores, scored.label, weights, losses)
    planned, *columns = sum_over_ranks(sums, world).tolist()
    tally = Tally()
    tally.add(columns, planned)
    return tally
