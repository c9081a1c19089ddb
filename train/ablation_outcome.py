"""What comes of an ablation: its trainings run, the tables filled, printed and written."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from toolkit.shards import read_dataset_info
from train.ablation import AblationOptions, Planned, run_ablation
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
from train.errors import Interrupted
from train.files import write_text
from train.report_page import REPORT_FILE, write_ablation_page
from train.signals import catch_stop
from train.synthetic import Ceilings
from train.tables import Table, is_about

log = logging.getLogger(__name__)

EXIT_INCOMPLETE = 1
EXIT_SIGNAL = 128


@dataclass(frozen=True)
class Outcome:
    """What an ablation is about: tables on a data set, with the ceilings where it is synthetic."""

    tables: Sequence[Table]
    dataset: Path
    options: AblationOptions
    ceilings: Ceilings | None


def run_and_tell(planned: Sequence[Planned], outcome: Outcome) -> int:
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
