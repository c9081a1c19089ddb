"""Which samples a run trains on, picks its best epoch by, and is tested on."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.shards import DatasetReader, ShardError
from train.data_config import DataConfig


@dataclass(frozen=True)
class Subsets:
    """Numbers of samples in a ``DatasetReader``, rising, each int64 (n,)."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def select_subsets(reader: DatasetReader, config: DataConfig, seed: int) -> Subsets:
    """Choose the samples to train on, to pick the best epoch by, and to report on.

    The test subset is ``test``, or ``val`` where the split has no other (Kinetics).  Validation is
    ``val`` where there is a ``test`` too; otherwise it is held out of ``train`` by a hash of id and
    seed, in proportion to the classes and never a class's last sample.  Test samples never
    validate.  Raises ``ValueError`` naming the splits there are, ``ShardError`` with no samples to
    train on.
    """
    split = config.split or reader.info.default_split
    train, val, test = (reader.subset(split, name) for name in ("train", "val", "test"))
    if len(train) == 0:
        raise ShardError(
            reader.folder, f"split {split}", expected="usable training samples", found="none"
        )
    if len(test) == 0:
        val, test = val[:0], val
    if len(val) == 0:
        held = _hold_out(reader, train, config.validation_share, seed)
        train, val = train[~held], train[held]
    return Subsets(*(part.astype(np.int64) for part in (train, val, test)))


def _hold_out(
    reader: DatasetReader, train: NDArray[np.intp], share: float, seed: int
) -> NDArray[np.bool_]:
    """Mark the training samples to validate on."""
    names = reader.samples["sample_id"].to_numpy(str)[train]
    keys = [_hash(f"{seed}/{name}") for name in names]
    place = np.ones(len(train))
    for label in np.unique(reader.labels[train]):
        members = np.flatnonzero(reader.labels[train] == label)
        order = members[np.argsort([keys[i] for i in members])]
        # Evenly spaced places, begun at random: the first n over all classes are in proportion.
        place[order] = (np.arange(len(order)) + _hash(f"{seed}/class {label}")) / len(order)
        place[order[-1]] = np.inf
    wanted = round(share * len(train)) if share == 0 else max(round(share * len(train)), 1)
    held = np.zeros(len(train), bool)
    held[np.argsort(place, kind="stable")[:wanted]] = True
    return held & np.isfinite(place)


def _hash(text: str) -> float:
    """Return a number in [0, 1) that any machine gets from this text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48
