"""Who does the work: one shard a task, in this process or in several."""

import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from toolkit.errors import CtxtoolError

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
        yield from pool(joblib.delayed(_in_child)(work, task) for task in tasks)
    except TerminatedWorkerError as error:
        raise WorkerDiedError(
            "a worker process died (killed from outside, out of memory, or a crashing decoder);"
            " what is finished is kept: run the same command again to go on, as ctxtool -v ..."
            " --jobs 1 to be told each recording before it is read"
        ) from error


def _in_child(work: Callable[[Task], Result], task: Task) -> Result:
    # Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return work(task)
