"""Attacks every reader and writes a ledger: ``make fuzz MINUTES=20``.

As many readers at once as ``--jobs`` says, each in a process of its own with limits on memory and
on time per input.  A reader must give its result or its own one-line refusal: all else is a
finding, which is kept and ends in exit status 1.  Videos are decoded by FFmpeg: a decoder that
crashes or hangs is counted apart, as a build survives that.
"""

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

NAMES = (
    "skeleton", "kinetics", "openpose", "folder", "table", "labels", "layout", "sidecar", "dataset",
    "manifest", "plan", "shard", "group", "picture", "video",
)  # fmt: skip
# Decoded by a library that is expected to die of some files.
SURVIVED = ("video",)
_HERE = Path(__file__).resolve().parent


@dataclass
class Line:
    """What was thrown at one reader, and what came of it."""

    reader: str
    engine: str
    inputs: int = 0
    seconds: float = 0.0
    findings: int = 0
    decoder_deaths: int = 0
    slowest_ms: float = 0.0
    slowest_bytes: int = 0
    peak_mib: int = 0

    def add(self, tally: dict[str, float]) -> None:
        """Add the numbers of one process."""
        self.inputs += int(tally.get("inputs", 0))
        self.peak_mib = max(self.peak_mib, int(tally.get("peak_mib", 0)))
        if tally.get("slowest_ms", 0) > self.slowest_ms:
            self.slowest_ms = tally["slowest_ms"]
            self.slowest_bytes = int(tally["slowest_bytes"])


def main() -> int:
    """Run all targets and return the exit status."""
    asked = parse_arguments()
    coverage = not asked.at_random and importlib.util.find_spec("atheris") is not None
    if not coverage and not asked.at_random:
        print("atheris does not install here: inputs are random, not guided by coverage")
    if asked.out.exists():
        shutil.rmtree(asked.out)
    asked.out.mkdir(parents=True)
    lines = [
        Line(name, "coverage" if coverage and name not in SURVIVED else "mutations")
        for name in asked.targets
    ]
    with ThreadPoolExecutor(asked.jobs) as pool:
        seconds = asked.minutes * 60 * asked.jobs / len(lines)
        runs = [pool.submit(run_target, x, seconds, asked.seed, asked.out) for x in lines]
        for run in as_completed(runs):
            print(describe([run.result()])[-1], flush=True)
            write_ledger(lines, asked)
    print(f"{asked.out / 'ledger.md'}: {sum(line.inputs for line in lines)} inputs")
    return 1 if any(line.findings for line in lines) else 0


def parse_arguments() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="for all readers together")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="replaced")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="readers under attack at once"
    )
    parser.add_argument("--at-random", action="store_true", help="without coverage")
    parser.add_argument("targets", nargs="*", default=[*NAMES], help=", ".join(NAMES))
    return parser.parse_args()


def run_target(line: Line, seconds: float, seed: int, out: Path) -> Line:
    """Run one target until its time is up or something is found."""
    begin = time.monotonic()
    while (left := seconds - (time.monotonic() - begin)) > 0 and not line.findings:
        # In memory where there is such a folder: each input becomes a file.
        shm = Path("/dev/shm")
        with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as folder:
            status = run_once(line, left, seed, Path(folder), out)
            tally = Path(folder) / "tally.json"
            line.add(json.loads(tally.read_text()) if tally.exists() else {})
            if status:
                judge(line, status, Path(folder), out)
        seed += 1
    line.seconds = time.monotonic() - begin
    return line


def run_once(line: Line, seconds: float, seed: int, folder: Path, out: Path) -> int:
    """Run one process and return its exit status; what it says goes to a log."""
    command = [
        sys.executable, str(_HERE / "fuzz_one.py"), line.reader, f"--folder={folder}",
        f"--engine={line.engine}", f"--seconds={seconds}", f"--seed={seed}",
    ]  # fmt: skip
    with (out / f"{line.reader}.log").open("ab") as log:
        return subprocess.run(command, stdout=log, stderr=log, check=False).returncode


def judge(line: Line, status: int, folder: Path, out: Path) -> None:
    """Count what a process died of, and keep the input."""
    left = [*folder.glob("finding-*")] or [*folder.glob("current")]
    died = status in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGFPE)
    if line.reader in SURVIVED and (died or status in (-signal.SIGALRM, -signal.SIGPROF)):
        line.decoder_deaths += 1
    else:
        line.findings += 1
    (out / "inputs").mkdir(exist_ok=True)
    for path in left:
        kept = out / "inputs" / f"{line.reader}-{line.findings + line.decoder_deaths}-{path.name}"
        shutil.copy(path, kept)
        print(f"{line.reader}: exit status {status}, input kept in {kept}", flush=True)


def describe(lines: list[Line]) -> list[str]:
    """Return the ledger as the lines of a Markdown table."""
    head = [
        "| reader | guided by | inputs | a second | findings | died | slowest input | peak |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    return head + [
        f"| {x.reader} | {x.engine} | {x.inputs:,} | {x.inputs / max(x.seconds, 1):,.0f} |"
        f" {x.findings} | {x.decoder_deaths} | {x.slowest_ms:.0f} ms ({x.slowest_bytes:,} bytes) |"
        f" {x.peak_mib} MiB |"
        for x in lines
    ]


def write_ledger(lines: list[Line], asked: argparse.Namespace) -> None:
    """Write the ledger as Markdown and as JSON."""
    total = sum(line.inputs for line in lines)
    findings = sum(line.findings for line in lines)
    seconds = sum(line.seconds for line in lines)
    said = (
        f"{total:,} inputs in {seconds / 60:.1f} process minutes, {asked.jobs} processes at once,"
        f" {findings} findings, seed {asked.seed}."
    )
    (asked.out / "ledger.md").write_text("\n".join([*describe(lines), "", said, ""]))
    numbers = {"seed": asked.seed, "inputs": total, "readers": [asdict(line) for line in lines]}
    (asked.out / "ledger.json").write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
