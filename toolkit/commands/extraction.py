"""What all extracting commands share: their options, the progress bar, the last word."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from toolkit.commands.outcome import Before, read_default_split, refuse_failures, report_build
from toolkit.commands.progress import SampleBar
from toolkit.errors import REASONS, DataNotFoundError

if TYPE_CHECKING:
    from toolkit.build.options import BuildOptions
    from toolkit.build.parts import Part
    from toolkit.build.run import BuildSettings
    from toolkit.samples import DataSet

logger = logging.getLogger(__name__)

# Below it no decoder starts.
_LEAST_MEMORY_MIB = 256
Command = TypeVar("Command", bound=Callable[..., Any])

FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _check_frame_size(_ctx: click.Context, _param: click.Parameter, size: int) -> int:
    if size and (size < 16 or size % 2):
        raise click.BadParameter(f"{size} is neither 0 nor an even number from 16")
    return size


def _only_with(codec: str) -> Callable[[click.Context, click.Parameter, int], int]:
    """Return a check that an option of one codec was not given beside the other."""

    def check(ctx: click.Context, param: click.Parameter, value: int) -> int:
        given = ctx.get_parameter_source(str(param.name)) is not click.core.ParameterSource.DEFAULT
        chosen = ctx.params["codec"]
        if given and chosen != codec:
            raise click.UsageError(f"{param.opts[0]} has no effect beside --codec {chosen}")
        return value

    return check


def _check_scheduler(_ctx: click.Context, _param: click.Parameter, text: str | None) -> str | None:
    # Whoever names no scheduler loads nothing for one.
    if text is None:
        return None
    from toolkit.build.cluster import check_scheduler

    try:
        return check_scheduler(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _parse_part(_ctx: click.Context, _param: click.Parameter, text: str | None) -> "Part | None":
    if text is None:
        return None
    from toolkit.build.parts import Part

    try:
        return Part.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _check_memory(_ctx: click.Context, _param: click.Parameter, mib: int) -> int:
    if 0 < mib < _LEAST_MEMORY_MIB:
        raise click.BadParameter(f"{mib} is neither 0 nor at least {_LEAST_MEMORY_MIB}")
    return mib


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
        "--codec",
        type=click.Choice(["jpeg", "h264"]),
        default="jpeg",
        show_default=True,
        is_eager=True,
        help="How pictures are stored: each by itself, or in groups of 16 that take a fraction of"
        " the room.",
    ),
    click.option(
        "--quality",
        type=click.IntRange(1, 100),
        default=90,
        show_default=True,
        callback=_only_with("jpeg"),
        help="Quality of JPEGs.",
    ),
    click.option(
        "--crf",
        type=click.IntRange(1, 51),
        default=20,
        show_default=True,
        callback=_only_with("h264"),
        help="Constant rate factor of H.264: smaller is better and larger.",
    ),
]

ALLOW = click.option(
    "--allow",
    multiple=True,
    type=click.Choice(["all", *REASONS]),
    metavar="REASON",
    help="Exit with 0 even if recordings failed for this reason; 'all' allows any. Repeatable.",
)

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
        "--scheduler",
        metavar="ADDRESS",
        callback=_check_scheduler,
        help="Let the workers of this dask scheduler do the work, tcp://HOST:PORT, or try it with"
        " local-cluster:N workers on this machine.",
    ),
    click.option(
        "--part",
        metavar="I/N",
        callback=_parse_part,
        help="Make only part I of N of the shards; when all are made, 'ctxtool finalize' ends it.",
    ),
    click.option(
        "--sample-timeout",
        type=click.FloatRange(0),
        default=600.0,
        show_default=True,
        metavar="SECONDS",
        help="A recording that yields no picture and no end for so long gets the reason timeout;"
        " 0 waits for ever.",
    ),
    click.option(
        "--sample-memory",
        type=click.IntRange(0),
        default=4096,
        show_default=True,
        metavar="MIB",
        callback=_check_memory,
        help="A recording whose reading takes more memory gets the reason out_of_memory; at least"
        " 256, 0 is no limit.",
    ),
    click.option(
        "--limit",
        type=click.IntRange(1),
        help="Plan only the first N recordings; what is planned already stays.",
    ),
    click.option("--overwrite", is_flag=True, help="Forget an earlier build in --out."),
    click.option(
        "--verify-existing",
        is_flag=True,
        help="Compare finished shards with their digests first; damaged ones are made again.",
    ),
    ALLOW,
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
    scheduler: str | None
    part: "Part | None"
    sample_timeout: float
    sample_memory: int
    limit: int | None
    overwrite: bool
    verify_existing: bool
    allow: tuple[str, ...]
    dry_run: bool

    @classmethod
    def take(cls, given: dict[str, Any]) -> "RunChoices":
        """Take one's own options out of a command's keyword arguments."""
        run = cls(**{name: given.pop(name) for name in cls.__dataclass_fields__})
        run.refuse_contradictions()
        return run

    def refuse_contradictions(self) -> None:
        """Raise click's usage error where two choices cannot both be had."""
        if self.part and self.scheduler:
            raise click.UsageError(
                "--part and --scheduler are two ways to spread the work: name one"
            )
        if self.part and self.overwrite:
            raise click.UsageError(
                "--overwrite would remove what other parts make: remove the output folder instead"
            )
        if self.scheduler and self.n_jobs:
            raise click.UsageError("--jobs has no effect beside --scheduler: its workers count")

    def settings(self) -> "BuildSettings":
        """Return what the library calls these choices."""
        from joblib import cpu_count

        from toolkit.build.isolation import SampleLimits
        from toolkit.build.run import BuildSettings

        return BuildSettings(
            self.out,
            self.n_jobs or cpu_count(),
            self.overwrite,
            self.limit,
            self.part,
            self.scheduler,
            SampleLimits(self.sample_timeout, self.sample_memory),
            self.verify_existing,
        )


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
    from toolkit.build.run import list_finished, plan_build

    for notice in data.notices:
        logger.warning("%s", notice)
    if not data.samples:
        raise DataNotFoundError(
            f"{data.name}: none of the recordings found belongs to this data set"
        )
    settings = run.settings()
    if run.dry_run:
        plan = plan_build(data, options, settings)
        click.echo(describe_plan(plan, list_finished(plan, settings), settings.part))
    elif run.part:
        _extract_part(data, options, run, run.part)
    else:
        _extract_whole(data, options, run)


def _extract_whole(data: "DataSet", options: "BuildOptions", run: RunChoices) -> None:
    from toolkit.build.lock import locked
    from toolkit.build.run import plan_build, run_build

    settings = run.settings()
    with locked(run.out):
        plan = plan_build(data, options, settings)
        split_before = read_default_split(run.out)
        with SampleBar(len(plan)) as progress:
            ledger = run_build(plan, settings, progress.update)
    report_build(run.out, plan, ledger, run.allow, Before(progress.n_before, split_before))


def _extract_part(data: "DataSet", options: "BuildOptions", run: RunChoices, part: "Part") -> None:
    from toolkit.build.lock import locked
    from toolkit.build.parts import count_samples
    from toolkit.build.run import plan_part, run_part

    settings = run.settings()
    with locked(run.out, (part.index, part.count)):
        plan = plan_part(data, options, settings)
        with SampleBar(count_samples(plan, part)) as progress:
            ledger = run_part(plan, settings, progress.update)
    click.echo(f"{run.out}: part {part} is done: {ledger}")
    click.echo(f"when all parts are done: ctxtool finalize {run.out}")
    refuse_failures(run.out, ledger, run.allow)
