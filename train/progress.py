"""How far a training is, and what it measured so far: the part of its state that is numbers."""

from dataclasses import asdict, dataclass, field
from typing import Any

from train.metrics import Tally


@dataclass
class Progress:
    """Position and metrics; saved whole in every checkpoint.

    - ``epoch`` epochs are finished, ``step`` steps of the next one done; ``step`` = all of them
      means that only its validation is left
    - ``epoch_tally`` sums over the epoch, ``window_tally`` over the steps since the last log line
    - ``history`` holds one record an epoch, ``best`` is that of the best validation
    - ``seconds`` spent training so far, over all starts
    """

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    epoch_tally: Tally = field(default_factory=Tally)
    window_tally: Tally = field(default_factory=Tally)
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Progress":
        """Undo :meth:`to_dict`."""
        tallies = {name: Tally(**values[name]) for name in ("epoch_tally", "window_tally")}
        return cls(**{**values, **tallies})

    def finish_epoch(self, record: dict[str, Any]) -> bool:
        """Add an epoch's record and go on to the next; say whether it validated best so far.

        Better is a higher top-1, and with equal ones a lower loss.
        """
        self.history.append(record)
        self.epoch += 1
        self.step = 0
        self.epoch_tally = Tally()
        if "val_top1" not in record:
            return False
        if self.best is not None and _merit(record) <= _merit(self.best):
            return False
        self.best = record
        return True


def _merit(record: dict[str, Any]) -> tuple[float, float]:
    return record["val_top1"], -record["val_loss"]
