"""The state of a training on disk: tensors and plain values, whole or absent."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toolkit.shards import DatasetInfo, SkeletonLayout
from train.config import FREE_ON_RESUME, TrainConfig, list_differences
from train.errors import CheckpointError
from train.files import RunFolder, write_atomically

FORMAT_NAME = "ctxtool-checkpoint"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class DataFacts:
    """What a network must know of the data it was trained on."""

    name: str
    fingerprint: str
    layout: SkeletonLayout
    class_names: tuple[str, ...]

    @classmethod
    def of(cls, info: DatasetInfo) -> "DataFacts":
        """Take the facts from a data set's description."""
        return cls(info.name, info.fingerprint, info.layout, info.class_names)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "layout": self.layout.to_dict(),
            "class_names": list(self.class_names),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "DataFacts":
        """Undo :meth:`to_dict`."""
        layout = SkeletonLayout.from_dict(values["layout"])
        return cls(values["name"], values["fingerprint"], layout, tuple(values["class_names"]))


@dataclass(frozen=True)
class Checkpoint:
    """Everything that training needs to go on as if it had never stopped.

    ``progress`` holds the position (epochs done, steps done in this one) and the metrics so far;
    ``rng`` uint8 (ranks, n) is each rank's torch generator, ``device_rng`` that of its GPU or
    (ranks, 0) without one.  ``ema`` is None without a moving average.
    """

    config: dict[str, Any]
    data: dict[str, Any]
    progress: dict[str, Any]
    model: dict[str, Tensor]
    optimiser: dict[str, Any]
    rng: Tensor
    device_rng: Tensor
    ema: dict[str, Tensor] | None = None

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights to use: the moving average where there is one."""
        return self.model if self.ema is None else self.ema


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically."""
    state = {"format": FORMAT_NAME, "version": FORMAT_VERSION, **vars(checkpoint)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda aside: torch.save(state, aside))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint into CPU memory; runs no code from the file.

    Raises ``CheckpointError`` naming the file when it is damaged, foreign or of another version.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    # Foreign bytes make torch raise a dozen kinds, among them of modules it keeps to itself.
    except Exception as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(
            f"{path} is not a readable checkpoint ({first}); remove it to go on from the one before"
        ) from error
    found = (state.get("format"), state.get("version")) if isinstance(state, dict) else (None, None)
    if found != (FORMAT_NAME, FORMAT_VERSION):
        raise CheckpointError(
            f"{path}: expected {FORMAT_NAME} version {FORMAT_VERSION}, found {found[0]} {found[1]}"
        )
    try:
        return Checkpoint(**{field.name: state[field.name] for field in fields(Checkpoint)})
    except KeyError as error:
        raise CheckpointError(f"{path} lacks the entry {error} of a checkpoint") from error


def prune_checkpoints(folder: RunFolder, keep: int) -> None:
    """Remove all but the last ``keep`` checkpoints; the best stays."""
    for path in sorted(folder.checkpoints.glob("step-*.pt"))[:-keep]:
        path.unlink()


def check_same_run(
    checkpoint: Checkpoint, config: TrainConfig, data: DataFacts, ranks: int
) -> None:
    """Raise ``CheckpointError`` naming what differs between a checkpoint and the run to go on."""
    then = TrainConfig.from_dict(checkpoint.config)
    changed = [
        text
        for text in list_differences(then, config)
        if not text.startswith(tuple(f"{name}:" for name in FREE_ON_RESUME))
    ]
    if changed:
        raise CheckpointError(
            "the run was begun with other settings (then, now): " + "; ".join(changed) + "; resume"
            " with those of its config.json, or begin a new run with another --out"
        )
    if len(checkpoint.rng) != ranks:
        raise CheckpointError(
            f"the run was begun on {len(checkpoint.rng)} ranks and cannot go on exactly on {ranks};"
            " start as many, or begin a new run with another --out"
        )
    check_same_data(checkpoint, data)
    if checkpoint.data["fingerprint"] != data.fingerprint:
        raise CheckpointError(
            f"the run was begun on data set {checkpoint.data['name']} with fingerprint"
            f" {checkpoint.data['fingerprint']}, not {data.fingerprint}: the shards were built from"
            " other inputs or with other options since"
        )


def check_same_data(checkpoint: Checkpoint, data: DataFacts) -> None:
    """Raise ``CheckpointError`` if a network cannot be used on a data set: joints or classes."""
    then = DataFacts.from_dict(checkpoint.data)
    if then.layout != data.layout:
        raise CheckpointError(
            f"the network was trained on the skeleton layout {then.layout.name} of"
            f" {then.layout.n_joints} joints, the shards hold {data.layout.name} of"
            f" {data.layout.n_joints}; use shards of the same layout"
        )
    if then.class_names != data.class_names:
        raise CheckpointError(
            f"the network was trained for {len(then.class_names)} classes of {then.name}, the"
            f" shards of {data.name} name {len(data.class_names)}, or in another order"
        )
