"""Progress bars on stderr; silent when nobody watches."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.build.outcomes import Told


class CountBar:
    """Counts units done, with rate and time left; a context manager."""

    def __init__(self, unit: str, total: int | None = None) -> None:
        from tqdm import tqdm

        self._bar: Any = tqdm(total=total, unit=unit, disable=None, smoothing=0.05)

    def __enter__(self) -> "CountBar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def step(self, _done: object) -> None:
        """Count one unit."""
        self._bar.update(1)

    def show(self, n_done: int, total: int) -> None:
        """Show that ``n_done`` of ``total`` units are done."""
        self._bar.total = total
        self._bar.update(n_done - self._bar.n)


class SampleBar(CountBar):
    """Counts samples, failures among them, and ``n_before`` that were done when it began."""

    def __init__(self, n_samples: int) -> None:
        super().__init__("sample", n_samples)
        self._n_failed = 0
        self._started = False
        self.n_before = 0

    def __enter__(self) -> "SampleBar":
        return self

    def update(self, rows: "Told") -> None:
        """Count finished manifest rows; the first call tells what was finished before."""
        from toolkit.shards import OK

        if not self._started:
            # What an earlier run did says nothing of the rate of this one.
            self._bar.initial = self.n_before = len(rows)
            self._started = True
        self._n_failed += len(rows) - rows.count()[OK]
        self._bar.set_postfix(failed=self._n_failed, refresh=False)
        self._bar.update(len(rows))
