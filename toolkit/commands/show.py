"""``report`` and ``render``: commands that make something to look at."""

from pathlib import Path

import click

from toolkit.commands.extraction import FOLDER
from toolkit.commands.look import find_dataset

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("folder", type=FOLDER, default=Path("out"))
@click.option(
    "--out",
    "-o",
    "path",
    type=_FILE,
    help="HTML file to write.  [default: report.html in FOLDER]",
)
@click.option(
    "--samples",
    "n_samples",
    type=click.IntRange(0, 500),
    default=24,
    show_default=True,
    metavar="N",
    help="Samples that carry frames: half of the worst drift, half spread over the classes.",
)
@click.option(
    "--clips",
    "n_clips",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    metavar="N",
    help="16-frame clips of each of them.",
)
def report(folder: Path, path: Path | None, n_samples: int, n_clips: int) -> None:
    """Write one HTML page that shows a data set: figures, pictures, every sample, failures.

    The page needs no network and no other file.  FOLDER is a data set, or a folder that holds
    exactly one (default: out).  An earlier report is replaced, another file is not.

    \b
    Examples:
      ctxtool report out/ntu60
      ctxtool report out/ntu60 -o look.html --samples 100 --clips 2
    """
    from toolkit.inspection_text import format_bytes
    from toolkit.report import ReportOptions, write_report

    folder = find_dataset(folder)
    options = ReportOptions(n_samples, n_clips)
    written = write_report(folder, path or folder / "report.html", options)
    click.echo(
        f"wrote {written.path}, {format_bytes(written.n_bytes)}: {written.n_samples} samples,"
        f" {written.n_shown} of them with frames"
    )
