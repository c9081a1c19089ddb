"""Shards made by the workers of a dask.distributed cluster."""

import logging
import re
import warnings
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from toolkit.build.site import Site, UnfitMachineError, build_on_site
from toolkit.build.tasks import Rows
from toolkit.build.worker import ShardTask
from toolkit.errors import CtxtoolError

if TYPE_CHECKING:
    from distributed import Client, Future

logger = logging.getLogger(__name__)

# A shard that took this many workers with it is left to somebody who looks into it; the number
# is that of deaths after which dask itself gives a task up, by default.
_MOST_DEATHS = 4
# Trouble of one machine may spare another one.
_MOST_TRIES = 3
# A cluster that loses this many shards has a trouble of its own.
_MOST_LOST = 8
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


def run_on_cluster(tasks: Sequence[ShardTask], scheduler: str) -> Iterator[Rows]:
    """Yield the manifest rows of each shard as it is done, in any order.

    Raises ``ClusterError`` in the end when shards were lost with their workers again and again,
    and at once when the cluster is unreachable, lost, or unfit for the work.
    """
    with _quiet(), _connected(scheduler) as client:
        yield from _Dispatch(client, tasks, scheduler).results()


class _Dispatch:
    """Hands tasks to the scheduler, a few more than are at work, until all are done or lost."""

    def __init__(self, client: "Client", tasks: Sequence[ShardTask], scheduler: str) -> None:
        from distributed import as_completed

        self._client, self._scheduler = client, scheduler
        # Workers have folders of their own to start in.
        out = tasks[0].folder.absolute()
        self._site = Site.here(out)
        self._waiting = deque(replace(task, folder=out) for task in tasks)
        self._running: dict[Future[Rows], ShardTask] = {}
        self._done = as_completed(loop=client.loop)
        self._deaths: Counter[int] = Counter()
        self._troubles: Counter[int] = Counter()
        self._lost: list[int] = []
        self._workers: set[str] = set()

    def results(self) -> Iterator[Rows]:
        try:
            self._hand_over()
            while self._running:
                future = next(self._done)
                rows = self._collect(future, self._running.pop(future))
                self._hand_over()
                if rows is not None:
                    yield rows
        finally:
            self._give_up()
        if self._lost:
            raise ClusterError(_say_lost(self._lost))

    def _hand_over(self) -> None:
        """Keep enough tasks with the scheduler; look at workers that came in the meantime."""
        threads = self._client.nthreads()
        if not threads and not self._workers:
            logger.warning("%s has no workers yet; waiting for them", self._scheduler)
        if not threads.keys() <= self._workers:
            _refuse_unfit(self._client, self._site)
            self._workers |= threads.keys()
        ahead = max(_LEAST_AHEAD, _AHEAD_PER_THREAD * sum(threads.values()))
        while self._waiting and len(self._running) < ahead:
            task = self._waiting.popleft()
            future = self._client.submit(build_on_site, task, self._site, pure=False)
            self._running[future] = task
            self._done.add(future)

    def _collect(self, future: "Future[Rows]", task: ShardTask) -> Rows | None:
        """Return a task's rows, or None if it is to be tried again or lost."""
        from distributed import CancelledError, KilledWorker

        try:
            rows: Rows = future.result()
        except CancelledError as error:
            raise ClusterError(
                f"{self._scheduler}: the dask scheduler is lost or dropped the work: what is"
                " finished is kept; run the same command again to go on"
            ) from error
        except KilledWorker as error:
            self._deaths[task.number] += error.allowed_failures + 1
            self._try_again(task, lost=self._deaths[task.number] >= _MOST_DEATHS)
        except OSError:
            self._troubles[task.number] += 1
            if self._troubles[task.number] >= _MOST_TRIES:
                raise
            self._try_again(task, lost=False)
        except ImportError as error:
            _refuse_unfit(self._client, self._site)
            raise ClusterError(f"a worker of {self._scheduler} lacks {error.name}") from error
        else:
            return rows
        return None

    def _try_again(self, task: ShardTask, *, lost: bool) -> None:
        if not lost:
            self._waiting.append(task)
            return
        logger.warning("shard %d is left out: its workers died %d times", task.number, _MOST_DEATHS)
        self._lost.append(task.number)
        if len(self._lost) >= _MOST_LOST:
            raise ClusterError(_say_lost(self._lost))

    def _give_up(self) -> None:
        """Take back what nobody waits for any more."""
        if self._running and self._client.status == "running":
            self._client.cancel(list(self._running), force=True)
        self._running.clear()


def _say_lost(shards: list[int]) -> str:
    names = ", ".join(map(str, sorted(shards)))
    which = f"shard {names} was" if len(shards) == 1 else f"shards {names} were"
    return (
        f"{which} not made: {_MOST_DEATHS} workers died at it (out of memory, or killed"
        " from outside; their logs tell); everything else is finished and kept: run the same"
        " command again to try once more"
    )


def _refuse_unfit(client: "Client", site: Site) -> None:
    """Look whether scheduler and workers have this ctxtool at all."""
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

    with LocalCluster(
        n_workers=n_workers, threads_per_worker=1, dashboard_address=None, memory_limit=None,
        silence_logs=logging.CRITICAL,
    ) as cluster:  # fmt: skip
        yield cluster


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep dask's own tales off the terminal; raises ``ClusterError`` where dask is missing."""
    try:
        import distributed
    except ImportError as error:
        raise ClusterError(
            "--scheduler needs dask.distributed: pip install 'ctxtool[cluster]'"
        ) from error
    if not logger.isEnabledFor(logging.DEBUG):
        for name in ("distributed", "tornado", "asyncio"):
            _silence(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)
        yield


def _silence(name: str) -> None:
    for each in (name, *(n for n in logging.Logger.manager.loggerDict if n.startswith(f"{name}."))):
        log = logging.getLogger(each)
        log.handlers = [logging.NullHandler()]
        log.propagate = False
