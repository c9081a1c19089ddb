"""Shards made by the workers of a dask.distributed cluster."""

import logging
import re
import signal
import warnings
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from toolkit.build.site import MachineTroubleError, Site, UnfitMachineError, build_on_site
from toolkit.build.tasks import Rows
from toolkit.build.worker import ShardTask
from toolkit.errors import CtxtoolError

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)

# After this many deaths a shard is suspected of killing its workers; dask's own limit by default.
_MOST_DEATHS = 4
# Trouble of one machine may spare another one.
_MOST_TRIES = 3
# Where so many shards kill their workers and none is ever finished, the cluster is to blame.
_MOST_SUSPECTS = 8
# Tasks handed over beyond those at work; a plan of days need not lie in the scheduler's memory.
_LEAST_AHEAD = 64
_AHEAD_PER_THREAD = 3


class ClusterError(CtxtoolError):
    """The cluster cannot do the work; what is finished is kept."""


def check_scheduler(text: str) -> str:
    """Return the text if it names a scheduler; raises ``ValueError`` if it does not."""
    if not re.fullmatch(r"(tcp|tls)://[^\s/]+:[0-9]+|local-cluster:[1-9][0-9]{0,3}", text):
        raise ValueError(f"{text!r} is neither an address like tcp://HOST:8786 nor local-cluster:N")
    return text


def run_on_cluster(tasks: Sequence[ShardTask], scheduler: str) -> Generator[Rows, None, None]:
    """Yield the manifest rows of each shard as it is done, in any order.

    Raises ``ClusterError`` in the end when shards killed their workers again and again, and at
    once when the cluster is unreachable or lost; ``UnfitMachineError`` when a machine of it cannot
    do the work.
    """
    with _quiet(), _connected(scheduler) as client:
        yield from _Dispatch(client, scheduler, tasks).results()


def _build(task: ShardTask, site: Site) -> Rows:
    """Run on a worker."""
    from distributed import Status, get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def is_wanted() -> bool:
        state = worker.state.tasks.get(key)
        # Of a closed worker nobody waits for anything; a paused one ends what it has begun.
        ended = worker.status in (Status.closing, Status.closed, Status.failed)
        return not ended and state is not None and state.state != "cancelled"

    return build_on_site(task, site, is_wanted)


class _Dispatch:
    """Hands tasks to the scheduler, a few more than are at work, until all are done or left out.

    Whoever shares a worker with a shard that kills it is counted among the dead, too.  So suspects
    are tried once more at the end, one at a time: then only the guilty die.
    """

    def __init__(self, client: "Client", scheduler: str, tasks: Sequence[ShardTask]) -> None:
        from distributed import as_completed

        self._client, self._scheduler = client, scheduler
        # Workers have working folders of their own.
        out = tasks[0].folder.absolute()
        self._site = Site.here(out)
        # Made when they are taken, as each holds its samples; those to be tried again come last.
        self._new = (replace(task, folder=out) for task in tasks)
        self._again: deque[ShardTask] = deque()
        self._suspects: deque[ShardTask] = deque()
        self._running: dict[Future[Rows], ShardTask] = {}
        self._done = as_completed(loop=client.loop)
        self._deaths: Counter[int] = Counter()
        self._tries: Counter[int] = Counter()
        self._left_out: list[int] = []
        self._n_finished = 0
        self._workers: set[str] = set()

    def results(self) -> Iterator[Rows]:
        """Yield the rows of each shard as it is done."""
        from distributed import CancelledError
        from distributed import TimeoutError as DaskTimeoutError

        # Errors of tasks have other types: see build_on_site.
        lost = (CancelledError, OSError, DaskTimeoutError)
        try:
            yield from self._work_off()
        except lost as error:
            raise ClusterError(
                f"{self._scheduler}: the dask scheduler is gone or dropped the work; what is"
                " finished is kept: run the same command again to go on"
            ) from error
        finally:
            with suppress(*lost):
                self._take_back()
        if self._left_out:
            raise ClusterError(_say_left_out(self._left_out))

    def _work_off(self) -> Iterator[Rows]:
        self._hand_over()
        while self._running:
            future = next(self._done)
            rows = self._collect(future, self._running.pop(future))
            self._hand_over()
            if rows is not None:
                yield rows

    def _hand_over(self) -> None:
        """Keep enough tasks with the scheduler."""
        n_threads = self._meet_workers()
        ahead = max(_LEAST_AHEAD, _AHEAD_PER_THREAD * n_threads)
        while len(self._running) < ahead and (task := self._take()) is not None:
            self._submit(task)
        if self._suspects and not self._running:
            self._submit(self._suspects.popleft())

    def _take(self) -> ShardTask | None:
        task = next(self._new, None)
        return self._again.popleft() if task is None and self._again else task

    def _meet_workers(self) -> int:
        """Look at the workers that came since the last time; return how many threads all have."""
        threads: dict[str, int] = self._client.nthreads()
        if not threads and not self._workers:
            logger.warning("%s has no worker yet: waiting for one", self._scheduler)
        if not threads.keys() <= self._workers:
            _refuse_unfit(self._client, self._site)
            self._workers |= threads.keys()
        return sum(threads.values())

    def _submit(self, task: ShardTask) -> None:
        future = self._client.submit(_build, task, self._site, pure=False)
        self._running[future] = task
        self._done.add(future)

    def _collect(self, future: "Future[Rows]", task: ShardTask) -> Rows | None:
        """Return a task's rows, or None if it is to be tried again or left out."""
        from distributed import KilledWorker

        try:
            rows = future.result()
        except KilledWorker as error:
            self._count_deaths(task, error.allowed_failures + 1)
        except MachineTroubleError as error:
            self._tries[task.number] += 1
            if self._tries[task.number] == _MOST_TRIES:
                raise
            logger.warning("shard %d: %s; trying it again", task.number, error)
            self._again.append(task)
        except ImportError as error:
            raise UnfitMachineError(
                f"a worker of {self._scheduler} cannot load ctxtool ({error}): install the same"
                " one there"
            ) from error
        else:
            self._n_finished += 1
            return rows
        return None

    def _count_deaths(self, task: ShardTask, n_deaths: int) -> None:
        if self._deaths[task.number] >= _MOST_DEATHS:
            self._left_out.append(task.number)
            return
        self._deaths[task.number] += n_deaths
        suspected = self._deaths[task.number] >= _MOST_DEATHS
        (self._suspects if suspected else self._again).append(task)
        if len(self._suspects) >= _MOST_SUSPECTS and not self._n_finished:
            raise ClusterError(_say_left_out([task.number for task in self._suspects]))

    def _take_back(self) -> None:
        """Let go of what nobody waits for any more; workers give it up at the next recording."""
        if self._running and self._client.status == "running":
            self._client.cancel(list(self._running), force=True)
        self._running.clear()


def _say_left_out(shards: list[int]) -> str:
    which = "shard" if len(shards) == 1 else "shards"
    return (
        f"{which} {', '.join(map(str, sorted(shards)))} could not be made: the workers died at it"
        " again and again (out of memory, or killed from outside; their logs tell); everything"
        " that is finished is kept: run the same command again to try once more"
    )


def _refuse_unfit(client: "Client", site: Site) -> None:
    """Refuse a scheduler or worker that has no ctxtool, or another one."""
    found: Any = client.get_versions(packages=["ctxtool"])
    machines = {"the scheduler": found["scheduler"]}
    machines |= {f"worker {address}": seen for address, seen in found["workers"].items()}
    for machine, seen in machines.items():
        version = seen["packages"].get("ctxtool")
        if version != site.versions["ctxtool"]:
            has = f"ctxtool {version}" if version else "no ctxtool"
            raise UnfitMachineError(
                f"{machine} has {has}, this machine has {site.versions['ctxtool']}: install the"
                " same one there"
            )


@contextmanager
def _connected(scheduler: str) -> Iterator["Client"]:
    from distributed import Client

    kind, _, count = scheduler.partition(":")
    if kind == "local-cluster":
        with _local_cluster(int(count)) as cluster, Client(cluster, set_as_default=False) as client:
            yield client
        return
    try:
        client = Client(scheduler, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"{scheduler}: no dask scheduler answers there ({error}): start one, or name another"
        ) from error
    with client:
        yield client


@contextmanager
def _local_cluster(n_workers: int) -> Iterator[object]:
    from distributed import LocalCluster

    with _deaf_to_interrupts():
        cluster = LocalCluster(
            n_workers=n_workers, threads_per_worker=1, dashboard_address="127.0.0.1:0",
            memory_limit=None, silence_logs=logging.CRITICAL,
        )  # fmt: skip
    with cluster:
        yield cluster


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let what starts here not hear Ctrl-C, which reaches all: this process alone decides."""
    # The tracker of semaphores unblocks signals when it starts.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep dask's own tales off the terminal; raises ``ClusterError`` where dask is missing."""
    try:
        from distributed.versions import VersionMismatchWarning
    except ImportError as error:
        raise ClusterError(
            "--scheduler needs dask.distributed: pip install 'ctxtool[cluster]'"
        ) from error
    if not logger.isEnabledFor(logging.DEBUG):
        for name in ("distributed", "tornado", "asyncio"):
            _silence(name)
    with warnings.catch_warnings():
        # Which versions matter is known here better, and checked.
        warnings.simplefilter("ignore", VersionMismatchWarning)
        yield


def _silence(name: str) -> None:
    known = logging.Logger.manager.loggerDict
    for each in (name, *(other for other in known if other.startswith(f"{name}."))):
        log = logging.getLogger(each)
        log.handlers = [logging.NullHandler()]
        log.propagate = False
