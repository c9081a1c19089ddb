"""The command ``ctxtool``: its group of commands and the one place where errors become exits."""

import logging
import signal
import sys

import click

from toolkit import __version__
from toolkit.commands.doctor import doctor
from toolkit.commands.estimate_poses import estimate_poses
from toolkit.commands.extract import (
    build_kinetics_motion,
    extract_kinetics,
    extract_ntu,
    extract_openpose,
)
from toolkit.commands.finalize import finalize
from toolkit.commands.look import info, inspect, verify
from toolkit.commands.show import render, report
from toolkit.commands.synthesize import synthesize
from toolkit.errors import CtxtoolError

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

_GO_ON = "an unfinished build goes on with the same command, without --overwrite"

_EPILOG = """
\b
Exit status: 0 done, 1 failed (one sentence says why), 2 wrong usage,
3 finished but recordings failed that --allow does not name,
130 interrupted (Ctrl-C), 143 terminated (SIGTERM).

\b
Shell completion: eval "$(_CTXTOOL_COMPLETE=bash_source ctxtool)" (or zsh_source, fish_source).
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.version_option(__version__, prog_name="ctxtool")
@click.option("-v", "--verbose", is_flag=True, help="Tell more about what is being done.")
def cli(*, verbose: bool) -> None:
    """Turn raw skeleton and video recordings into aligned 16-frame clips in HDF5 shards.

    \b
    A first try without any data set:
      ctxtool synthesize ntu
      ctxtool extract-ntu --split xsub
      ctxtool inspect out/ntu60
    """
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", stream=sys.stderr)


for command in (
    extract_ntu,
    extract_kinetics,
    build_kinetics_motion,
    extract_openpose,
    estimate_poses,
    finalize,
    synthesize,
    inspect,
    verify,
    report,
    render,
    info,
    doctor,
):
    cli.add_command(command)


def main() -> None:
    """Run the command line; expected errors become one sentence and an exit status."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        cli(prog_name="ctxtool", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"interrupted; {_GO_ON}", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except (CtxtoolError, ValueError) as error:
        _fail(str(error), error)
    except OSError as error:
        _fail(f"{error.filename or 'output'}: {error.strerror or error}", error)
    except MemoryError as error:
        _fail(f"out of memory; {_GO_ON}; with fewer --jobs it takes less", error)


def _terminate(_number: int, _frame: object) -> None:
    # As an exception, so that half-written files are removed and worker processes stopped.
    click.echo(f"terminated; {_GO_ON}", err=True)
    sys.exit(EXIT_TERMINATED)


def _fail(sentence: str, error: BaseException) -> None:
    logging.getLogger(__name__).debug("raised here", exc_info=error)
    click.echo(f"Error: {sentence}", err=True)
    sys.exit(EXIT_FAILED)
