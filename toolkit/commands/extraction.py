"""What all extracting commands share: their options, the progress bar, the last word."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from toolkit.commands.progress import SampleBar
from toolkit.errors import REASONS, DataNotFoundError

if TYPE_CHECKING:
    from toolkit.build.ledger import Ledger
    from toolkit.build.options import BuildOptions
    from toolkit.build.plan import Plan
    from toolkit.build.run import BuildSettings
    from toolkit.samples import DataSet

logger = logging.getLogger(__name__)

EXIT_NOT_ALL_OK = 3
Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _check_frame_size(_ctx: click.Context, _param: click.Parameter, size: int) -> int:
    if size and (size < 16 or size % 2):
        raise click.BadParameter(f"{size} is neither 0 nor an even number from 16")
    return size


_PICTURE_OPTIONS = [
    click.option("--skeleton-only", is_flag=True, help="Store poses alone; look for no videos."),
    click.option(
        "--frame-size",
        type=click.IntRange(0),
        default=128,
        show_default=True,
        callback=_check_frame_size,
        help="Short side of the stored pictures in pixels, an even number from 16; 0 keeps the"
        " original size.",
    ),
    click.option(
        "--quality",
        type=click.IntRange(1, 100),
        default=90,
        show_default=True,
        help="JPEG quality of the stored pictures.",
    ),
]

_RUN_OPTIONS = [
    click.option(
        "--min-frames",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Recordings with fewer pose frames get the reason too_short.",
    ),
    click.option(
        "--samples-per-shard",
        type=click.IntRange(1),
        default=64,
        show_default=True,
        help="Recordings in one shard file; one shard is one task.",
    ),
    click.option(
        "--jobs",
        "n_jobs",
        type=click.IntRange(1),
        default=None,
        help="Processes at work; the result does not depend on it.  [default: one a core]",
    ),
    click.option(
        "--limit",
        type=click.IntRange(1),
        help="Plan only the first N recordings; what is planned already stays.",
    ),
    click.option("--overwrite", is_flag=True, help="Forget an earlier build in --out."),
    click.option(
        "--allow",
        multiple=True,
        type=click.Choice(["all", *REASONS]),
        metavar="REASON",
        help="Exit with 0 even if recordings failed for this reason; 'all' allows any. Repeatable.",
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Print the plan with counts per split and class; decode and write nothing.",
    ),
]


@dataclass(frozen=True)
class RunChoices:
    """The options that decide how an extraction runs and what counts as success."""

    out: Path
    n_jobs: int | None
    limit: int | None
    overwrite: bool
    allow: tuple[str, ...]
    dry_run: bool

    @classmethod
    def take(cls, given: dict[str, Any]) -> "RunChoices":
        """Take one's own options out of a command's keyword arguments."""
        return cls(**{name: given.pop(name) for name in cls.__dataclass_fields__})

    def settings(self) -> "BuildSettings":
        """Return what the library calls these choices."""
        from joblib import cpu_count

        from toolkit.build.run import BuildSettings

        return BuildSettings(self.out, self.n_jobs or cpu_count(), self.overwrite, self.limit)


def extraction_options(*, out: str) -> Callable[[Command], Command]:
    """Add the options every extracting command has; ``out`` is the default output folder."""
    out_option = click.option(
        "--out",
        type=FOLDER,
        default=Path(out),
        show_default=True,
        help="Output folder; an unfinished build there goes on.",
    )
    options = [out_option, *_PICTURE_OPTIONS, *_RUN_OPTIONS]

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def extract(data: "DataSet", options: "BuildOptions", run: RunChoices) -> None:
    """Plan, build and report; exits with 3 when recordings failed that were not allowed to."""
    from toolkit.build.describe import describe_plan
    from toolkit.build.run import list_finished, plan_build, run_build

    for notice in data.notices:
        logger.warning("%s", notice)
    if not data.samples:
        raise DataNotFoundError(
            f"{data.name}: none of the recordings found belongs to this data set"
        )
    settings = run.settings()
    plan = plan_build(data, options, settings)
    if run.dry_run:
        click.echo(describe_plan(plan, list_finished(plan, settings)))
        return
    with SampleBar(len(plan.samples)) as progress:
        ledger = run_build(plan, settings, progress.update)
    _report(plan, ledger, run)


def _report(plan: "Plan", ledger: "Ledger", run: RunChoices) -> None:
    click.echo(f"{run.out}: {ledger}")
    _report_split(plan, run)
    refused = ledger.not_allowed(run.allow)
    if refused:
        allow = " ".join(f"--allow {reason}" for reason in refused)
        click.echo(
            f"Not all planned recordings are usable; each has its reason in the manifest"
            f" (ctxtool inspect {run.out}). To accept this, add: {allow}",
            err=True,
        )
        raise SystemExit(EXIT_NOT_ALL_OK)


def _report_split(plan: "Plan", run: RunChoices) -> None:
    from toolkit.shards import OK, SPLIT_PREFIX, read_manifest

    split = plan.header.default_split
    manifest = read_manifest(run.out)
    usable = manifest[manifest["status"] == OK]
    counts = usable[SPLIT_PREFIX + split].value_counts()
    parts = ", ".join(f"{subset} {n}" for subset, n in sorted(counts.items(), reverse=True))
    click.echo(f"split {split}: {parts or 'no usable sample'}")
