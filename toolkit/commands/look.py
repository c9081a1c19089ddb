"""``inspect``, ``verify`` and ``info``: commands that look and change nothing."""

import json
from pathlib import Path
from typing import Any

import click

from toolkit.commands.extraction import FOLDER
from toolkit.commands.progress import CountBar
from toolkit.errors import CtxtoolError, DataNotFoundError

EXIT_PROBLEMS = 1
_CURE = (
    "To make damaged shards again, run the command that built them with --verify-existing;"
    " missing ones are made without it, a damaged plan.parquet needs --overwrite."
)
_FILE = click.Path(dir_okay=False, path_type=Path)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


@click.command()
@click.argument("folder", type=FOLDER, default=Path("out"))
@click.option("--sample", "sample_id", metavar="ID", help="Tell all about one sample.")
@click.option("--csv", "csv_file", type=_FILE, help="Write the manifest as CSV to this file.")
@click.option(
    "--picture",
    "picture_file",
    type=_FILE,
    help="Draw skeletons over the stored frames into this PNG: of --sample, or of a few samples.",
)
@json_option
def inspect(
    folder: Path,
    *,
    sample_id: str | None,
    csv_file: Path | None,
    picture_file: Path | None,
    as_json: bool,
) -> None:
    """Tell what a data set holds: counts by split, class and reason, sizes, drift, joints.

    FOLDER is a data set, or a folder that holds exactly one (default: out).

    \b
    Examples:
      ctxtool inspect out/ntu60
      ctxtool inspect out/ntu60 --sample S001C001P001R001A001 --picture look.png
      ctxtool inspect out/ntu60 --csv manifest.csv
      ctxtool inspect out/ntu60 --json
    """
    from toolkit import inspection, inspection_text, render

    folder = find_dataset(folder)
    if sample_id:
        facts = inspection.sample_facts(folder, sample_id)
        text = inspection_text.format_sample(facts)
    else:
        facts = inspection.dataset_facts(folder)
        text = inspection_text.format_facts(facts)
    click.echo(to_json(facts) if as_json else text)
    if csv_file:
        inspection.write_csv(folder, csv_file)
        click.echo(f"wrote {csv_file}", err=as_json)
    if picture_file:
        drawn = render.draw_sample(folder, sample_id) if sample_id else render.draw_dataset(folder)
        render.write_picture(picture_file, drawn)
        click.echo(f"wrote {picture_file}", err=as_json)


@click.command()
@click.argument("folder", type=FOLDER, default=Path("out"))
@click.option("--deep", is_flag=True, help="Decode every frame; check every offset and window.")
@click.option(
    "--jobs", "n_jobs", type=click.IntRange(1), default=None, help="Processes.  [default: cores]"
)
@json_option
def verify(folder: Path, *, deep: bool, n_jobs: int | None, as_json: bool) -> None:
    """Check a data set against its own digests; exits with 1 if anything is wrong.

    FOLDER is a data set, or a folder that holds exactly one (default: out).

    \b
    Examples:
      ctxtool verify out/ntu60
      ctxtool verify out/ntu60 --deep --jobs 8
    """
    from joblib import cpu_count

    from toolkit.verify import verify_dataset

    folder = find_dataset(folder, unfinished=True)
    with CountBar("shard") as bar:
        report = verify_dataset(folder, deep=deep, n_jobs=n_jobs or cpu_count(), progress=bar.show)
    if as_json:
        click.echo(to_json(report.to_dict()))
    else:
        for problem in report.problems:
            click.echo(f"Error: {problem}", err=True)
        click.echo(str(report))
    if report.problems:
        click.echo(_CURE, err=True)
        raise SystemExit(EXIT_PROBLEMS)


@click.command()
def info() -> None:
    """Tell which data sets, splits, raw formats and skeleton layouts ctxtool knows.

    \b
    Example:
      ctxtool info
    """
    from toolkit.datasets.overview import describe_datasets

    click.echo(describe_datasets())


def to_json(facts: dict[str, Any]) -> str:
    """Return plain values as JSON text, a key a line; NaN is no JSON and is refused."""
    return json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False)


def find_dataset(folder: Path, *, unfinished: bool = False) -> Path:
    """Return ``folder`` if it is a data set, else the only one directly inside it.

    With ``unfinished`` a folder whose build has only begun is one too.
    Raises ``DataNotFoundError`` when there is none and ``CtxtoolError`` naming all when there are
    several.
    """
    from toolkit.shards.schema import DATASET_FILE, PLAN_FILE

    mark = PLAN_FILE if unfinished else DATASET_FILE
    if (folder / mark).is_file():
        return folder
    found = sorted(path.parent for path in folder.glob(f"*/{mark}"))
    if not found:
        what = f"no {DATASET_FILE}" if folder.is_dir() else "no such folder"
        raise DataNotFoundError(
            f"{folder}: expected a finished data set (a folder with {DATASET_FILE}), found {what};"
            " make one with an extracting command (ctxtool --help), or finish one by running its"
            " command again"
        )
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise CtxtoolError(f"{folder} holds several data sets, name one of them: {names}")
    return found[0]
