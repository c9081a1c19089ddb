"""Attacks one reader in this process: ``fuzz_one.py TARGET --folder F``; see ``fuzz_all.py``.

Exit status 0: nothing found; anything else: the offending input lies in the folder.
"""

import argparse
import hashlib
import json
import resource
import signal
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

LIMIT_S = 2
# On the clock, in case a reader waits for something; a busy machine is no hang.
_LIMIT_WAITING_S = 30
LIMIT_MIB = 1024
# What is mapped, not used: libraries alone map some 2 GiB.
_ADDRESS_SPACE = 8 << 30
_MOST_BYTES = 1 << 17
# Left to end the process, which they do inside C code too.
_TIMERS = {signal.ITIMER_PROF: signal.SIGPROF, signal.ITIMER_REAL: signal.SIGALRM}


@dataclass
class Tally:
    """What was thrown at a reader so far, kept on disk in case the process dies."""

    path: Path
    inputs: int = 0
    seconds: float = 0.0
    slowest_ms: float = 0.0
    slowest_bytes: int = 0
    peak_mib: int = 0
    _written: float = field(default_factory=time.monotonic)

    def add(self, n_bytes: int, seconds: float) -> None:
        """Count one input."""
        self.inputs += 1
        self.seconds += seconds
        if seconds * 1000 > self.slowest_ms:
            self.slowest_ms, self.slowest_bytes = seconds * 1000, n_bytes
        if time.monotonic() - self._written > 0.5:
            self.write()

    def write(self) -> None:
        """Write all numbers as JSON."""
        self._written = time.monotonic()
        # Not getrusage: its peak is inherited from the process that started this one.
        status = Path("/proc/self/status").read_text()
        self.peak_mib = int(status.partition("VmHWM:")[2].split()[0]) >> 10
        numbers = {k: v for k, v in vars(self).items() if k not in ("path", "_written")}
        self.path.write_text(json.dumps(numbers))


def main() -> None:
    """Run one target by random mutations, or guided by coverage."""
    asked = parse_arguments()
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    asked.folder.mkdir(parents=True, exist_ok=True)
    (run_coverage if asked.engine == "coverage" else run_mutations)(asked)


def parse_arguments() -> argparse.Namespace:
    """Return the options of one process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--folder", type=Path, required=True, help="empty or new; results go here")
    parser.add_argument("--engine", choices=("coverage", "mutations"), default="mutations")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--inputs", type=int, default=0, help="stop after so many, 0: no limit")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def run_mutations(asked: argparse.Namespace) -> None:
    """Damage valid files at random; the kernel ends a reader that hangs, in C code too."""
    from fuzz_mutations import mutate
    from fuzz_targets import TARGETS

    target, random = TARGETS[asked.target], Random(asked.seed)
    room = _make_room(asked.folder)
    valid = target.prepare(room)
    tally = Tally(asked.folder / "tally.json")
    for number in _TIMERS.values():
        signal.signal(number, signal.SIG_DFL)
    end = time.monotonic() + asked.seconds
    # One at least: a machine that is busy enough may take all the time to get here.
    while not tally.inputs or (
        time.monotonic() < end and (not asked.inputs or tally.inputs < asked.inputs)
    ):
        data = mutate(random.choice(valid), random)[:_MOST_BYTES]
        (asked.folder / "current").write_bytes(data)
        begin = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
        signal.setitimer(signal.ITIMER_REAL, _LIMIT_WAITING_S)
        try:
            target.read(room, data)
        except Exception:
            _keep(asked.folder, data)
            raise
        finally:
            for timer in _TIMERS:
                signal.setitimer(timer, 0)
        tally.add(len(data), time.process_time() - begin)
    tally.write()
    (asked.folder / "current").unlink(missing_ok=True)
    if tally.peak_mib > LIMIT_MIB:
        sys.exit(f"{tally.peak_mib} MiB of memory at the peak, more than {LIMIT_MIB}")


def run_coverage(asked: argparse.Namespace) -> None:
    """Let libFuzzer choose what to damage by the lines of our code that an input reaches."""
    import atheris

    with atheris.instrument_imports(include=["toolkit"], enable_loader_override=False):
        from fuzz_mutations import mutate
        from fuzz_targets import TARGETS

    target = TARGETS[asked.target]
    room, corpus = _make_room(asked.folder), asked.folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for data in target.prepare(room):
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    tally = Tally(asked.folder / "tally.json")

    def read(data: bytes) -> None:
        begin = time.process_time()
        target.read(room, data)
        seconds = time.process_time() - begin
        tally.add(len(data), seconds)
        if seconds > LIMIT_S:
            raise TimeoutError(f"{seconds:.1f} s for one input")

    def damage(data: bytes, max_size: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < 0.5:
            return bytes(atheris.Mutate(data, max_size))[:max_size]
        return mutate(data, random)[:max_size]

    flags = {
        "max_total_time": int(asked.seconds),
        "timeout": _LIMIT_WAITING_S,
        "rss_limit_mb": LIMIT_MIB,
        "max_len": _MOST_BYTES,
        "seed": asked.seed,
        "runs": asked.inputs or -1,
        "artifact_prefix": f"{asked.folder}/finding-",
    }
    command = [sys.argv[0], *(f"-{name}={value}" for name, value in flags.items()), str(corpus)]
    atheris.Setup(command, read, custom_mutator=damage)
    atheris.Fuzz()


def _make_room(folder: Path) -> Path:
    room = folder / "room"
    room.mkdir()
    return room


def _keep(folder: Path, data: bytes) -> None:
    path = folder / f"finding-{hashlib.sha256(data).hexdigest()[:16]}"
    path.write_bytes(data)
    print(f"{path}: {traceback.format_exc()}", file=sys.stderr)


if __name__ == "__main__":
    main()
