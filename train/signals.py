"""SIGTERM and Ctrl-C as a wish that the training loop grants at the next step."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopWish:
    """``signal_number`` of the first SIGTERM or SIGINT that came, 0 before."""

    def __init__(self) -> None:
        self.signal_number = 0

    def take(self, number: int, frame: FrameType | None) -> None:
        """Note a signal; a second Ctrl-C ends the program at once.

        A second SIGTERM changes nothing: torchrun and a batch system may both send one.
        """
        if self.signal_number and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal_number = self.signal_number or number


@contextmanager
def catch_stop() -> Iterator[StopWish]:
    """Collect signals instead of dying of them; one that is ignored stays ignored."""
    wish = StopWish()
    numbers = (signal.SIGTERM, signal.SIGINT)
    heeded = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, wish.take) for number in heeded}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
