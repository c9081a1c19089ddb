"""How cost grows with the number of samples: seconds and memory of everything done before the work.

    python tests/benchmarks/bench_growth.py [--rows 1000 10000 60000] [--shards 10 100 1000]
                                            [--clips 100000] [--json FILE]

Every measurement is a process of its own; seconds are on the clock and, in brackets, of its CPU,
without its imports; memory is the peak of the process, imports included.  The whole table is
``--rows 1000 10000 60000 300000 --shards 10 100 1000 3000 --clips 5000000``: about 20 minutes.
``stat of every file`` is the limit of listing and planning: reading the folders and asking for
size and time of each file, and nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import growth_folders

from toolkit.build.finish import finish
from toolkit.build.plan import Plan, make_plan
from toolkit.build.plan_file import read_plan, write_plan
from toolkit.build.tasks import list_tasks, sort_out
from toolkit.datasets.kinetics import list_kinetics
from toolkit.shards import DatasetReader, read_manifest
from toolkit.shards.manifest import write_manifest
from toolkit.verify import verify_dataset

Job = Callable[[], object]


def stat_files(folder: Path) -> Job:
    """Ask for every file below a folder once, as cheaply as Python can."""

    def run() -> int:
        n_bytes, waiting = 0, [os.fspath(folder / "raw")]
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir():
                        waiting.append(entry.path)
                    else:
                        n_bytes += entry.stat().st_size
        return n_bytes

    return run


def list_raw(folder: Path) -> Job:
    return lambda: list_kinetics(folder / "raw", folder / "raw")


def plan_new(folder: Path) -> Job:
    data = list_kinetics(folder / "raw", folder / "raw")
    return lambda: make_plan(data, growth_folders.OPTIONS)


def plan_again(folder: Path) -> Job:
    data = list_kinetics(folder / "raw", folder / "raw")
    return lambda: make_plan(data, growth_folders.OPTIONS, _plan_of(folder))


def write_it(folder: Path) -> Job:
    plan = _plan_of(folder)
    return lambda: write_plan(plan, folder)


def read_it(folder: Path) -> Job:
    return lambda: _plan_of(folder)


def fingerprint(folder: Path) -> Job:
    plan = _plan_of(folder)
    return lambda: (plan.fingerprints(), plan.fingerprint)


def resume(folder: Path) -> Job:
    plan = _plan_of(folder)
    return lambda: sort_out(list_tasks(plan, folder))


def finish_it(folder: Path) -> Job:
    plan = _plan_of(folder)
    rows, left = sort_out(list_tasks(plan, folder))
    if left:
        raise ValueError(f"{len(left)} shards do not count as finished")
    return lambda: finish(plan, rows, folder)


def write_rows(folder: Path) -> Job:
    frame = read_manifest(folder)
    return lambda: write_manifest(frame, folder)


def read_rows(folder: Path) -> Job:
    return lambda: read_manifest(folder)


def verify(folder: Path) -> Job:
    return lambda: verify_dataset(folder, deep=False)


def open_dataset(folder: Path) -> Job:
    return lambda: len(DatasetReader(folder))


def open_shards(folder: Path) -> Job:
    reader = DatasetReader(folder)
    return lambda: [reader.window(sample, 0) for sample in range(0, len(reader), 64)]


def sample_epoch(folder: Path) -> Job:
    from train.sampling import EpochSampler

    sampler = EpochSampler(range(len(DatasetReader(folder))), 64, seed=0)
    return lambda: next(iter(sampler))


def draw_epoch(folder: Path) -> Job:
    from train.sampling import EpochSampler

    sampler = EpochSampler(range(len(DatasetReader(folder))), 64, seed=0)
    return lambda: sum(1 for _ in sampler)


SAMPLE_STEPS: dict[str, Callable[[Path], Job]] = {
    "stat of every file (limit)": stat_files,
    "listing": list_raw,
    "planning": plan_new,
    "planning again": plan_again,
    "writing the plan": write_it,
    "reading the plan": read_it,
    "fingerprints": fingerprint,
    "resume check, all done": resume,
    "finishing": finish_it,
    "writing the manifest": write_rows,
    "reading the manifest": read_rows,
    "verify": verify,
}
SHARD_STEPS = {"opening the data set": open_dataset, "a window of each shard": open_shards}
CLIP_STEPS = {
    "reading the manifest": read_rows,
    "opening the data set": open_dataset,
    "sampler, first item": sample_epoch,
    "sampler, whole epoch": draw_epoch,
}
STEPS = SAMPLE_STEPS | SHARD_STEPS | CLIP_STEPS


def _plan_of(folder: Path) -> Plan:
    plan = read_plan(folder)
    if plan is None:
        raise ValueError(f"{folder} holds no plan")
    return plan


def read_high_water() -> float:
    """Return the largest resident memory of this program so far in megabytes (Linux)."""
    # Not getrusage: that begins with what the process held before it became this program.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def measure_step(name: str, folder: Path) -> dict[str, float]:
    """Do one step in this process and return what it took."""
    job = STEPS[name](folder)
    clock, cpu = time.perf_counter(), time.process_time()
    job()
    return {
        "seconds": time.perf_counter() - clock,
        "cpu_s": time.process_time() - cpu,
        "peak_mb": read_high_water(),
    }


def measure_apart(name: str, folder: Path) -> dict[str, float]:
    """Do one step in a process of its own."""
    command = [sys.executable, __file__, "--step", name, "--folder", str(folder)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(ran.stdout)


def grow(sizes: list[int], unit: str, steps: list[str], make: Callable[[Path, int], object]):
    """Yield one result for each size and step, and print it."""
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            make(Path(name), size)
            for step in steps:
                result = {"step": step, "n": size, "unit": unit, **measure_apart(step, Path(name))}
                print("{step:28} {n:>9,} {unit:7} {seconds:8.2f} s ({cpu_s:7.2f}) {peak_mb:7.0f} MB"
                      .format(**result), flush=True)  # fmt: skip
                yield result


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000, 10_000, 60_000])
    parser.add_argument("--shards", type=int, nargs="*", default=[10, 100, 1_000])
    parser.add_argument("--clips", type=int, nargs="*", default=[100_000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        print(json.dumps(measure_step(args.step, args.folder)))
        return
    results = [
        *grow(args.rows, "samples", list(SAMPLE_STEPS), make_samples),
        *grow(args.shards, "shards", list(SHARD_STEPS), make_shards),
        *grow(args.clips, "clips", list(CLIP_STEPS), make_clips),
    ]
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
