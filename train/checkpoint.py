"""The state of a training on disk: tensors and plain values, whole or absent."""

import errno
import logging
import os
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toolkit.shards import DatasetInfo, SkeletonLayout
from toolkit.shards.files import MACHINE_TROUBLE
from train.config import FREE_ON_RESUME, TrainConfig, list_differences
from train.errors import CheckpointError
from train.files import RunFolder, write_atomically

log = logging.getLogger(__name__)

FORMAT_NAME = "ctxtool-checkpoint"
FORMAT_VERSION = 1
# A damaged checkpoint is kept under another name, which no later start takes for one.
DAMAGED = ".damaged"


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
    """Write a checkpoint atomically; ``CheckpointError`` naming the file if it cannot be."""
    state = {"format": FORMAT_NAME, "version": FORMAT_VERSION, **vars(checkpoint)}
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_atomically(path, lambda aside: _save(state, aside))
    # torch hides what the disk said behind an error of its own zip writer.
    except (OSError, RuntimeError) as error:
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        raise CheckpointError(
            f"checkpoint {path} cannot be written: {cause.strerror or cause};"
            f" {_advise_space(cause)}earlier checkpoints are whole, and --resume goes on from the"
            " last one"
        ) from error


def _save(state: dict[str, Any], path: Path) -> None:
    with path.open("wb") as file:
        torch.save(state, file)


def _advise_space(error: OSError) -> str:
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return "make room on the disk; " if error.errno in full else ""


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint into CPU memory; runs no code from the file.

    Raises ``CheckpointError`` naming the file when it is damaged, foreign or of another version.
    """
    _check_sums(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    # Foreign bytes make torch raise a dozen kinds, among them of modules it keeps to itself.
    except Exception as error:
        if type(error).__name__ == "UnpicklingError":
            raise CheckpointError(
                f"{path} holds more than tensors and plain values, such as code that would run when"
                " it is read: it is refused; only checkpoints written by train.run are read"
            ) from error
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path} is not a readable checkpoint ({first})") from error
    found = (state.get("format"), state.get("version")) if isinstance(state, dict) else (None, None)
    if found != (FORMAT_NAME, FORMAT_VERSION):
        raise CheckpointError(
            f"{path}: expected {FORMAT_NAME} version {FORMAT_VERSION}, found {found[0]} {found[1]}"
        )
    try:
        return Checkpoint(**{field.name: state[field.name] for field in fields(Checkpoint)})
    except KeyError as error:
        raise CheckpointError(f"{path} lacks the entry {error} of a checkpoint") from error


def _check_sums(path: Path) -> None:
    """Compare every entry with its checksum: torch writes them and never looks at them again."""
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except OSError as error:
        raise CheckpointError(
            f"{path} is not a readable checkpoint ({error.strerror or error})"
        ) from error
    # What the standard library raises depends on which bytes are wrong.
    except Exception as error:
        raise CheckpointError(f"{path} is not a readable checkpoint ({error})") from error
    if damaged is not None:
        raise CheckpointError(
            f"{path} is not a readable checkpoint (the checksum of its part {damaged} is wrong)"
        )


def read_latest(folder: RunFolder) -> tuple[Path, Checkpoint] | None:
    """Read the newest checkpoint that can be read, the best as a last resort; None without any.

    One passed over is told in a warning.  Raises ``CheckpointError`` if there are some and none
    can be read, or where it is the machine that keeps one from being read.
    """
    best = [folder.best] if folder.best.exists() else []
    paths = [*reversed(folder.list_checkpoints()), *best]
    passed_over: list[str] = []
    for path in paths:
        try:
            checkpoint = read_checkpoint(path)
        except CheckpointError as error:
            if _is_passing(error.__cause__):
                raise CheckpointError(
                    f"{error}: that may pass and is no damage, so no older one takes its place;"
                    " --resume again when it can be read"
                ) from error
            passed_over.append(str(error))
            continue
        for sentence in passed_over:
            log.warning("%s; going on from the one before, %s", sentence, path)
        return path, checkpoint
    if passed_over:
        raise CheckpointError(
            f"none of the {len(paths)} checkpoints in {folder.checkpoints} can be read, the newest:"
            f" {passed_over[0]}; put a copy back, or begin a new run with another --out"
        )
    return None


def _is_passing(error: BaseException | None) -> bool:
    if isinstance(error, OSError):
        return error.errno in MACHINE_TROUBLE
    return isinstance(error, MemoryError)


def set_damaged_aside(folder: RunFolder, used: Path) -> None:
    """Rename the checkpoints newer than the one used: they were found to be damaged.

    Under their names they would be counted among the last few that are kept.
    """
    newer = [path for path in folder.list_checkpoints() if used == folder.best or path > used]
    for path in newer:
        path.replace(f"{os.fspath(path)}{DAMAGED}")


def prune_checkpoints(folder: RunFolder, keep: int) -> None:
    """Remove all but the last ``keep`` checkpoints; the best stays."""
    for path in folder.list_checkpoints()[:-keep]:
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
