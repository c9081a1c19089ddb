"""Alternating timings of rival ways to do one job, so that ratios hold on a busy machine."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


def measure(
    cases: Mapping[str, Callable[[], int | float]],
    rounds: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Run every case once per round, in turn, and return its rates in units a second.

    A case does its whole job and returns how many units (bytes, files, frames) it did.
    The first, unmeasured round warms caches and finds out if a case breaks.  With
    ``clock=time.process_time`` rates are per CPU second of this process: for work on one thread.
    """
    for run in cases.values():
        run()
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            begin = clock()
            units = run()
            rates[name].append(units / max(clock() - begin, 1e-9))
    return rates


def ratio(rates: Mapping[str, Sequence[float]], name: str, to: str) -> float:
    """Return the median over rounds of one case's rate divided by another's in the same round."""
    return statistics.median(a / b for a, b in zip(rates[name], rates[to], strict=True))


@dataclass(frozen=True)
class Row:
    """One line of ``bench.py``'s table: ours, the peer and the limit from one alternating run.

    ``ours`` and the others are medians of rates in ``unit``; ``lowest`` and ``highest`` are the
    extremes of ours; ``to_peer`` and ``to_limit`` are medians of the ratios within each round.
    ``reach`` is the figure that ``to_peer`` ought to reach.
    """

    job: str
    unit: str
    ours: float
    lowest: float
    highest: float
    rounds: int
    peer_name: str = ""
    peer: float | None = None
    to_peer: float | None = None
    limit: float | None = None
    to_limit: float | None = None
    reach: float | None = None


@dataclass(frozen=True)
class Names:
    """Which cases of a measurement are ours, the peer and the limit."""

    ours: str
    peer: str = ""
    limit: str = ""
    reach: float | None = None


def summarise(
    job: str,
    rates: Mapping[str, Sequence[float]],
    names: Names,
    *,
    unit: str = "files/s",
    scale: float = 1.0,
) -> Row:
    """Return a measurement as one row."""
    middle = {name: statistics.median(values) / scale for name, values in rates.items()}
    ours = rates[names.ours]
    return Row(
        job,
        unit,
        ours=middle[names.ours],
        lowest=min(ours) / scale,
        highest=max(ours) / scale,
        rounds=len(ours),
        peer_name=names.peer,
        peer=middle.get(names.peer),
        to_peer=ratio(rates, names.ours, names.peer) if names.peer else None,
        limit=middle.get(names.limit),
        to_limit=ratio(rates, names.ours, names.limit) if names.limit else None,
        reach=names.reach,
    )


def print_table(
    title: str,
    rates: Mapping[str, Sequence[float]],
    *,
    peer: str,
    unit: str = "files/s",
    scale: float = 1.0,
) -> None:
    """Print the median rate of each case, divided by ``scale``, and its ratio to the peer."""
    width = max(map(len, rates))
    print(f"\n{title} ({len(rates[peer])} alternating rounds, medians)")
    print(f"{'':{width}}  {unit:>12}  {'x peer':>7}  {'lowest':>9}  {'highest':>9}")
    for name, values in rates.items():
        low, middle, high = (f(values) / scale for f in (min, statistics.median, max))
        times = ratio(rates, name, peer)
        print(f"{name:{width}}  {middle:12,.1f}  {times:7.2f}  {low:9,.1f}  {high:9,.1f}")
