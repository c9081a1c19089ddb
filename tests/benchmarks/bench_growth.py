"""How cost grows: seconds and memory of all before and after the work, and of the work itself.

    python tests/benchmarks/bench_growth.py [--rows 1000 10000 60000] [--shards 10 100 1000]
        [--clips 100000] [--recordings 100 1000] [--folder FOLDER] [--json FILE]

Every measurement is a process of its own; seconds are on the clock and, in brackets, of its CPU
and that of all processes it started, without its imports; memory is the peak of the process alone,
imports included.  Last comes what doubling the number would do to the CPU seconds: 2 is in
proportion.
``stat of every file`` is the limit of listing and planning: reading the folders and asking for
size and time of each file, and nothing else.  300,000 rows need 610,000 files in the folder, which
are removed in the end.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import growth_folders
from growth_steps import (
    CLIP_STEPS,
    EXTRACT_STEPS,
    SAMPLE_STEPS,
    SHARD_STEPS,
    STEPS,
)

from toolkit.build.plan import make_plan
from toolkit.build.plan_file import write_plan
from toolkit.datasets.kinetics import list_kinetics

Result = dict[str, float | str]
# No step takes as long on the slowest machine: one that does is stuck.
_TIMEOUT_S = 600
_FILES_PER_ROW = 2.04


def read_high_water() -> float:
    """Return the largest resident memory of this program so far in megabytes (Linux)."""
    # Not getrusage: that begins with what the process held before it became this program.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def read_tree_cpu_s() -> float:
    """Return the CPU seconds of this process, of all it ever waited for, and of its descendants."""
    spent: dict[int, int] = {}
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # It ended meanwhile.
        process = int(stat.parent.name)
        parents[process], spent[process] = int(fields[1]), sum(map(int, fields[11:15]))
    family = {os.getpid()}
    while born := {p for p, parent in parents.items() if parent in family} - family:
        family |= born
    return sum(spent[process] for process in family) / os.sysconf("SC_CLK_TCK")


def measure_step(name: str, folder: Path) -> Result:
    """Do one step in this process and return what it took."""
    job = STEPS[name](folder)
    clock, cpu = time.perf_counter(), read_tree_cpu_s()
    job()
    return {
        "seconds": time.perf_counter() - clock,
        "cpu_s": read_tree_cpu_s() - cpu,
        "peak_mb": read_high_water(),
    }


def measure_apart(name: str, folder: Path) -> Result:
    """Do one step in a process of its own; what it says when it fails is raised."""
    command = [sys.executable, __file__, "--step", name, "--folder", str(folder)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S)
    if ran.returncode:
        raise RuntimeError(f"{name}: {(ran.stderr.strip() or 'no output').splitlines()[-1]}")
    return json.loads(ran.stdout.splitlines()[-1])


def grow(
    sizes: list[int],
    unit: str,
    steps: list[str],
    make: Callable[[Path, int], object],
    parent: Path | None,
) -> Iterator[Result]:
    """Yield one result for each size and step, and print it; a step that fails ends nothing."""
    before: dict[str, tuple[int, float]] = {}
    for size in sorted(sizes):
        with tempfile.TemporaryDirectory(dir=parent) as name:
            begun = time.perf_counter()
            make(Path(name), size)
            print(f"# {size:,} {unit} made in {time.perf_counter() - begun:.0f} s", flush=True)
            for step in steps:
                try:
                    measured = measure_apart(step, Path(name))
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    print(f"# failed: {error}", flush=True)
                    yield {"step": step, "n": size, "unit": unit, "failed": str(error)}
                    continue
                result = {"step": step, "n": size, "unit": unit, **measured}
                print(say_result(result, before.get(step)), flush=True)
                before[step] = size, float(measured["cpu_s"])
                yield result


def say_result(result: Result, before: tuple[int, float] | None) -> str:
    """Return one line; ``before`` is the size and the CPU seconds of a smaller one."""
    line = ("{step:28} {n:>9,} {unit:10} {seconds:8.2f} s ({cpu_s:7.2f}) {peak_mb:7.0f} MB").format(
        **result
    )
    # Below a tenth of a second what every process does weighs more than its work.
    if before is None or before[1] < 0.1:
        return line
    growth = math.log(float(result["cpu_s"]) / before[1]) / math.log(int(result["n"]) / before[0])
    return f"{line}  x {2**growth:.1f}"


def make_samples(folder: Path, n_samples: int) -> None:
    raw = growth_folders.write_raw(folder / "raw", n_samples)
    plan = make_plan(list_kinetics(raw, raw), growth_folders.OPTIONS)
    growth_folders.finish_shards(plan, folder)
    write_plan(plan, folder)


def make_shards(folder: Path, n_shards: int) -> None:
    growth_folders.write_many_shards(folder / "out", n_shards)
    for path in (folder / "out").iterdir():
        path.rename(folder / path.name)


def make_clips(folder: Path, n_clips: int) -> None:
    make_shards(folder, 1)
    growth_folders.write_long_manifest(folder, n_clips)


def refuse_small_disk(folder: Path | None, n_rows: int) -> None:
    """End the program where so many files have no room."""
    place = folder or Path(tempfile.gettempdir())
    room, wanted = os.statvfs(place), int(n_rows * _FILES_PER_ROW)
    # Some file systems have as many as they need and say 0.
    if room.f_files and room.f_favail < wanted:
        sys.exit(f"{place} has room for {room.f_favail:,} files, {wanted:,} are needed: --folder")
    # Most files are empty: a sidecar has half a kilobyte a row, and the folders their names.
    if shutil.disk_usage(place).free < wanted * 1000:
        sys.exit(f"{place} has less than {wanted * 1000 / 1e9:.1f} GB left: --folder")


def measure_help(n_rounds: int = 5) -> Iterator[Result]:
    """Yield what ``ctxtool --help`` takes, the quickest of a few: a process, imports included."""
    command = [sys.executable, "-c", "from toolkit.cli import main; main()", "--help"]
    taken = []
    for _ in range(n_rounds):
        clock, cpu = time.perf_counter(), sum(os.times()[2:4])
        subprocess.run(command, check=True, capture_output=True)
        taken.append((time.perf_counter() - clock, sum(os.times()[2:4]) - cpu))
    seconds, cpu_s = min(taken)
    print(f"{'ctxtool --help':49} {seconds:8.2f} s ({cpu_s:7.2f})", flush=True)
    yield {"step": "ctxtool --help", "n": 1, "unit": "process", "seconds": seconds, "cpu_s": cpu_s}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000, 10_000, 60_000])
    parser.add_argument("--shards", type=int, nargs="*", default=[10, 100, 1_000])
    parser.add_argument("--clips", type=int, nargs="*", default=[100_000])
    parser.add_argument("--recordings", type=int, nargs="*", default=[100, 1_000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="where to make the files, a temporary place")
    args = parser.parse_args()
    if args.step:
        print(json.dumps(measure_step(args.step, args.folder)))
        return
    refuse_small_disk(args.folder, max(args.rows, default=0))
    jobs = (
        (args.rows, "samples", SAMPLE_STEPS, make_samples),
        (args.shards, "shards", SHARD_STEPS, make_shards),
        (args.clips, "clips", CLIP_STEPS, make_clips),
        (args.recordings, "recordings", EXTRACT_STEPS, growth_folders.write_recordings),
    )
    results = list(measure_help())
    for sizes, unit, steps, make in jobs:
        for result in grow(sizes, unit, list(steps), make, args.folder):
            results.append(result)
            if args.json:
                args.json.write_text(json.dumps(results, indent=1) + "\n")
    if any("failed" in result for result in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
