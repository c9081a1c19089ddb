"""What a perfect classifier can reach on a preset, from its equally likely outcomes."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from fractions import Fraction
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from toolkit.synthesis.latents import Latents, Preset

_STEPS = 2000
_DECAY = 1e-3
_TIE = 1e-6


def compute_ceilings(preset: Preset) -> dict[str, float | None]:
    """Return the best accuracies possible on ``preset`` (docs/synthetic-data.md).

    ``rgb`` and ``skeleton`` see one source, ``both`` sees both.  ``additive`` is the accuracy, with
    ties shared, of the cross-entropy optimum among classifiers whose logits are f(skeleton) +
    g(picture); ``additive_bound`` is the best accuracy of any of those, ``None`` where there are
    more than two parts and nothing exact is known.
    """
    bound = additive_bound(preset)
    return {
        "chance": 1 / preset.n_classes,
        "rgb": float(bayes_accuracy(preset, _see_scene)),
        "skeleton": float(bayes_accuracy(preset, _see_skeleton)),
        "additive": additive_accuracy(preset),
        "additive_bound": None if bound is None else float(bound),
        "both": float(bayes_accuracy(preset, lambda latents: latents)),
    }


def _see_scene(latents: Latents) -> Hashable:
    return latents.s, latents.p


def _see_skeleton(latents: Latents) -> Hashable:
    return latents.q, latents.a


def bayes_accuracy(preset: Preset, see: Callable[[Latents], Hashable]) -> Fraction:
    """Return the exact accuracy of the best guess from what ``see`` shows of the latents."""
    labels: dict[Hashable, Counter[int]] = defaultdict(Counter)
    for latents in preset.iterate_outcomes():
        labels[see(latents)][preset.label(latents)] += 1
    n_outcomes = sum(counts.total() for counts in labels.values())
    return Fraction(sum(max(counts.values()) for counts in labels.values()), n_outcomes)


def additive_bound(preset: Preset) -> Fraction | None:
    """Return the exact best accuracy of any f(skeleton) + g(picture), for two parts.

    f can settle the posture and g the scene family, so only the motions are left.  With u_y =
    g_y(first part) - g_y(second part), both parts of a recording with motions (i, j) come out
    right if and only if u_i > u_j; else one of the two can.  What counts of g is thus an order of
    the motions, and every order is tried.
    """
    if preset.P != 2:
        return None
    pairs = preset.list_motions()
    best = max(
        sum(2 if i == j or u[i] > u[j] else 1 for i, j in pairs)
        for u in permutations(range(preset.A))
    )
    return Fraction(best, 2 * len(pairs))


def additive_accuracy(preset: Preset) -> float:
    """Return the accuracy of the additive classifier of least cross-entropy.

    The problem is convex in the two tables f and g and is solved by gradient descent from zero
    under a slight pull to zero: what the data cannot tell apart stays tied, and a tie counts as
    its share.
    """
    outcomes = list(preset.iterate_outcomes())
    label = np.array([preset.label(latents) for latents in outcomes])
    x = _number([_see_skeleton(latents) for latents in outcomes])
    z = _number([_see_scene(latents) for latents in outcomes])
    logits = _fit_additive(x, z, np.eye(preset.n_classes)[label])
    tied = logits >= logits.max(1, keepdims=True) - _TIE
    return float((tied / tied.sum(1, keepdims=True))[np.arange(len(label)), label].mean())


def _number(values: list[Hashable]) -> NDArray[np.intp]:
    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return np.array([places[value] for value in values])


def _fit_additive(
    x: NDArray[np.intp], z: NDArray[np.intp], wanted: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the fitted logits (outcomes, classes) of rows that see f[x] + g[z]."""
    see = np.hstack([np.eye(x.max() + 1)[x], np.eye(z.max() + 1)[z]])
    # The curvature of cross-entropy is at most 1/2 per unit of squared input.
    rate = 1 / (0.5 * np.linalg.norm(see, 2) ** 2 / len(see) + _DECAY)
    table = np.zeros((see.shape[1], wanted.shape[1]))
    for _ in range(_STEPS):
        logits = see @ table
        odds = np.exp(logits - logits.max(1, keepdims=True))
        error = odds / odds.sum(1, keepdims=True) - wanted
        table -= rate * (see.T @ error / len(see) + _DECAY * table)
    return np.asarray(see @ table)
