"""Every benchmark in one table: job, ours, peer, limit, ratios and their spread.

    python tests/benchmarks/bench.py [--rounds 3] [--only parse jpeg] [--json FILE]
    python tests/benchmarks/bench.py --compare OLD NEW

Each script ``bench_NAME.py`` of ``JOBS`` runs in a process of its own; its own tables go
to stderr.  How cost grows with the number of samples is ``bench_growth.py``: seconds, not rates.
Peers that are not installed (decord, torchcodec, webdataset, ffmpeg) have a row that says so.
"""

import argparse
import contextlib
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import date
from multiprocessing import get_context
from pathlib import Path

from timing import Row

JOBS = ("parse", "video", "jpeg", "windows", "codec", "loader", "attention", "step", "end")
_HEAD = (
    "job (peer)", "unit", "ours", "peer", "ours/peer", "spread", "reach",
    "limit", "ours/limit", "spread", "reach",
)  # fmt: skip


def run_job(name: str, rounds: int) -> list[Row]:
    """Return the rows of one script; its own tables go to stderr."""
    with contextlib.redirect_stdout(sys.stderr):
        return importlib.import_module(f"bench_{name}").bench(rounds)


def run_jobs(names: Sequence[str], rounds: int) -> list[Row]:
    """Run scripts one after the other, none in a process that another has warmed."""
    rows: list[Row] = []
    for name in names:
        begin = time.perf_counter()
        # Not a Pool: its processes may not have workers of their own.  Forked before anything is
        # loaded, so that a job starts its own workers as it does when it is run alone.
        with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
            rows += pool.submit(run_job, name, rounds).result()
        print(f"bench_{name}.py took {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    return rows


def format_rows(rows: Sequence[Row]) -> str:
    """Return the table; a figure that there is not is left empty."""
    cells = [
        (
            f"{row.job} ({row.peer_name})" if row.peer_name else row.job,
            row.unit,
            *map(_number, (row.ours, row.peer)),
            *(_ratio(row.to_peer), _spread(row.peer_spread), _ratio(row.reach)),
            _number(row.limit),
            *(_ratio(row.to_limit), _spread(row.limit_spread), _ratio(row.limit_reach)),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(_HEAD, *cells, strict=True)]
    return "\n".join(
        "  ".join(
            [*map(str.ljust, line[:2], widths[:2]), *map(str.rjust, line[2:], widths[2:])]
        ).rstrip()
        for line in (_HEAD, *cells)
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}" if value >= 10 else f"{value:.3g}"


def _spread(ends: Sequence[float] | None) -> str:
    return "" if ends is None else "{:.2f}-{:.2f}".format(*ends)


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def write_results(path: Path, rows: Sequence[Row]) -> None:
    """Write the rows and the machine they are of as JSON."""
    machine = {
        "date": date.today().isoformat(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
    }
    path.write_text(json.dumps(machine | {"rows": [asdict(row) for row in rows]}, indent=1) + "\n")


def read_results(path: Path) -> dict[tuple[str, str], Row]:
    """Return the rows of a file by job and peer."""
    rows = [Row(**row) for row in json.loads(path.read_text())["rows"]]
    return {(row.job, row.peer_name): row for row in rows}


def compare(old: dict[tuple[str, str], Row], new: dict[tuple[str, str], Row]) -> str:
    """Return a line for each job of both files: ours now by ours then, and both ratios to the peer.

    Rates of two machines mean little beside each other; ratios to a peer hold better.
    """
    lines = [f"{'job':58} {'new/old':>8} {'/ peer then':>12} {'now':>6}"]
    for key in old.keys() | new.keys():
        name = f"{key[0]} ({key[1]})" if key[1] else key[0]
        if key not in old or key not in new:
            lines.append(f"{name:58} only in the {'old' if key in old else 'new'} file")
            continue
        then, now = old[key], new[key]
        ratios = f"{_ratio(then.to_peer):>12} {_ratio(now.to_peer):>6}"
        lines.append(f"{name:58} {now.ours / then.ours:8.2f} {ratios}")
    return "\n".join([lines[0], *sorted(lines[1:])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=JOBS, default=JOBS, metavar="JOB")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("OLD", "NEW"))
    args = parser.parse_args()
    if args.compare:
        print(compare(*map(read_results, args.compare)))
        return
    rows = run_jobs(args.only, args.rounds)
    print(format_rows(rows))
    if args.json:
        write_results(args.json, rows)


if __name__ == "__main__":
    main()
