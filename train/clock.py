"""How long training takes, and how much of it waits for data."""

import time
from collections.abc import Iterable, Iterator

from train.batch import Batch


class Clock:
    """Measures laps of training; call :meth:`lap` after anything that shall not count."""

    def __init__(self) -> None:
        self._waited_s = 0.0
        self._start = time.perf_counter()

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Yield batches and add up how long each was waited for."""
        iterator = iter(batches)
        while True:
            asked = time.perf_counter()
            batch = next(iterator, None)
            self._waited_s += time.perf_counter() - asked
            if batch is None:
                return
            yield batch

    def lap(self) -> tuple[float, float]:
        """Return the seconds since the last lap, and those spent waiting; begin the next."""
        now = time.perf_counter()
        lap = now - self._start, self._waited_s
        self._start, self._waited_s = now, 0.0
        return lap
