"""``report`` and ``render``: commands that make something to look at."""

from pathlib import Path
from typing import Any

import click

from toolkit.commands.extraction import FOLDER
from toolkit.commands.look import find_dataset
from toolkit.errors import CtxtoolError

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


def _check_ending(_ctx: click.Context, _param: click.Parameter, path: Path | None) -> Path | None:
    if path is None:
        return None
    from toolkit.overlay import MOVING, STILL

    if path.suffix.lower() not in MOVING + STILL:
        raise click.BadParameter(f"{path.name} does not end in {', '.join(MOVING + STILL)}")
    return path


@click.command()
@click.argument("folder", type=FOLDER, default=Path("out"))
@click.option("--sample", "sample_id", metavar="ID", required=True, help="Which sample.")
@click.option(
    "--out",
    "-o",
    "path",
    type=_FILE,
    callback=_check_ending,
    help="File to write: .mp4, .gif, .png or .jpg.  [default: ID.mp4]",
)
@click.option(
    "--clip", type=click.IntRange(0), metavar="N", help="This 16-frame clip alone, from 0."
)
@click.option(
    "--fps",
    type=click.FloatRange(1, 240),
    help="Frames a second of a video or GIF.  [default: the rate of the poses]",
)
@click.option(
    "--size",
    "height",
    type=click.IntRange(64, 2160),
    default=360,
    show_default=True,
    metavar="N",
    help="Height of the frames in pixels.",
)
@click.option("--zoom", is_flag=True, help="Show only where the bodies move.")
@click.option("--overwrite", is_flag=True, help="Replace a file that is there.")
def render(
    folder: Path, sample_id: str, path: Path | None, *, overwrite: bool, **options: Any
) -> None:
    """Draw a sample's skeletons over its frames: a video, a GIF, or a picture of some frames.

    Joints in metres (NTU) are shown in space too, seen by somebody who walks around them.  FOLDER
    is a data set, or a folder that holds exactly one (default: out).

    \b
    Examples:
      ctxtool render out/ntu60 --sample S001C001P001R001A001
      ctxtool render out/ntu60 --sample S001C001P001R001A001 --clip 2 -o clip.gif --fps 15
      ctxtool render out/ntu60 --sample S001C001P001R001A001 -o sheet.png --zoom
    """
    from toolkit.overlay import RenderOptions, render_sample

    folder, path = find_dataset(folder), path or Path(f"{sample_id}.mp4")
    if path.exists() and not overwrite:
        raise CtxtoolError(f"{path} is there: name another file with -o, or add --overwrite")
    n_frames = render_sample(folder, sample_id, path, RenderOptions(**options))
    click.echo(f"wrote {path}, {n_frames} frames")
