"""Files of a run: each is whole or absent, whenever the power goes."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from train.errors import TrainError


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file aside; it gets the name ``path`` when it is safe on the disk."""
    aside = path.with_name(f".{path.name}.writing")
    try:
        write(aside)
        _flush(aside)
        aside.replace(path)
        _flush(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_atomically(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def write_json(path: Path, data: object) -> None:
    """Write a JSON file atomically, readable by people."""
    write_text(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")


@dataclass(frozen=True)
class RunFolder:
    """Where the results of one training lie."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration, JSON."""
        return self.path / "config.json"

    @property
    def environment(self) -> Path:
        """Versions, git state, machine and data of each start of the run, JSON."""
        return self.path / "environment.json"

    @property
    def metrics(self) -> Path:
        """One JSON object a line: kind ``step`` every ``log_every`` steps, kind ``epoch``."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def best(self) -> Path:
        """The checkpoint of the epoch with the best validation."""
        return self.checkpoints / "best.pt"

    @property
    def result(self) -> Path:
        """What came out, JSON; exists only when training is finished."""
        return self.path / "result.json"

    @property
    def summary(self) -> Path:
        """The same for people, Markdown."""
        return self.path / "summary.md"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard events."""
        return self.path / "tensorboard"

    def latest(self) -> Path | None:
        """Return the checkpoint of the highest step, None without any."""
        return max(self.checkpoints.glob("step-*.pt"), default=None)

    def read_json(self, path: Path) -> dict[str, Any]:
        """Read one of the JSON files; raises ``TrainError`` naming the file."""
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise TrainError(f"{path} is not the readable JSON of a run: {error}") from error
        if not isinstance(data, dict):
            raise TrainError(f"{path} holds {type(data).__name__}, not a JSON object")
        return data
