"""The folder that synthetic data goes to: claimed, filled by many processes, then marked done."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from toolkit.build.executors import run_tasks
from toolkit.errors import PlanError
from toolkit.synthesis.ceilings import compute_ceilings
from toolkit.synthesis.options import Recording, SynthesisOptions, SynthesisReport

MARKER = "synthesis.json"
# Small enough that no process waits long for the last one, large enough to be worth handing over.
_BATCHES_A_JOB = 16
Tick = Callable[[Recording], object]


@dataclass(frozen=True)
class Job:
    """A data set to write: ``write`` makes one recording, ``finish`` the files all share."""

    kind: str
    recordings: list[Recording]
    write: Callable[[Path, Recording, SynthesisOptions], None]
    finish: Callable[[Path, list[Recording]], None] | None = None


def fill_folder(
    out: Path, options: SynthesisOptions, job: Job, tick: Tick | None = None
) -> SynthesisReport:
    """Write all recordings of ``job`` below ``out``, with the latents and ceilings beside them.

    ``tick`` is told each recording that is done.  A folder that holds the same data already is
    left as it is; one where that was cut short is written again.  Raises ``PlanError`` when
    ``out`` holds anything else.
    """
    ceilings = compute_ceilings(options.sizes)
    done = _claim(out, {"kind": job.kind, **options.to_dict()})
    if not done:
        _write_all(out, options, job, tick)
        if job.finish:
            job.finish(out, job.recordings)
        _write_latents(out / "latents.csv", job.recordings)
        sizes = {name: getattr(options.sizes, name) for name in ("S", "Q", "A", "P", "distinct")}
        _write_json(out / "ceilings.json", {"preset": options.preset, **sizes, **ceilings})
        _mark(out, {"kind": job.kind, **options.to_dict()}, complete=True)
    return SynthesisReport(out, options.n_train, options.n_test, ceilings, reused=done)


def _claim(out: Path, wanted: dict[str, Any]) -> bool:
    """Make ``out`` ours; True when it already holds exactly what is wanted, complete."""
    marker = out / MARKER
    if out.exists() and not out.is_dir():
        raise PlanError(f"{out}: expected a folder for synthetic data, found a file")
    if marker.is_file():
        found = _read_marker(marker)
        complete = found.pop("complete", False)
        differing = [name for name in wanted if found.get(name) != wanted[name]]
        if differing:
            name = differing[0]
            raise PlanError(
                f"{out}: holds synthetic data made with {name} {found.get(name)!r}, not "
                f"{wanted[name]!r}; delete that folder or choose another one"
            )
        if complete:
            return True
    elif out.exists() and any(out.iterdir()):
        raise PlanError(
            f"{out}: holds files that are not synthetic data; choose a new or an empty folder"
        )
    _mark(out, wanted, complete=False)
    return False


def _read_marker(marker: Path) -> dict[str, Any]:
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PlanError(f"{marker}: expected the options of synthetic data: {error}") from error
    if not isinstance(found, dict):
        raise PlanError(f"{marker}: expected the options of synthetic data, found another value")
    return found


def _mark(out: Path, options: dict[str, Any], *, complete: bool) -> None:
    out.mkdir(parents=True, exist_ok=True)
    _write_json(out / MARKER, {**options, "complete": complete})


def _write_all(out: Path, options: SynthesisOptions, job: Job, tick: Tick | None) -> None:
    size = max(1, len(job.recordings) // (_BATCHES_A_JOB * options.n_jobs))
    batches = [job.recordings[i : i + size] for i in range(0, len(job.recordings), size)]
    write = partial(_write_batch, job.write, out, options)
    for written in run_tasks(write, batches, options.n_jobs):
        for recording in written:
            if tick:
                tick(recording)


def _write_batch(
    write: Callable[[Path, Recording, SynthesisOptions], None],
    out: Path,
    options: SynthesisOptions,
    recordings: list[Recording],
) -> list[Recording]:
    for recording in recordings:
        write(out, recording, options)
    return recordings


def _write_json(path: Path, value: object) -> None:
    # A killed run leaves the old file or the new one, never half of one.
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def _write_latents(path: Path, recordings: list[Recording]) -> None:
    parts = [f"a_{part}" for part in range(1, 1 + len(recordings[0].latents.a))]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "subset", "label", "s", "p", "q", *parts])
        for r in recordings:
            latents = r.latents
            rows.writerow([r.name, r.subset, r.label, latents.s, latents.p, latents.q, *latents.a])
