"""Alternating timings of rival ways to do one job, so that ratios hold on a busy machine."""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


def measure(
    cases: Mapping[str, Callable[[], int | float]],
    rounds: int = 7,
    clock: Callable[[], float] = time.perf_counter,
    before: Callable[[], None] = lambda: None,
) -> dict[str, list[float]]:
    """Run every case once per round, in turn, and return its rates in units a second.

    A case does its whole job and returns how many units (bytes, files, frames) it did.
    The first, unmeasured round warms caches and finds out if a case breaks.  With
    ``clock=read_cpu_s`` rates are per CPU second, which other programs disturb less.  ``before``
    is called before each case and not measured.
    """
    for run in cases.values():
        run()
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            before()
            begin = clock()
            units = run()
            rates[name].append(units / max(clock() - begin, 1e-9))
    return rates


def read_cpu_s() -> float:
    """Return the CPU seconds used by this process, the children it waited for and its workers."""
    ticks = 0
    for child in multiprocessing.active_children():
        stat = Path(f"/proc/{child.pid}/stat").read_text()
        ticks += sum(map(int, stat.rpartition(")")[2].split()[11:13]))
    ended = os.times()
    waited = ended.children_user + ended.children_system
    return time.process_time() + waited + ticks / os.sysconf("SC_CLK_TCK")


def ratios(rates: Mapping[str, Sequence[float]], name: str, to: str) -> list[float]:
    """Return one case's rate divided by another's in the same round, for each round."""
    return [a / b for a, b in zip(rates[name], rates[to], strict=True)]


def ratio(rates: Mapping[str, Sequence[float]], name: str, to: str) -> float:
    """Return the median of :func:`ratios`."""
    return statistics.median(ratios(rates, name, to))


@dataclass(frozen=True)
class Row:
    """One line of ``bench.py``'s table: ours, the peer and the limit from one alternating run.

    ``ours`` and the others are medians of rates in ``unit``; ``lowest`` and ``highest`` are the
    extremes of ours.  ``to_peer`` and ``to_limit`` are medians of the ratios within each round,
    the ``spread`` of each its extremes, ``reach`` and ``limit_reach`` what they ought to reach.
    A row whose peer is not installed says so in ``peer_name`` and has neither.
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
    limit_reach: float | None = None
    peer_spread: tuple[float, float] | None = None
    limit_spread: tuple[float, float] | None = None


@dataclass(frozen=True)
class Names:
    """Which cases of a measurement are ours, the peer and the limit."""

    ours: str
    peer: str = ""
    limit: str = ""
    reach: float | None = None
    limit_reach: float | None = None


def summarise(
    job: str,
    rates: Mapping[str, Sequence[float]],
    names: Names,
    *,
    unit: str = "files/s",
    scale: float = 1.0,
) -> Row:
    """Return a measurement as one row; a peer that was not measured is one not installed."""
    middle = {name: statistics.median(values) / scale for name, values in rates.items()}
    ours = rates[names.ours]
    is_missing = bool(names.peer) and names.peer not in rates
    to_peer = _ratios_if_any(rates, names.ours, names.peer)
    to_limit = _ratios_if_any(rates, names.ours, names.limit)
    return Row(
        job,
        unit,
        ours=middle[names.ours],
        lowest=min(ours) / scale,
        highest=max(ours) / scale,
        rounds=len(ours),
        peer_name=f"{names.peer}: not installed" if is_missing else names.peer,
        peer=middle.get(names.peer),
        to_peer=statistics.median(to_peer) if to_peer else None,
        limit=middle.get(names.limit),
        to_limit=statistics.median(to_limit) if to_limit else None,
        reach=names.reach,
        limit_reach=names.limit_reach,
        peer_spread=(min(to_peer), max(to_peer)) if to_peer else None,
        limit_spread=(min(to_limit), max(to_limit)) if to_limit else None,
    )


def _ratios_if_any(rates: Mapping[str, Sequence[float]], name: str, to: str) -> list[float]:
    return ratios(rates, name, to) if to in rates else []


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
