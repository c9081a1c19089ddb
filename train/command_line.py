"""What all commands of this package share: one error border, and logging to standard error."""

import logging
import os
import signal
import sys
from types import FrameType

import click

from toolkit.shards import ShardError
from train.errors import TrainError
from train.starting import raise_again

log = logging.getLogger(__name__)

EXIT_FAILED = 1
# A shell's convention for a program that a signal ended.
EXIT_INTERRUPTED = 128 + signal.SIGINT
EXIT_TERMINATED = 128 + signal.SIGTERM

EPILOG = """
\b
Exit status: 0 done, 1 failed (one sentence says why), 2 wrong usage,
130 stopped by Ctrl-C, 143 by SIGTERM.
"""


def run_command(command: click.Command) -> None:
    """Run a command; expected errors become one sentence and an exit status."""
    _exit_on_terminate()
    try:
        raise_again()
        sys.exit(command(standalone_mode=False))
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except (TrainError, ShardError, ValueError) as error:
        _fail(str(error), error)
    except OSError as error:
        _fail(f"{error.filename or 'output'}: {error.strerror or error}", error)


def set_up_logging(*, verbose: bool = False) -> None:
    """Tell warnings and progress on standard error; ``verbose`` tells more."""
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", stream=sys.stderr)


def is_main() -> bool:
    """Say whether this process is the first or only one, before or after joining the others."""
    return os.environ.get("RANK", "0") == "0"


def _exit_on_terminate() -> None:
    """Let SIGTERM end this process as an exception does, so that no file is left half written."""
    own = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() == own:
            click.echo("terminated", err=True)
            sys.exit(EXIT_TERMINATED)
        # A reading process forked from this one: it is ended by this signal, silently.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)


def _fail(sentence: str, error: BaseException) -> None:
    log.debug("raised here", exc_info=error)
    click.echo(f"Error: {sentence}", err=True)
    sys.exit(EXIT_FAILED)
