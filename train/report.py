"""``python -m train.report``, and what a finished run leaves: pictures, test figures, a page."""

from pathlib import Path
from typing import Any

import click

from train.command_line import EPILOG, run_command, set_up_logging
from train.dataset_folder import find_dataset
from train.evaluate import evaluate_run
from train.evaluation import Evaluation
from train.files import RunFolder, write_atomically, write_text
from train.pictures import draw_curves
from train.records import read_epochs
from train.report_page import N_MISTAKES, REPORT_FILE, PageOptions, refuse_foreign, write_run_page
from train.results import (
    CONFUSION_FILE,
    PER_CLASS_FILE,
    format_limits,
    list_figures,
    name_figures,
    write_evaluation,
)
from train.targets import check_target

CURVES_FILE = "curves.png"
TEST_HEADING = "## Test"


def write_report(run: Path, shards: Path | None) -> Evaluation | None:
    """Draw curves.png, and with shards evaluate the last checkpoint and tell its test figures.

    With shards it also writes what ``train.evaluate`` does, and the test section of summary.md,
    which replaces that of an earlier report; report.html shows all of it.  Raises ``TrainError``
    or ``ShardError``.
    """
    folder = RunFolder(run)
    epochs = read_epochs(folder.metrics)
    write_atomically(run / CURVES_FILE, lambda aside: draw_curves(epochs, aside))
    if shards is None:
        return None
    evaluation = evaluate_run(run, shards)
    write_evaluation(evaluation, run)
    text = folder.summary.read_text(encoding="utf-8") if folder.summary.exists() else ""
    before = text.partition(f"\n{TEST_HEADING}\n")[0].rstrip("\n")
    write_text(folder.summary, f"{before}\n\n{format_test(evaluation)}")
    write_run_page(run, run / REPORT_FILE, PageOptions(shards=find_dataset(shards)))
    return evaluation


def format_test(evaluation: Evaluation) -> str:
    """Return the test figures of a run as a section of Markdown."""
    heads = ["", *name_figures(evaluation)]
    rows = [heads, ["-"] * len(heads)]
    rows += [
        [name, *(f"{share:.2%}" for share in shares)] for name, shares in list_figures(evaluation)
    ]
    return "\n".join(
        [
            TEST_HEADING,
            "",
            f"Split {evaluation.split}, {evaluation.source['checkpoint']}: {evaluation.average}"
            " averaged over all clips of each sample.",
            "",
            *(f"| {' | '.join(cells)} |" for cells in rows),
            "",
            *(f"{sentence[0].upper()}{sentence[1:]}.\n" for sentence in format_limits(evaluation)),
            f"Accuracy of each class: [{PER_CLASS_FILE}]({PER_CLASS_FILE}).",
            "",
            f"![Training curves]({CURVES_FILE})",
            f"![Confusion]({CONFUSION_FILE})",
            "",
        ]
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--against", type=click.Path(path_type=Path), metavar="OTHER",
              help="Another run to show beside it.")  # fmt: skip
@click.option("--mistakes", "n_mistakes", type=click.IntRange(0), default=N_MISTAKES,
              show_default=True, help="Most confident mistakes shown, with clips.")  # fmt: skip
@click.option("--shards", type=click.Path(path_type=Path),
              help="Data set folder of the clips.  [default: the one trained on]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False),
              callback=check_target,
              help="The file to write.  [default: RUN/report.html]")  # fmt: skip
def report(run: Path, out: Path | None, shards: Path | None, **settings: Any) -> None:
    """Write report.html of RUN, a folder of train.run: one page that needs no network.

    Curves, confusion, classes, and the most confident mistakes with their clips, from what lies in
    the folder: train.run writes it at its end, and this command once more.
    An earlier page is replaced, another file is not.

    \b
    Examples:
      python -m train.report runs/ntu60-cross-attention-seed0
      python -m train.report runs/cross --against runs/concat --out cross-concat.html
    """
    set_up_logging()
    path = out or run / REPORT_FILE
    refuse_foreign(path)
    dataset = find_dataset(shards) if shards else None
    n_bytes = write_run_page(run, path, PageOptions(shards=dataset, **settings))
    click.echo(f"{path}: {n_bytes / 1e6:.1f} MB")


if __name__ == "__main__":
    run_command(report)
