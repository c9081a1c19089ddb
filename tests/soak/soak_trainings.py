"""A tiny training that is hit at a random moment, resumed, and compared to the last bit."""

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from soak_ledger import SoakLedger
from soak_processes import BLOWS, Command

SETTINGS = (
    "data.clip_length=8", "data.validation_share=0.25", "model.stages=1,1", "model.width=4",
    "model.attach=gcn1", "model.context_width=2", "model.context_blocks=1,1",
    "optim.epochs=4", "run.batch_size=4", "run.workers=0", "run.log_every=1",
    "run.checkpoint_every=2", "run.tensorboard=false",
)  # fmt: skip
_KILLS = [name for name in BLOWS if BLOWS[name][0] in ("command", "all")]


@dataclass
class TrainingSoak:
    """Trainings on the shards in ``folder / "calm"``."""

    folder: Path
    random: Random
    ledger: SoakLedger
    duration_s: float = 0.0

    def prepare(self) -> None:
        """Train once without disturbance."""
        begin = time.monotonic()
        command = self._start(self.folder / "run-calm", self.folder / "first")
        if status := command.wait():
            raise SystemExit(f"an undisturbed training ends with {status}: {command.said}")
        self.duration_s = time.monotonic() - begin

    def round(self, number: int) -> None:
        """Hit one training, resume it, compare its last state."""
        place, n_before = self.folder / f"training-{number}", len(self.ledger.violations)
        name = self.random.choice(_KILLS)
        command = self._hit(place, name)
        again = self._start(place / "run", place / "again")
        self.ledger.trainings_resumed += 1
        if status := again.wait():
            self._note(f"training {number} ({name}): resuming ends with {status}: {again.said}")
        elif difference := differing_tensors(self.folder / "run-calm", place / "run"):
            self._note(f"training {number} ({name}): differing: {', '.join(difference)}")
        else:
            self.ledger.trainings_equal += 1
        if "Traceback" in command.said + again.said:
            self._note(f"training {number} ({name}): a traceback: {command.said} {again.said}")
        if left := [*command.survivors(), *again.survivors()]:
            self._note(f"training {number} ({name}): processes {left} live on")
        if len(self.ledger.violations) == n_before:
            shutil.rmtree(place)

    def _hit(self, place: Path, name: str) -> Command:
        whom, signal_number, statuses = BLOWS[name]
        command = self._start(place / "run", place / "hit")
        command.wait_until((place / "run" / "config.json").exists)
        moment = time.monotonic() + self.random.uniform(0, self.duration_s / 2)
        command.wait_until(lambda: time.monotonic() >= moment)
        if command.strike(whom, signal_number, self.random.choice):
            self.ledger.kills[f"{name}, training"] += 1
        else:
            self.ledger.ended_before += 1
        if (status := command.wait()) not in statuses:
            self._note(f"{place.name} ({name}): exit status {status}: {command.said}")
        return command

    def _start(self, out: Path, streams: Path) -> Command:
        settings = [word for text in SETTINGS for word in ("--set", text)]
        run = ("--shards", self.folder / "calm", "--recipe", "demo", "--device", "cpu", "--resume")
        arguments = ("-m", "train.run", *run, "--out", out, *settings)
        return Command.start((sys.executable, *arguments), streams)

    def _note(self, sentence: str) -> None:
        self.ledger.violations.append(" ".join(sentence.split()))


def differing_tensors(one: Path, other: Path) -> list[str]:
    """Name what differs to the last bit between the last states of two runs."""
    import torch

    states = [torch.load(max(run.glob("checkpoints/step-*.pt")), weights_only=True)
              for run in (one, other)]  # fmt: skip
    flat = [dict(_tensors(state)) for state in states]
    names = flat[0].keys() | flat[1].keys()
    return sorted(
        name for name in names
        if name not in flat[0] or name not in flat[1] or not flat[0][name].equal(flat[1][name])
    )  # fmt: skip


def _tensors(values, name=""):
    if hasattr(values, "equal"):
        yield name, values
    elif isinstance(values, dict):
        for key, value in values.items():
            yield from _tensors(value, f"{name}/{key}")
    elif isinstance(values, list | tuple):
        for number, value in enumerate(values):
            yield from _tensors(value, f"{name}/{number}")
