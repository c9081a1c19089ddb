"""The steps whose cost ``bench_growth.py`` measures, each prepared first and then done."""

import os
from collections.abc import Callable
from pathlib import Path

import growth_folders
import numpy as np

from toolkit.build.finish import finish
from toolkit.build.plan import Plan, make_plan
from toolkit.build.plan_file import is_stored, read_plan, write_plan
from toolkit.build.run import BuildSettings, plan_build, run_build
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


def start_new(folder: Path) -> Job:
    """Do all that comes before the first frame of a new build is decoded."""

    def run() -> object:
        plan = make_plan(list_kinetics(folder / "raw", folder / "raw"), growth_folders.OPTIONS)
        (folder / "new").mkdir()
        write_plan(plan, folder / "new")
        return sort_out(list_tasks(plan, folder / "new"))[1][0]

    return run


def start_again(folder: Path) -> Job:
    """Do all that comes before a build knows that nothing is left to do."""

    def run() -> object:
        data = list_kinetics(folder / "raw", folder / "raw")
        plan = make_plan(data, growth_folders.OPTIONS, read_plan(folder))
        if not is_stored(plan, folder):
            raise ValueError("nothing changed, and the plan did")
        return sort_out(list_tasks(plan, folder))

    return run


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


def open_shards_again(folder: Path) -> Job:
    job = open_shards(folder)
    job()
    return job


def sample_epoch(folder: Path) -> Job:
    from train.sampling import EpochSampler

    sampler = EpochSampler(np.arange(len(DatasetReader(folder))), 64, seed=0)
    return lambda: next(iter(sampler))


def draw_epoch(folder: Path) -> Job:
    from train.sampling import EpochSampler

    sampler = EpochSampler(np.arange(len(DatasetReader(folder))), 64, seed=0)
    return lambda: sum(1 for _ in sampler)


def extract(folder: Path, n_jobs: int) -> Job:
    """Extract recordings to shards, the start of all processes included."""

    def run() -> None:
        settings = BuildSettings(folder / f"jobs {n_jobs}", n_jobs)
        options = growth_folders.EXTRACTION
        data = growth_folders.list_recordings(folder)
        ledger = run_build(plan_build(data, options, settings), settings, lambda rows: None)
        if ledger.reasons:
            raise ValueError(f"not all recordings were extracted: {ledger}")

    return run


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
    "start, a new build": start_new,
    "start, all done": start_again,
}
SHARD_STEPS: dict[str, Callable[[Path], Job]] = {
    "opening the data set": open_dataset,
    "a window of each shard": open_shards,
    "another window of each": open_shards_again,
}
CLIP_STEPS: dict[str, Callable[[Path], Job]] = {
    "reading the manifest": read_rows,
    "opening the data set": open_dataset,
    "sampler, first item": sample_epoch,
    "sampler, whole epoch": draw_epoch,
}
EXTRACT_STEPS: dict[str, Callable[[Path], Job]] = {
    "extraction, 1 job": lambda folder: extract(folder, 1),
    "extraction, 2 jobs": lambda folder: extract(folder, 2),
}
STEPS = SAMPLE_STEPS | SHARD_STEPS | CLIP_STEPS | EXTRACT_STEPS


def _plan_of(folder: Path) -> Plan:
    plan = read_plan(folder)
    if plan is None:
        raise ValueError(f"{folder} holds no plan")
    return plan
