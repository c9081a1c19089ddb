"""Ctrl-C and SIGTERM while a command of this package loads its modules, which takes seconds."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_SAID = {
    signal.SIGINT: b"interrupted; nothing has begun\n",
    signal.SIGTERM: b"terminated; nothing has begun\n",
}


def end_quietly() -> None:
    """Let Ctrl-C end this process with 130 and one sentence; a Ctrl-C that is ignored stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raise_again() -> None:
    """Let Ctrl-C be an exception again: work begins."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def loading() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end this process at once, while a command loads what it lacks.

    A signal that is ignored stays so.
    """
    end_quietly()
    before = signal.getsignal(signal.SIGTERM)
    # Neither ignored nor left to the system, which needs no help.
    is_handled = callable(before)
    if is_handled:
        signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        if is_handled:
            signal.signal(signal.SIGTERM, before)
        raise_again()


def _end(number: int, _: object) -> None:
    # Not by an exception: some modules swallow those while they are loaded.
    os.write(2, _SAID[signal.Signals(number)])
    os._exit(128 + number)
