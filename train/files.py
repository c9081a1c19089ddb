"""Files of a run: each is whole or absent, whenever the power goes."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.shards.files import write_atomically, write_json
from train.errors import TrainError

__all__ = ["RunFolder", "write_atomically", "write_json", "write_text"]


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_atomically(path, lambda aside: aside.write_text(text, encoding="utf-8"))


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

    @property
    def lock(self) -> Path:
        """The file that the process which trains holds locked."""
        return self.path / ".training.lock"

    def list_checkpoints(self) -> list[Path]:
        """Return the checkpoints by step, the latest last; without the best."""
        return sorted(self.checkpoints.glob("step-*.pt"))

    def latest(self) -> Path | None:
        """Return the checkpoint of the highest step, None without any."""
        return max(self.list_checkpoints(), default=None)

    def remove_leftovers(self) -> None:
        """Remove half-written files of processes that were killed; only under the lock."""
        for folder in (self.path, self.checkpoints):
            for path in folder.glob(".*.writing"):
                path.unlink(missing_ok=True)

    def read_json(self, path: Path) -> dict[str, Any]:
        """Read one of the JSON files; raises ``TrainError`` naming the file."""
        try:
            data = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise TrainError(f"{path} is not the readable JSON of a run: {error}") from error
        if not isinstance(data, dict):
            raise TrainError(f"{path} holds {type(data).__name__}, not a JSON object")
        return data
