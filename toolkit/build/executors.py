"""Who does the work: one shard a task, in this process or in several."""

import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing import resource_tracker
from typing import TypeVar

import joblib
from joblib.externals.loky.backend import resource_tracker as loky_tracker
from joblib.externals.loky.process_executor import TerminatedWorkerError

from toolkit.errors import CtxtoolError

_STOPS = {signal.SIGINT, signal.SIGTERM}
Task = TypeVar("Task")
Result = TypeVar("Result")


class WorkerDiedError(CtxtoolError):
    """A worker process was killed (out of memory, a crashing decoder); finished shards are kept."""


def run_tasks(
    work: Callable[[Task], Result], tasks: Sequence[Task], n_jobs: int
) -> Iterator[Result]:
    """Yield the result of each task as it is done, in any order.

    With one job everything runs in this process.  Raises ``WorkerDiedError`` when a process dies.
    """
    if n_jobs == 1 or len(tasks) <= 1:
        yield from map(work, tasks)
        return
    # One task at a time and none in reserve: a shard is minutes of work, handing over is nothing.
    pool = joblib.Parallel(
        n_jobs=min(n_jobs, len(tasks)), batch_size=1, pre_dispatch="n_jobs", max_nbytes=None,
        return_as="generator_unordered",
    )  # fmt: skip
    try:
        with _stops_held_back() as waiting:
            results = pool(joblib.delayed(_in_child)(work, task) for task in tasks)
        # Of tasks that a stop cuts short joblib would say, from a thread, that they were a waste.
        warnings.filterwarnings("ignore", r"[0-9]+ tasks ", UserWarning)
        with closing(results):
            for number in waiting:
                signal.raise_signal(number)
            yield from results
    except TerminatedWorkerError as error:
        raise WorkerDiedError(
            "a worker process died (killed from outside, out of memory, or a crashing decoder);"
            " what is finished is kept: run the same command again to go on, as ctxtool -v ..."
            " --jobs 1 to be told each recording before it is read"
        ) from error


@contextmanager
def _stops_held_back() -> Iterator[list[int]]:
    """Keep Ctrl-C and SIGTERM waiting, in the list given, while processes are started.

    A stop in the middle of it leaves joblib's pool in no state to be ended; and the processes,
    which inherit the blocked signals, would each print a traceback before their first task.
    """
    waiting: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield waiting  # Python lets only the main thread look at signals.
        return
    # Both trackers of semaphores, loky's and Python's, unblock signals when they start.
    loky_tracker.ensure_running()
    resource_tracker.ensure_running()
    handlers = {s: signal.signal(s, lambda number, _: waiting.append(number)) for s in _STOPS}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield waiting
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for stop, handler in handlers.items():
            signal.signal(stop, handler)


def _in_child(work: Callable[[Task], Result], task: Task) -> Result:
    # Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPS)
    return work(task)
