"""Audits of a network trained on synthetic data: does it do what its accuracy claims?

Pictures and skeletons are independent given the latents.  So a sample's skeleton in another
sample's scene has exactly the distribution of a recording rendered anew with those latents, and
nothing has to be rendered.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train.attention_report import contrasts_to_json, format_contrasts, measure_contrasts
from train.evaluate import EvaluationOptions, evaluate_loaded, make_loader
from train.evaluation import Evaluation
from train.saved_run import SavedRun
from train.synthetic import (
    N_ERRORS,
    LatentTable,
    is_above,
    read_ceilings,
    read_latents,
    standard_error,
)

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Finding:
    """What one audit found; ``passed`` is None where it only tells, or does not apply."""

    name: str
    passed: bool | None
    text: str
    figures: dict[str, Any] = field(default_factory=dict)


class Subject:
    """A network under audit: its data, their latents, and its answers to the test samples.

    ``options`` say how to read and compute; which samples, the audits choose themselves.  Raises
    ``TrainError`` if the latents are not those of the shards.
    """

    def __init__(
        self, loaded: SavedRun, dataset: Path, files: tuple[Path, Path], options: EvaluationOptions
    ) -> None:
        self.loaded, self.dataset, self.options = loaded, dataset, options
        self.model = loaded.config.model
        reader = loaded.open_dataset(dataset)
        latents, ceilings = files
        self.latents, self.ceilings = read_latents(latents, reader), read_ceilings(ceilings)
        names = reader.samples["sample_id"].astype(str)
        self._number_of = {name: number for number, name in enumerate(names)}

    def evaluate(self, **changes: Any) -> Evaluation:
        """Score the test samples, or what ``changes`` to the options say."""
        return evaluate_loaded(self.loaded, self.dataset, replace(self.options, **changes))

    @cached_property
    def plain(self) -> Evaluation:
        """The test samples as they are."""
        return self.evaluate()

    @cached_property
    def samples(self) -> Numbers:
        """Numbers of the test samples in the reader, in the order of ``plain``."""
        return np.array([self._number_of[name] for name in self.plain.sample_ids])

    @property
    def accuracy(self) -> float:
        """Top-1 of the test samples."""
        return self.plain.top1

    @property
    def solves(self) -> bool:
        """Whether it is significantly better than any network that adds up two opinions."""
        additive = self.ceilings.additive_bound or self.ceilings.additive
        return is_above(self.accuracy, additive, self.plain.n_samples)

    def predict(self, skeletons: Numbers, scenes: Numbers) -> Numbers:
        """Return the class given to each of these test samples' skeletons in another scene."""
        pairing = dict(zip(skeletons.tolist(), scenes.tolist(), strict=True))
        scores = self.evaluate(pairing=pairing).scores
        return scores.argmax(1)[np.searchsorted(self.samples, skeletons)]

    def predict_plain(self, samples: Numbers) -> Numbers:
        """Return the class given to each of these test samples as it is."""
        return self.plain.scores.argmax(1)[np.searchsorted(self.samples, samples)]


def audit(subject: Subject, seed: int = 0) -> list[Finding]:
    """Run every audit of docs/training.md; ``seed`` draws the pairs."""
    rng = np.random.default_rng(seed)
    return [
        audit_ceiling(subject),
        audit_other_part(subject, rng),
        audit_swapped_motions(subject, rng),
        audit_shuffled(subject, rng),
        audit_attention(subject),
        audit_memory(subject),
    ]


def audit_ceiling(subject: Subject) -> Finding:
    """No score may be significantly above what the inputs make possible: that is a leak."""
    n, score = subject.plain.n_samples, subject.accuracy
    bound, expected = (
        subject.ceilings.bound(subject.model),
        subject.ceilings.expected(subject.model),
    )
    error = standard_error(bound, n)
    leaks = is_above(score, bound, n)
    told = "ABOVE what is possible: a leak" if leaks else "no leak"
    if not leaks and score < expected - N_ERRORS * standard_error(expected, n) - 1e-9:
        told += f", and below the {expected:.3f} that training should lead to"
    return Finding(
        "ceiling",
        not leaks,
        f"{subject.model.system}: top-1 {score:.3f} of {n} samples, at most {bound:.3f}"
        f" (± {error:.3f}) is possible: {told}",
        {"top1": score, "n": n, "bound": bound, "expected": expected, "standard_error": error},
    )


def audit_other_part(subject: Subject, rng: np.random.Generator) -> Finding:
    """Keep the skeleton, show a scene of the same family in which another part counts."""
    latents, samples = subject.latents, subject.samples
    scenes = pair_other_part(latents, samples, rng)
    return _audit_flips(subject, ("scene with another p", samples, scenes, samples))


def audit_swapped_motions(subject: Subject, rng: np.random.Generator) -> Finding:
    """Keep the scene, show a skeleton of the same posture whose parts have swapped motions."""
    latents, samples = subject.latents, subject.samples
    scenes = pair_swapped_motions(latents, samples, rng)
    return _audit_flips(subject, ("swapped motions", samples, scenes, scenes))


def _audit_flips(subject: Subject, change: tuple[str, Numbers, Numbers, Numbers]) -> Finding:
    """Compare answers to changed samples with right ones, and with those to the originals.

    ``change``: its name, then skeleton, scene (-1 for none) and original by test sample.
    """
    name, *columns = change
    skeletons, scenes, originals = (column[columns[1] >= 0] for column in columns)
    title = f"counterfactual, {name}"
    if not len(scenes):
        return Finding(title, None, "not done: the test samples hold no such pair")
    right = subject.latents.labels(skeletons, scenes)
    must = right != subject.latents.labels(originals, originals)
    given = subject.predict(skeletons, scenes)
    flips = given != subject.predict_plain(originals)
    score, n = float((given == right).mean()), len(scenes)
    errors = standard_error(score, n), standard_error(subject.accuracy, subject.plain.n_samples)
    due, elsewhere = _share(flips[must]), _share(flips[~must])
    return Finding(
        title,
        # Changed samples are distributed as the originals: an honest network is as good on them.
        score >= subject.accuracy - N_ERRORS * math.hypot(*errors) - 1e-9,
        f"right in {score:.3f} of {n} changed samples ({subject.accuracy:.3f} of the originals);"
        f" flips {_percent(due)} where a_1 ≠ a_2, {_percent(elsewhere)} elsewhere",
        {"n": n, "top1": score, "flips_where_due": due, "flips_elsewhere": elsewhere},
    )


def audit_shuffled(subject: Subject, rng: np.random.Generator) -> Finding:
    """Same scene family, random part: what is left of the accuracy, against what should be."""
    if not subject.model.has_context:
        return Finding("shuffled context", None, f"{subject.model.system} sees no pictures")
    latents, samples = subject.latents, subject.samples
    scenes = pair_random_part(latents, samples, rng)
    labels = latents.labels(samples, samples)
    score = float((subject.predict(samples, scenes) == labels).mean())
    # What a network without mistakes keeps on these very pairs.
    kept = float((latents.labels(samples, scenes) == labels).mean())
    slack = 1 - subject.accuracy + N_ERRORS * standard_error(kept, len(samples))
    passed = abs(score - kept) <= slack if subject.solves else None
    note = "" if subject.solves else "; no verdict, it has not learnt to use both"
    return Finding(
        "shuffled context",
        passed,
        f"top-1 falls from {subject.accuracy:.3f} to {score:.3f}; without mistakes it would be"
        f" {kept:.3f} on these pairs, {subject.ceilings.shuffled:.3f} on average{note}",
        {"top1": score, "expected_here": kept, "expected": subject.ceilings.shuffled},
    )


def audit_attention(subject: Subject) -> Finding:
    """Tell how much more f_cross lets through of arms than of legs, by the part that counts."""
    if not (subject.model.has_attention and subject.model.has_context):
        return Finding("attention", None, f"{subject.model.system} has no cross-attention")
    loader = make_loader(subject.loaded, subject.dataset, subject.samples, subject.options)
    contrasts = measure_contrasts(subject.loaded, loader, subject.latents.p)
    if not contrasts:
        layout = subject.loaded.data.layout.name
        return Finding("attention", None, f"layout {layout} names no arms and legs")
    return Finding("attention", None, format_contrasts(contrasts), contrasts_to_json(contrasts))


def audit_memory(subject: Subject) -> Finding:
    """A finite training set can be memorised: train and test accuracy side by side."""
    train, n = subject.evaluate(subset="train").top1, subject.plain.n_samples
    return Finding(
        "memory",
        None,
        f"top-1 {train:.3f} of the training samples, {subject.accuracy:.3f} of the test samples"
        f" (± {standard_error(subject.accuracy, n):.3f})",
        {"train": train, "test": subject.accuracy},
    )


def pair_other_part(latents: LatentTable, samples: Numbers, rng: np.random.Generator) -> Numbers:
    """Return for each sample a random one of equal s and other p, -1 where there is none."""
    s, p = latents.s, latents.p
    parts = range(latents.a.shape[1])
    scenes = _group(samples, lambda j: (s[j], p[j]))
    return np.array([
        _draw([j for other in parts if other != p[i] for j in scenes[s[i], other]], rng)
        for i in samples
    ])  # fmt: skip


def pair_random_part(latents: LatentTable, samples: Numbers, rng: np.random.Generator) -> Numbers:
    """Return for each sample a random one of equal s, its p uniform over those that occur."""
    s, p = latents.s, latents.p
    scenes = _group(samples, lambda j: (s[j], p[j]))
    known = {key: [k for k in scenes if k[0] == key] for key in set(s[samples].tolist())}
    return np.array([
        _draw(scenes[known[s[i]][rng.integers(len(known[s[i]]))]], rng) for i in samples
    ])  # fmt: skip


def pair_swapped_motions(
    latents: LatentTable, samples: Numbers, rng: np.random.Generator
) -> Numbers:
    """Return for each sample a random one of equal q whose motions are its own in reverse order.

    With two parts that swaps the motions of arms and legs; -1 where there is none.
    """
    q, a = latents.q, latents.a
    originals = _group(samples, lambda j: (q[j], tuple(a[j].tolist())))
    return np.array([
        _draw(originals[q[i], tuple(a[i].tolist()[::-1])], rng) for i in samples
    ])  # fmt: skip


def _group(samples: Numbers, key: Callable[[int], Hashable]) -> defaultdict[Any, list[int]]:
    groups: defaultdict[Any, list[int]] = defaultdict(list)
    for sample in samples.tolist():
        groups[key(sample)].append(sample)
    return groups


def _draw(candidates: list[int], rng: np.random.Generator) -> int:
    return candidates[rng.integers(len(candidates))] if candidates else -1


def _share(values: NDArray[np.bool_]) -> float | None:
    return float(values.mean()) if len(values) else None


def _percent(share: float | None) -> str:
    return "(none such)" if share is None else f"{share:.1%}"
