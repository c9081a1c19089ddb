"""The few samples whose frames a report carries: which, and which clips of them."""

import numpy as np
from numpy.typing import NDArray

from toolkit.clips import CLIP_LENGTH, tile
from toolkit.page import pack_clips
from toolkit.render import pick_evenly
from toolkit.shards.dataset import DatasetReader


def choose_samples(reader: DatasetReader, n_wanted: int) -> list[int]:
    """Return the numbers of up to ``n_wanted`` samples, the worst drift first.

    Half are those of the worst drift, if any drifts at all; the rest is spread evenly over the
    classes.
    """
    drift = reader.samples["max_drift_ms"].to_numpy(np.float64, na_value=0.0)
    worst_first = np.argsort(-drift, kind="stable")
    worst = [int(i) for i in worst_first[: n_wanted // 2] if drift[i] > 0]
    by_class = np.argsort(reader.labels, kind="stable")
    others = by_class[~np.isin(by_class, worst)]
    spread = [int(others[i]) for i in pick_evenly(len(others), n_wanted - len(worst))]
    return sorted([*worst, *spread], key=lambda i: (-drift[i], i))


def choose_clips(drift_s: NDArray[np.float32], n_wanted: int) -> list[int]:
    """Return up to ``n_wanted`` clips of a sample in order: the one of worst drift, others spread.

    >>> choose_clips(np.float32([0] * 50 + [1] + [0] * 49), 3)
    [0, 3, 6]
    """
    starts, _ = tile(len(drift_s))
    worst = int(np.abs(drift_s).argmax()) // CLIP_LENGTH
    others = [clip for clip in range(len(starts)) if clip != worst]
    chosen = [others[i] for i in pick_evenly(len(others), n_wanted - 1)]
    return sorted([worst, *chosen])


def pack_sample(reader: DatasetReader, number: int, n_clips: int) -> str:
    """Return a sample's chosen clips as one text."""
    window = reader.sample(number)
    return pack_clips(reader, window, number, choose_clips(window.drift_s, n_clips))
