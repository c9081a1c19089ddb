"""Who does the work: one shard a task, in this process or in several."""

import logging
import os
import signal
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing import resource_tracker
from typing import TypeVar

import joblib
from joblib.externals.loky.backend import resource_tracker as loky_tracker
from joblib.externals.loky.process_executor import TerminatedWorkerError

from toolkit.build.parent import die_with_parent
from toolkit.errors import CtxtoolError
from toolkit.shards.stops import STOPS, hold_stops_back, raise_stops

logger = logging.getLogger(__name__)

# So many deaths while no shard is finished make suspects of those that were under way.
_MOST_DEATHS = 2
# A suspect is tried so often with no other beside it; one death may be an accident.
_MOST_TRIES = 2
# Where so many shards kill their processes, the machine is to blame.
_MOST_LEFT_OUT = 8
_DIED = (
    "{} could not be made: the process died each time, with no other beside it too (killed from"
    " outside, or out of memory); what is finished is kept: run the same command again to go on,"
    " with fewer --jobs if memory is short"
)
Task = TypeVar("Task")
Result = TypeVar("Result")


class WorkerDiedError(CtxtoolError):
    """Worker processes were killed again and again; finished shards are kept."""


def run_tasks(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    n_jobs: int,
    tidy: Callable[[], None] = lambda: None,
) -> Generator[Result, None, None]:
    """Yield the result of each task as it is done, in any order.

    With one job everything runs in this process.  Where a process dies, the processes are started
    anew with what is left; tasks at which they die again and again are tried alone, so that only
    the guilty are lost.  ``tidy`` puts in order what dead processes left behind, those included
    that were killed because nobody waits for the rest.  Raises ``WorkerDiedError`` in the end when
    tasks were lost, and at once when they are many.
    """
    if n_jobs == 1 or len(tasks) <= 1:
        yield from map(work, tasks)
        return
    try:
        yield from _run_in_pools(work, tasks, n_jobs, tidy)
    finally:
        tidy()


def _run_in_pools(
    work: Callable[[Task], Result], tasks: Sequence[Task], n_jobs: int, tidy: Callable[[], None]
) -> Generator[Result, None, None]:
    # By their places: a task is made when it is handed out, and may be large.
    left = dict.fromkeys(range(len(tasks)))
    suspects: dict[int, None] = {}
    lost: list[int] = []
    n_deaths = 0
    while left:
        if n_deaths == _MOST_DEATHS:
            yield from _try_alone(work, tasks, list(suspects), lost, tidy)
            left = dict.fromkeys(place for place in left if place not in suspects)
            suspects, n_deaths = {}, 0
            continue
        try:
            with closing(_run_pool(work, tasks, list(left), n_jobs)) as results:
                for place, result in results:
                    del left[place]
                    suspects, n_deaths = {}, 0
                    yield result
        except TerminatedWorkerError:
            n_deaths += 1
            tidy()
            logger.warning("a worker process died; beginning anew with %d shards", len(left))
            first = list(left)[:n_jobs]
            suspects |= dict.fromkeys(first)
            # What was under way comes behind the others: one of it may be what kills.
            left = dict.fromkeys([*list(left)[n_jobs:], *first])
    if lost:
        raise _explain(lost)


def _try_alone(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    places: Sequence[int],
    lost: list[int],
    tidy: Callable[[], None],
) -> Generator[Result, None, None]:
    """Yield the results of tasks done one at a time; those at which processes die go to ``lost``.

    Raises ``WorkerDiedError`` when these are many.
    """
    for place in places:
        for _ in range(_MOST_TRIES):
            try:
                with closing(_run_pool(work, tasks, [place], 1)) as results:
                    for _, result in results:
                        yield result
                break
            except TerminatedWorkerError:
                tidy()
        else:
            lost.append(place)
            if len(lost) == _MOST_LEFT_OUT:
                raise _explain(lost)


def _explain(lost: Sequence[int]) -> WorkerDiedError:
    return WorkerDiedError(_DIED.format("1 shard" if len(lost) == 1 else f"{len(lost)} shards"))


def _run_pool(
    work: Callable[[Task], Result], tasks: Sequence[Task], places: Sequence[int], n_jobs: int
) -> Generator[tuple[int, Result], None, None]:
    # One task at a time and none in reserve: a shard is minutes of work, handing over is nothing.
    # Two processes even for a last task: one that kills must not kill this process.
    pool = joblib.Parallel(
        n_jobs=max(2, min(n_jobs, len(places))), batch_size=1, pre_dispatch="n_jobs",
        max_nbytes=None, return_as="generator_unordered", backend="loky",
        initializer=_settle, initargs=(os.getpid(),),
    )  # fmt: skip
    with _stops_held_back() as waiting:
        results = pool(joblib.delayed(_in_child)(work, place, tasks[place]) for place in places)
    # Of tasks that a stop cuts short joblib would say, from a thread, that they were a waste.
    warnings.filterwarnings("ignore", r"[0-9]+ tasks ", UserWarning)
    with closing(results):
        raise_stops(waiting)
        yield from results


@contextmanager
def _stops_held_back() -> Iterator[list[int]]:
    """Keep Ctrl-C and SIGTERM waiting, in the list given, while processes are started.

    A stop in the middle of it leaves joblib's pool in no state to be ended; and the processes,
    which inherit the blocked signals, would each print a traceback before their first task.
    """
    # Both trackers of semaphores, loky's and Python's, unblock signals when they start.
    loky_tracker.ensure_running()
    resource_tracker.ensure_running()
    with hold_stops_back() as waiting:
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            yield waiting
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _in_child(work: Callable[[Task], Result], place: int, task: Task) -> tuple[int, Result]:
    # Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    return place, work(task)


def _settle(parent: int) -> None:
    """Let a process of the pool end with its parent, also with one that was killed meanwhile.

    joblib's processes would wait minutes for the next task.
    """
    die_with_parent()
    if os.getppid() != parent:
        os._exit(1)
