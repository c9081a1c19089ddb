"""``python -m train.ablate``: the tables of the paper, our numbers beside the paper's."""

import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from toolkit.shards import read_dataset_info
from train.ablation import AblationOptions, Planned, plan_ablation, run_ablation
from train.ablation_report import (
    Cell,
    Source,
    fill_table,
    format_csv,
    format_table,
    list_texts,
    measure_finished,
    name_table,
)
from train.command_line import run_command, set_up_logging
from train.config import list_recipes, parse_assignments
from train.data import find_dataset
from train.errors import Interrupted
from train.files import write_text
from train.report_page import REPORT_FILE, write_ablation_page
from train.signals import catch_stop
from train.synthetic import CEILINGS_FILE, Ceilings, find_beside_raw, read_ceilings
from train.tables import PAPER_TABLES, Table, is_about, select_tables

log = logging.getLogger(__name__)

EXIT_INCOMPLETE = 1
EXIT_SIGNAL = 128

_EPILOG = """
\b
Exit status: 0 done; 1 a training failed or is at work elsewhere, or a score is
above its ceiling; 2 wrong usage; 130 stopped by Ctrl-C and 143 by SIGTERM, in
both cases after saving.
"""


@dataclass(frozen=True)
class Outcome:
    """What an ablation is about: tables on a data set, with the ceilings where it is synthetic."""

    tables: Sequence[Table]
    dataset: Path
    options: AblationOptions
    ceilings: Ceilings | None


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.option("--shards", type=click.Path(path_type=Path), required=True,
              help="Data set folder, or the folder that holds exactly one.")  # fmt: skip
@click.option("--table", "wanted", required=True, multiple=True,
              type=click.Choice([*PAPER_TABLES, "extra", "all"]),
              help="Table of the paper; may be repeated. All takes those about the"
              " data set.")  # fmt: skip
@click.option("--extra", is_flag=True, help="Also what the paper leaves open (Tables 3 to 6).")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True,
              help="Trainings of each kind, with seeds 0, 1, ...")  # fmt: skip
@click.option("--recipe", metavar="NAME|FILE", help="Settings all trainings share: a TOML"
              f" file or one of {', '.join(list_recipes())}.  [default: the paper's]")  # fmt: skip
@click.option("--set", "assignments", multiple=True, metavar="SECTION.FIELD=VALUE",
              help="Change a setting of all trainings; may be repeated.")  # fmt: skip
@click.option("--launch", default=shlex.quote(sys.executable), metavar="COMMAND",
              help="What begins each training's command, for example"
              " 'torchrun --nproc-per-node 8'.  [default: this Python]")  # fmt: skip
@click.option("--ceilings", "ceilings_file", type=click.Path(path_type=Path, dir_okay=False),
              help="ceilings.json of synthetic data.  [default: beside the raw data]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Folder of all results.  [default: runs/ablation-DATA]")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print each training's command, and run none.")
def ablate(
    *,
    shards: Path,
    wanted: tuple[str, ...],
    extra: bool,
    ceilings_file: Path | None,
    dry_run: bool,
    **settings: Any,
) -> int:
    """Train every network of a table of the paper and print the table with our numbers.

    Each distinct training runs once per seed, whatever the number of tables it is in. The same
    command again goes on where it was: finished trainings are skipped, the one under way is
    resumed from its checkpoint. Started a second time beside itself, it shares the work.

    \b
    Examples:
      python -m train.ablate --shards out/ --table 3 --recipe demo --seeds 3
      python -m train.ablate --shards out/ntu60 --table 7 --launch 'torchrun --nproc-per-node 8'
      python -m train.ablate --shards out/kinetics-motion --table all --extra --dry-run
    """
    set_up_logging()
    dataset = find_dataset(shards)
    name = read_dataset_info(dataset).name
    try:
        tables = select_tables(wanted, name, extra=extra)
        options = _make_options(name, **settings)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    planned = plan_ablation(tables, dataset, options)
    if dry_run:
        click.echo("\n".join(f"{p.state:8}  {shlex.join(p.command)}" for p in planned))
        return 0
    outcome = Outcome(tables, dataset, options, _find_ceilings(ceilings_file, dataset))
    return _run(planned, outcome)


def _make_options(
    name: str,
    *,
    seeds: int,
    recipe: str | None,
    assignments: tuple[str, ...],
    launch: str,
    out: Path | None,
) -> AblationOptions:
    folder = out or Path("runs") / f"ablation-{name}"
    changes = parse_assignments(assignments)
    return AblationOptions(folder, tuple(shlex.split(launch)), seeds, recipe, changes)


def _find_ceilings(file: Path | None, dataset: Path) -> Ceilings | None:
    path = file or find_beside_raw(dataset, CEILINGS_FILE)
    if path is None:
        return None
    log.info("synthetic data, exact ceilings in %s", path)
    return read_ceilings(path)


def _run(planned: Sequence[Planned], outcome: Outcome) -> int:
    """Run what is left, print and write the tables as far as they go; return the exit status."""
    left: list[Planned] = []
    signal_number = 0
    try:
        with catch_stop() as stop:
            left = run_ablation(planned, stop)
    except Interrupted as interrupted:
        signal_number = interrupted.signal_number
    leaks = write_tables(planned, outcome)
    for item in left:
        log.error("%s has no result", item.name)
    for cell in leaks:
        log.error("table %s, %s: above what is possible, a leak", cell.table, cell.row)
    if signal_number:
        log.error("stopped and saved; the same command again goes on")
        return EXIT_SIGNAL + signal_number
    return EXIT_INCOMPLETE if left or leaks else 0


def write_tables(planned: Sequence[Planned], outcome: Outcome) -> list[Cell]:
    """Print and write every table from the trainings that are finished; return cells that leak."""
    by_id = {item.training.id: item for item in planned}
    source = Source(measure_finished(planned, outcome.dataset), by_id, outcome.ceilings)
    leaks: list[Cell] = []
    shown: list[dict[str, Any]] = []
    for table in outcome.tables:
        rows = fill_table(table, source)
        note = describe(table, rows, outcome)
        text = format_table(table, rows, note)
        heads, lines = list_texts(table, rows)
        shown.append({"title": name_table(table), "note": note, "heads": heads, "rows": lines})
        stem = f"table-{table.name}" if table.name.isdigit() else "table-extra"
        write_text(outcome.options.out / f"{stem}.md", text)
        write_text(outcome.options.out / f"{stem}.csv", format_csv(rows))
        click.echo(text)
        leaks += [cell for cells in rows for cell in cells if cell.leaks]
    _write_page(planned, outcome, shown)
    return leaks


def _write_page(
    planned: Sequence[Planned], outcome: Outcome, shown: Sequence[dict[str, Any]]
) -> None:
    """Write report.html: all tables, and the way to the page of each training."""
    name, out = read_dataset_info(outcome.dataset).name, outcome.options.out
    pages = [item.folder.path / REPORT_FILE for item in planned]
    runs = [
        [item.name, item.state, f"{quote(item.name)}/{REPORT_FILE}" if page.exists() else ""]
        for item, page in zip(planned, pages, strict=True)
    ]
    n_done = sum(item.state == "finished" for item in planned)
    lead = (
        f"{', '.join(table['title'] for table in shown)}. Trained on {name}, ours beside the"
        f" paper's: {n_done} of {len(planned)} trainings are finished."
    )
    facts = {"title": out.absolute().name, "lead": lead}
    write_ablation_page(out / REPORT_FILE, facts, shown, runs)


def describe(table: Table, rows: Sequence[Sequence[Cell]], outcome: Outcome) -> str:
    """Return what one must know to read a table."""
    info = read_dataset_info(outcome.dataset)
    options = outcome.options
    n_samples = max(cell.n_samples for cells in rows for cell in cells)
    parts = [
        f"Percent of {n_samples} test samples of {info.name}; {_describe_seeds(rows, options)};"
        f" difference: ours minus the paper's; recipe {options.recipe or 'of the paper'}"
        + "".join(f", {name} = {value}" for name, value in (options.changes or {}).items())
        + "."
    ]
    if outcome.ceilings:
        parts.append(
            "Synthetic data: the paper's numbers are of other data and no yardstick; what can be"
            " reached at best is the ceiling (bound: what no network of that kind can exceed)."
        )
    elif not is_about(table, info.name):
        parts.append(f"The paper's numbers are of {table.data}, not of {info.name}.")
    return " ".join(parts)


def _describe_seeds(rows: Sequence[Sequence[Cell]], options: AblationOptions) -> str:
    n_seeds, done = options.n_seeds, [len(cell.values) for cells in rows for cell in cells]
    told = "one seed" if n_seeds == 1 else f"mean ± standard deviation over {n_seeds} seeds"
    if min(done) == n_seeds:
        return told
    return told + f" where all are done, here {min(done)} to {max(done)}"


if __name__ == "__main__":
    run_command(ablate)
