"""``synthesize ntu`` and ``synthesize kinetics``: stand-in raw data in the true formats."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.commands.extraction import FOLDER, Command
from toolkit.commands.progress import CountBar

if TYPE_CHECKING:
    from toolkit.synthesis import SynthesisOptions, SynthesisReport

# As in toolkit.synthesis.PRESETS; said again here so that --help loads no numpy (a test compares).
PRESET_NAMES = ("demo", "graded", "pure", "four-motions", "distinct-motions", "four-parts")


def _parse_size(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[int, int]:
    width, _, height = value.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise click.BadParameter(f"{value!r} is not a size like 128x96")
    return int(width), int(height)


_OPTIONS = [
    click.option(
        "--preset",
        type=click.Choice(PRESET_NAMES),
        default="demo",
        show_default=True,
        help="Sizes of the latents: how many scenes, postures, motions and body parts.",
    ),
    click.option("--train", "n_train", type=click.IntRange(1), default=48, show_default=True,
                 help="Training recordings."),
    click.option("--test", "n_test", type=click.IntRange(1), default=16, show_default=True,
                 help="Test recordings."),
    click.option("--frames", "n_frames", type=click.IntRange(1), default=48, show_default=True,
                 help="Frames of each recording."),
    click.option("--size", default="128x96", show_default=True, callback=_parse_size, metavar="WxH",
                 help="Size of the videos in pixels."),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True,
                 help="Same seed, same data."),
    click.option("--jobs", "n_jobs", type=click.IntRange(1), default=None,
                 help="Processes.  [default: one a core]"),
    click.option("--occlusion", type=click.FloatRange(0, 1), default=0.0, show_default=True,
                 help="Share of joints that are badly placed in a frame."),
    click.option("--phantoms", is_flag=True, help="Half the recordings list a body nobody is."),
    click.option("--gaps", is_flag=True, help="Half the recordings have frames without a body."),
]  # fmt: skip


def _synthesis_options(out: str) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(_OPTIONS):
            command = option(command)
        return click.option("--out", type=FOLDER, default=Path(out), show_default=True,
                            help="Folder to fill; must be new or empty.")(command)  # fmt: skip

    return decorate


@click.group()
def synthesize() -> None:
    """Write raw sample data in the true formats, to try everything without a data set.

    The label of each recording depends on the scene (in the picture only), the posture and the
    motion of one body part (in the skeleton only); which part counts is told by the picture alone.
    So a skeleton-only or RGB-only model has an exact ceiling, written to ceilings.json beside the
    data; the latents of each recording are in latents.csv.

    \b
    Examples:
      ctxtool synthesize ntu
      ctxtool synthesize kinetics --preset demo --train 4096 --test 512
    """


@synthesize.command("ntu")
@_synthesis_options("data/ntu")
def synthesize_ntu_command(out: Path, **given: Any) -> None:
    """Write .skeleton text and XviD AVI videos as NTU RGB+D has them.

    \b
    Example:
      ctxtool synthesize ntu --train 160 --test 40 --gaps --phantoms
    """
    from toolkit.synthesis import synthesize_ntu

    with _bar(given) as bar:
        report = synthesize_ntu(out, _options(given), bar.step)
    _tell(report)


@synthesize.command("kinetics")
@_synthesis_options("data/kinetics")
def synthesize_kinetics_command(out: Path, **given: Any) -> None:
    """Write Kinetics-skeleton JSON, label files and H.264 MP4 videos in class folders.

    \b
    Example:
      ctxtool synthesize kinetics --train 160 --test 40
    """
    from toolkit.synthesis import synthesize_kinetics

    with _bar(given) as bar:
        report = synthesize_kinetics(out, _options(given), bar.step)
    _tell(report)


def _bar(given: dict[str, Any]) -> CountBar:
    return CountBar("recording", given["n_train"] + given["n_test"])


def _options(given: dict[str, Any]) -> "SynthesisOptions":
    from joblib import cpu_count

    from toolkit.synthesis import SynthesisOptions

    return SynthesisOptions(**given | {"n_jobs": given["n_jobs"] or cpu_count()})


def _tell(report: "SynthesisReport") -> None:
    state = "were there already" if report.reused else "written"
    click.echo(
        f"{report.out}: {report.n_train} training and {report.n_test} test recordings {state}"
    )
    known = {name: value for name, value in report.ceilings.items() if isinstance(value, float)}
    click.echo("exact ceilings: " + ", ".join(f"{n} {v:.3g}" for n, v in known.items()))
    click.echo("what these mean: docs/synthetic-data.md")
