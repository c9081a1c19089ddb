"""Where the command ``ctxtool`` begins: Ctrl-C ends it in one sentence from the first import on."""

import os
import signal
import sys

_SAID = b"interrupted; nothing has begun\n"
_EXIT_INTERRUPTED = 130


def main() -> None:
    """Load the command line, which takes most of a second, and run it."""
    # One that is ignored, as in the background of a script, stays ignored.
    heeded = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeded:
        signal.signal(signal.SIGINT, _end)
    from toolkit.cli import main as run

    try:
        if heeded:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        run()
    except KeyboardInterrupt:  # Before the command line looks for it, or a second one after.
        sys.exit(_EXIT_INTERRUPTED)


def _end(*_: object) -> None:
    # Not by an exception: some modules swallow those while they are loaded.
    os.write(2, _SAID)
    os._exit(_EXIT_INTERRUPTED)
