"""A build that is hit at a random moment, gone on with, and compared with one never disturbed."""

import hashlib
import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from soak_ledger import SoakLedger
from soak_processes import BLOWS, Command

CTXTOOL = [sys.executable, "-c", "from toolkit.entry import main; main()"]
N_TRAIN, N_TEST = 24, 8


def _cut(path):
    path.write_bytes(path.read_bytes()[:-50])


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def _make_foreign(path):
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fingerprint": "0" * 64}))


# Damage -> (files it may come over, what it does).
DAMAGE = {
    "shard cut": ("shards/*.h5", _cut),
    "bit of a shard flipped": ("shards/*.h5", _flip),
    "shard removed": ("shards/*.h5", Path.unlink),
    "sidecar removed": ("shards/*.json", Path.unlink),
    "sidecar cut": ("shards/*.json", _cut),
    "sidecar of another plan": ("shards/*.json", _make_foreign),
    "manifest cut": ("manifest.parquet", _cut),
    "dataset.json removed": ("dataset.json", Path.unlink),
}


@dataclass
class BuildSoak:
    """Builds of one synthetic data set in ``folder``; ``duration_s``: the work of a calm one."""

    folder: Path
    random: Random
    ledger: SoakLedger
    duration_s: float = 0.0

    @property
    def calm(self) -> Path:
        """The output that nobody disturbed."""
        return self.folder / "calm"

    def prepare(self) -> None:
        """Write the raw data and build them once."""
        counts = ("--train", N_TRAIN, "--test", N_TEST, "--frames", 16, "--size", "32x32")
        raw = self.folder / "raw"
        synthesis = [*CTXTOOL, "synthesize", "kinetics", "--out", raw, *counts, "--jobs", 1]
        self._expect_done(Command.start(synthesis, self.folder / "first"))
        command = Command.start(self._arguments(self.calm, 1), self.folder / "first")
        command.wait_until((self.calm / ".lock").exists)
        begin = time.monotonic()
        self._expect_done(command)
        self.duration_s = time.monotonic() - begin

    def round(self, number: int) -> None:
        """Hit one build, go on with it, compare; what is not as promised goes into the ledger."""
        place = self.folder / f"build-{number}"
        out = place / "out"
        if self.random.random() < 0.5:
            shutil.copytree(self.calm, out)
            self._damage(out)
        n_before = len(self.ledger.violations)
        name = self.random.choice(list(BLOWS))
        hit = self._hit(out, place / "hit", name)
        again = Command.start(self._arguments(out, self.random.choice((1, 2))), place / "again")
        self._judge(f"build {number} ({name})", out, again.wait(), again.said)
        if left := [*hit.survivors(), *again.survivors()]:
            self._note(f"build {number} ({name}): processes {left} live on")
        if len(self.ledger.violations) == n_before:
            shutil.rmtree(place)

    def _arguments(self, out: Path, n_jobs: int) -> list[object]:
        run = ("--raw", self.folder / "raw", "--out", out, "--jobs", n_jobs)
        options = (*run, "--samples-per-shard", 2, "--frame-size", 16, "--verify-existing")
        return [*CTXTOOL, "extract-kinetics", *options]

    def _expect_done(self, command: Command) -> None:
        if status := command.wait():
            raise SystemExit(f"an undisturbed command ends with {status}: {command.said}")

    def _damage(self, out: Path) -> None:
        for name in self.random.sample(list(DAMAGE), self.random.randint(1, 3)):
            pattern, act = DAMAGE[name]
            if paths := sorted(out.glob(pattern)):
                try:
                    act(self.random.choice(paths))
                except ValueError:
                    continue  # Cut before, so no JSON any more.
                self.ledger.damage[name] += 1

    def _hit(self, out: Path, folder: Path, name: str) -> Command:
        whom, number, statuses = BLOWS[name]
        n_jobs = 2 if whom == "worker" else self.random.choice((1, 2))
        repair = out.exists()
        command = Command.start(self._arguments(out, n_jobs), folder)
        # Python itself prints a traceback of a Ctrl-C that meets its imports.
        command.wait_until((out / ".lock").exists)
        longest_s = self.duration_s * (0.3 if repair else 0.9)
        moment = time.monotonic() + self.random.uniform(0, longest_s)
        command.wait_until(lambda: time.monotonic() >= moment)
        # Workers and readers come and go: the first one seen is hit.
        if command.wait_until(lambda: command.strike(whom, number, self.random.choice)):
            self.ledger.kills[name] += 1
        else:
            self.ledger.ended_before += 1
        status = command.wait()
        if status not in statuses:
            self._note(f"{folder.parent.name} ({name}): exit status {status}: {command.said}")
        if "Traceback" in command.said:
            self._note(f"{folder.parent.name} ({name}): a traceback: {command.said}")
        return command

    def _judge(self, name: str, out: Path, status: int, said: str) -> None:
        self.ledger.builds_compared += 1
        if status != 0:
            self._note(f"{name}: going on ends with {status}: {said}")
        elif difference := compare(self.calm, out):
            self._note(f"{name}: {difference}")
        else:
            self.ledger.builds_identical += 1

    def _note(self, sentence: str) -> None:
        self.ledger.violations.append(" ".join(sentence.split()))


def compare(calm: Path, out: Path) -> str:
    """Return which file differs between two output folders, hidden ones included; "" if none."""
    one, other = _digests(calm), _digests(out)
    names = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    return f"differing files: {', '.join(names)}" if names else ""


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }
