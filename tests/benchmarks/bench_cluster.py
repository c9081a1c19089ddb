"""A build by one and by two workers of a dask cluster on this machine, and by local processes.

    python tests/benchmarks/bench_cluster.py [--recordings 96] [--rounds 3]

Synthetic NTU recordings with videos of 640x360, 8 to a shard.  The clock runs from the start of the
command to its end, the start of scheduler and workers not counted.  The shards of all must be the
same.  Wants two idle cores.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

from timing import measure, print_table

CTXTOOL = [sys.executable, "-c", "from toolkit.cli import main; main()"]
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def start_cluster(folder: Path, n_workers: int) -> tuple[str, list[subprocess.Popen[bytes]]]:
    """Start a scheduler and its workers; return its address and all processes."""
    file = folder / f"scheduler-{n_workers}.json"
    begin = [sys.executable, "-m"]
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", file]
    processes = [subprocess.Popen([*begin, "distributed.cli.dask_scheduler", *options], **QUIET)]
    options = ["--scheduler-file", file, "--no-nanny", "--nthreads", "1", "--no-dashboard"]
    options += ["--local-directory", folder]
    for _ in range(n_workers):
        processes.append(
            subprocess.Popen([*begin, "distributed.cli.dask_worker", *options], **QUIET)
        )
    return wait_for(file, n_workers), processes


def wait_for(file: Path, n_workers: int) -> str:
    """Return a scheduler's address once its workers are there."""
    from distributed import Client

    while not file.exists():
        time.sleep(0.05)
    with Client(scheduler_file=str(file), set_as_default=False) as client:
        client.wait_for_workers(n_workers)
        return str(client.scheduler.address)


def build(raw: Path, folder: Path, digests: set[str], how: tuple[str, ...]) -> int:
    """Build in a new folder; return how many recordings there are."""
    out = next(path for n in count() if not (path := folder / f"out-{n}").exists())
    options = ["--raw", raw, "--out", out, "--samples-per-shard", "8", *how]
    subprocess.run([*CTXTOOL, "extract-ntu", *options], check=True, **QUIET)
    whole = hashlib.sha256()
    for path in sorted((out / "shards").glob("*.h5")):
        whole.update(path.read_bytes())
    digests.add(whole.hexdigest())
    return len(list(raw.rglob("*.skeleton")))


def compare(raw: Path, folder: Path, rounds: int) -> dict[str, list[float]]:
    """Return the rates of each way to build; refuses ways whose shards differ."""
    digests: set[str] = set()
    clusters = {f"dask workers: {n}": start_cluster(folder, n) for n in (1, 2)}
    ways = {name: ("--scheduler", address) for name, (address, _) in clusters.items()}
    ways |= {f"--jobs {n}": ("--jobs", str(n)) for n in (1, 2)}
    cases: dict[str, Callable[[], int]] = {
        name: partial(build, raw, folder, digests, how) for name, how in ways.items()
    }
    try:
        rates = measure(cases, rounds)
    finally:
        for process in (p for _, processes in clusters.values() for p in processes):
            process.terminate()
            process.wait()
    if len(digests) != 1:
        raise SystemExit("the shards differ")
    return rates


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as name:
        raw = Path(name) / "raw"
        counts = ["--train", str(given.recordings - 1), "--test", "1", "--frames", "90"]
        options = ["--out", raw, "--size", "640x360", *counts]
        subprocess.run([*CTXTOOL, "synthesize", "ntu", *options], check=True, **QUIET)
        rates = compare(raw, Path(name), given.rounds)
    print_table("Builds by a cluster", rates, peer="dask workers: 1", unit="recordings/s")


if __name__ == "__main__":
    main()
