"""A report of 300,000 samples in a real browser: how long it takes to open, find, sort and filter.

    python tests/benchmarks/bench_report.py [--samples 300000] [--rounds 5]

Needs the extra ``browser`` and a Chromium.  Times are on the clock, medians over the rounds; the
limits are for a machine with a core to spare.
"""

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from chromium import find_chromium, open_chromium
from shard_builders import Recording, write_dataset

from toolkit.report import ReportOptions, write_report
from toolkit.shards import read_manifest
from toolkit.shards.manifest import write_manifest

# Milliseconds from asking until the page shows the answer.
LIMITS = {"open": 2000, "search": 400, "sort by drift": 600, "sort by id": 400, "filter": 400}
CHANGES = {
    "search": "report.rows.search('s0123')",
    "sort by drift": "report.rows.search(''); report.rows.sortBy('max_drift_ms')",
    "sort by id": "report.rows.sortBy('sample_id')",
    "filter": "report.rows.toggleCode('camera', 1)",
}


def write_large_dataset(folder: Path, n_samples: int) -> None:
    """Write a small data set whose manifest claims many: every row stands for the same shards."""
    few = [Recording(f"r{i}", label=i % 3, n_frames=20 + i) for i in range(8)]
    failed = Recording("r8", reason="missing_video", detail="no r8_rgb.avi lies below raw")
    write_dataset(folder, [*few, failed])
    rng = np.random.default_rng(0)
    rows = read_manifest(folder)
    rows = pd.concat([rows] * (n_samples // len(rows) + 1), ignore_index=True).head(n_samples)
    rows["sample_id"] = [f"s{i:06d}c{i % 3}p{i % 106:03d}" for i in range(n_samples)]
    rows["youtube_id"] = rows["sample_id"]
    usable = rows["status"] == "ok"
    rows.loc[usable, "n_frames"] = rng.integers(20, 300, usable.sum())
    rows.loc[usable, "max_drift_ms"] = rng.gamma(2, 5, usable.sum()).round(3)
    for name, n in (("camera", 3), ("subject", 106), ("setup", 32)):
        rows[name] = pd.array(rng.integers(1, n + 1, n_samples), "Int32")
    write_manifest(rows, folder)


def measure_round(browser: Any, path: Path) -> dict[str, float]:
    page = browser.new_page()
    begin = time.perf_counter()
    page.goto(path.as_uri(), wait_until="commit")
    page.wait_for_selector("html[data-ready]")
    times = {"open": (time.perf_counter() - begin) * 1000}
    for name, change in CHANGES.items():
        # Two frames later the change is on the screen.
        shown = (
            "requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - t)))"
        )
        code = f"() => new Promise((done) => {{ const t = performance.now(); {change}; {shown}; }})"
        times[name] = page.evaluate(code)
    page.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    if find_chromium() is None or importlib.util.find_spec("playwright") is None:
        print("skipped: no Chromium is installed, or not the extra `browser`")
        return
    with tempfile.TemporaryDirectory() as folder, open_chromium() as browser:
        write_large_dataset(Path(folder) / "out", args.samples)
        path = Path(folder) / "report.html"
        begin = time.perf_counter()
        written = write_report(Path(folder) / "out", path, ReportOptions())
        seconds = time.perf_counter() - begin
        print(f"{written.n_samples} samples: {written.n_bytes / 1e6:.1f} MB in {seconds:.1f} s")
        rounds = [measure_round(browser, path) for _ in range(args.rounds)]
    for name, limit in LIMITS.items():
        times = [r[name] for r in rounds]
        told = f"{statistics.median(times):7.0f} ms  ({min(times):.0f} to {max(times):.0f})"
        print(f"{name:14} {told}  limit {limit}")


if __name__ == "__main__":
    main()
