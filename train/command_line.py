"""What all commands of this package share: one error border, and logging to standard error."""

import logging
import signal
import sys

import click

from toolkit.shards import ShardError
from train.errors import TrainError

log = logging.getLogger(__name__)

EXIT_FAILED = 1
# A shell's convention for a program that Ctrl-C ended.
EXIT_INTERRUPTED = 128 + signal.SIGINT

EPILOG = "Exit status: 0 done, 1 failed (one sentence says why), 2 wrong usage, 130 by Ctrl-C."


def run_command(command: click.Command) -> None:
    """Run a command; expected errors become one sentence and an exit status."""
    try:
        sys.exit(command(standalone_mode=False))
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(EXIT_INTERRUPTED)
    except (TrainError, ShardError, ValueError) as error:
        _fail(str(error), error)
    except OSError as error:
        _fail(f"{error.filename or 'output'}: {error.strerror or error}", error)


def set_up_logging(*, verbose: bool = False) -> None:
    """Tell warnings and progress on standard error; ``verbose`` tells more."""
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", stream=sys.stderr)


def _fail(sentence: str, error: BaseException) -> None:
    log.debug("raised here", exc_info=error)
    click.echo(f"Error: {sentence}", err=True)
    sys.exit(EXIT_FAILED)
