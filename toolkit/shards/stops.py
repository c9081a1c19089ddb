"""Ctrl-C and SIGTERM kept waiting where a handler's exception would be lost or do harm."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

STOPS = frozenset({signal.SIGINT, signal.SIGTERM})


@contextmanager
def hold_stops_back() -> Iterator[list[int]]:
    """Keep Ctrl-C and SIGTERM waiting, in the list given; hand it to :func:`raise_stops` later.

    Python lets only the main thread look at signals: in any other this does nothing.
    """
    waiting: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield waiting
        return
    handlers = {s: signal.signal(s, lambda number, _: waiting.append(number)) for s in STOPS}
    try:
        yield waiting
    finally:
        for stop, handler in handlers.items():
            signal.signal(stop, handler)


def raise_stops(waiting: Iterable[int]) -> None:
    """Let the signals happen that came while they were held back."""
    for number in waiting:
        signal.raise_signal(number)
