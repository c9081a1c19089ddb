"""Tables as in the paper with our numbers beside: what each training reached, Markdown, CSV."""

import csv
import io
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from toolkit.shards import read_dataset_info
from train.ablation import Planned
from train.evaluate import EvaluationOptions, evaluate_run
from train.results import EVALUATION_FILE, write_evaluation
from train.saved_run import find_checkpoint
from train.synthetic import Ceilings, is_above
from train.tables import Column, Row, Table

# fmt: off
CSV_COLUMNS = (
    "table", "row", "training", "metric", "n_seeds", "mean", "spread", "paper", "difference",
    "ceiling", "bound", "n_samples", "values",
)
# fmt: on
GAP = "–"


@dataclass(frozen=True)
class Cell:
    """One number of a table, all in percent.

    ``values`` one for each seed that is done; ``paper`` is None where the paper has none.
    ``ceiling`` and ``bound`` hold for top-1 on synthetic data, see
    :class:`~train.synthetic.Ceilings`.
    """

    table: str
    row: str
    training: str
    column: Column
    values: tuple[float, ...] = ()
    n_samples: int = 0
    paper: float | None = None
    ceiling: float | None = None
    bound: float | None = None

    @property
    def mean(self) -> float | None:
        """Mean over seeds."""
        return statistics.fmean(self.values) if self.values else None

    @property
    def spread(self) -> float | None:
        """Standard deviation over seeds (n - 1), None for fewer than two."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def difference(self) -> float | None:
        """Ours minus the paper's."""
        return None if self.mean is None or self.paper is None else self.mean - self.paper

    @property
    def leaks(self) -> bool:
        """Whether the mean is significantly above what is possible at all."""
        if self.mean is None or self.bound is None:
            return False
        return is_above(self.mean / 100, self.bound / 100, self.n_samples)


def measure_finished(planned: Iterable[Planned], dataset: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the test figures of each training by id, one for each seed that is finished.

    What a run left is taken if it is of the last state on the test subset of these very shards,
    else it is made anew.
    """
    figures: dict[str, list[dict[str, Any]]] = {}
    for item in planned:
        if item.state == "finished":
            figures.setdefault(item.training.id, []).append(_measure(item, dataset))
    return figures


def _measure(item: Planned, dataset: Path) -> dict[str, Any]:
    path = item.folder.path / EVALUATION_FILE
    last = find_checkpoint(item.folder, "last").name
    if path.exists():
        found = item.folder.read_json(path)
        wanted = {"subset": "test", "checkpoint": last, "average": "softmax"}
        wanted["split"] = item.config.data.split or ""
        wanted["fingerprint"] = read_dataset_info(dataset).fingerprint
        if all(found.get(name) == value for name, value in wanted.items()):
            return found
    if item.config.run.threads:
        torch.set_num_threads(item.config.run.threads)
    options = EvaluationOptions(workers=item.config.run.workers, device=item.config.run.device)
    evaluation = evaluate_run(item.folder.path, dataset, options)
    write_evaluation(evaluation, item.folder.path)
    return evaluation.to_dict()


@dataclass(frozen=True)
class Source:
    """Where the numbers of a table come from: figures and settings by training, and ceilings."""

    figures: Mapping[str, Sequence[Mapping[str, Any]]]
    planned: Mapping[str, Planned]
    ceilings: Ceilings | None = None


def fill_table(table: Table, source: Source) -> list[list[Cell]]:
    """Return the cells of a table, row by row, each as long as its columns."""
    return [
        [_fill_cell(table, row, i, source) for i in range(len(table.columns))] for row in table.rows
    ]


def _fill_cell(table: Table, row: Row, number: int, source: Source) -> Cell:
    column = table.columns[number]
    training = row.trainings[column.training]
    figures = source.figures.get(training, ())
    ceilings = source.ceilings if column.metric == "top1" else None
    model = source.planned[training].config.model
    return Cell(
        table=table.name,
        row=row.label,
        training=training,
        column=column,
        values=tuple(100 * figure[column.metric] for figure in figures),
        n_samples=min((figure["n_samples"] for figure in figures), default=0),
        paper=row.paper[number] if row.paper else None,
        ceiling=100 * ceilings.expected(model) if ceilings else None,
        bound=100 * ceilings.bound(model) if ceilings else None,
    )


def format_table(table: Table, rows: Sequence[Sequence[Cell]], note: str) -> str:
    """Return a table as Markdown: ours, the paper's and the difference, in percent."""
    heads, lines = list_texts(table, rows)
    return "\n".join([f"## {name_table(table)}", "", note, "", *_format_grid(heads, lines), ""])


def name_table(table: Table) -> str:
    """Return the heading of a table."""
    name = f"Table {table.name}" if table.name.isdigit() else "Extra rows"
    return f"{name}: {table.title}"


def list_texts(table: Table, rows: Sequence[Sequence[Cell]]) -> tuple[list[str], list[list[str]]]:
    """Return the headings of a table's columns, and the texts of each row: label, then numbers."""
    has_ceilings = any(cell.ceiling is not None for cells in rows for cell in cells)
    heads = [""]
    for column in table.columns:
        heads += [column.title, "paper", "difference"]
        heads += ["ceiling"] if has_ceilings and column.metric == "top1" else []
    lines = [
        [row.label, *_format_cells(cells)] for row, cells in zip(table.rows, rows, strict=True)
    ]
    return heads, lines


def _format_grid(heads: list[str], lines: list[list[str]]) -> list[str]:
    widths = [max(map(len, texts)) for texts in zip(heads, *lines, strict=True)]

    def draw(texts: list[str]) -> str:
        first, *rest = zip(texts, widths, strict=True)
        aligned = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in rest)]
        return f"| {' | '.join(aligned)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [draw(heads), draw(rule), *map(draw, lines)]


def _format_cells(cells: Sequence[Cell]) -> list[str]:
    texts = []
    for cell in cells:
        texts += [_format_ours(cell), _number(cell.paper), _number(cell.difference, "+")]
        if cell.ceiling is not None:
            texts.append(_format_ceiling(cell))
    return texts


def _format_ours(cell: Cell) -> str:
    spread = "" if cell.spread is None else f" ± {cell.spread:.2f}"
    return _number(cell.mean) + spread + (" LEAK" if cell.leaks else "")


def _format_ceiling(cell: Cell) -> str:
    more = "" if cell.bound == cell.ceiling else f" (bound {_number(cell.bound)})"
    return _number(cell.ceiling) + more


def _number(value: float | None, sign: str = "") -> str:
    return GAP if value is None else f"{value:{sign}.2f}"


def format_csv(rows: Iterable[Iterable[Cell]]) -> str:
    """Return the cells of a table as CSV, one line each; what does not exist is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for cell in (cell for cells in rows for cell in cells):
        numbers = (cell.mean, cell.spread, cell.paper, cell.difference, cell.ceiling, cell.bound)
        texts = ["" if number is None else f"{number:.4f}" for number in numbers]
        values = json.dumps([round(value, 4) for value in cell.values])
        names = (cell.table, cell.row, cell.training, cell.column.title)
        writer.writerow((*names, len(cell.values), *texts, cell.n_samples, values))
    return text.getvalue()
