"""Recordings read in a process of their own: a decoder that crashes or hangs costs one sample."""

import errno
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from toolkit.build.extracted import AddPicture, Extracted
from toolkit.build.options import BuildOptions
from toolkit.build.planned import PlannedSample
from toolkit.build.sample_process import IDLE_S, Answer, Order
from toolkit.errors import (
    CtxtoolError,
    OutOfMemoryError,
    SampleCrashedError,
    SampleProcessError,
    TimedOutError,
)
from toolkit.skeleton import SkeletonLayout

logger = logging.getLogger(__name__)

# With the parent's own path, as its modules were found; the working folder is not searched.
_CODE = (
    "import sys; sys.path[:] = sys.argv[2:];"
    " from toolkit.build.sample_process import serve; serve(int(sys.argv[1]))"
)
_SLICE_S = 1.0
_END_S = 10.0
# It ends by itself after a longer idle time: never just when it is asked.
_KEEP_S = IDLE_S - 30
_MOST_STARTS = 3
# Imports from a slow file server take long: more than a short --sample-timeout allows a picture.
_START_S = 60.0
_STOPS = {signal.SIGINT, signal.SIGTERM}
# It computes in one thread; linear algebra would set aside 90 MiB for each core of the machine.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True)
class SampleLimits:
    """What one recording may take before it is given up; 0 is no limit.

    ``timeout_s`` is the longest time without a picture or an answer, ``memory_mib`` what the
    process that reads it may allocate.  Raises ``ValueError`` naming one below 0.
    """

    timeout_s: float = 600.0
    memory_mib: int = 4096

    def __post_init__(self) -> None:
        for name in ("timeout_s", "memory_mib"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name.replace('_', ' ')} cannot be {getattr(self, name)}")


class IsolatedSource:
    """Extracts planned samples in another process, which is kept from shard to shard.

    ``still_wanted`` is called about every second of waiting and may raise.
    """

    def __init__(
        self,
        layout: SkeletonLayout,
        options: BuildOptions,
        limits: SampleLimits,
        still_wanted: Callable[[], None],
    ) -> None:
        self._order = Order(layout, options, limits.memory_mib, os.getpid())
        self._limits, self._still_wanted = limits, still_wanted
        self._process = _take(self._order)

    def extract(self, planned: PlannedSample, add_picture: AddPicture) -> Extracted:
        """Return the sample; pictures come as they are made.

        Raises what extracting in this process would raise, and beside it ``TimedOutError``, or a
        ``SampleProcessError`` after which the same sample is worth another try in a new process.
        """
        process = self._take_ready()
        try:
            process.send(planned)
            while not isinstance(message := self._receive(process, planned), Answer):
                for jpeg in message:
                    add_picture(jpeg)
            return _open_answer(message, planned, self._limits)
        except (MemoryError, SampleProcessError, TimedOutError):
            process.end()  # Its heap is not to be trusted with the next one.
            raise
        except BaseException:
            if process.is_busy:
                process.end()
            raise

    def _take_ready(self) -> "_Process":
        """Return a process that waits for a sample; one killed at its start is nothing."""
        limit = self._limits.timeout_s and max(self._limits.timeout_s, _START_S)
        n_starts = 0
        while True:
            process = self._process = _take(self._order, self._process)
            try:
                process.wait_ready(limit, self._still_wanted)
                return process
            except _StartError as error:
                n_starts += 1
                if n_starts == _MOST_STARTS or not error.was_killed:
                    raise
                logger.warning("%s; trying once more", error)

    def _receive(self, process: "_Process", planned: PlannedSample) -> "Answer | list[bytes]":
        limit = self._limits.timeout_s
        if not process.wait_message(limit, self._still_wanted):
            if process.waits_for_disk():
                raise OSError(
                    errno.EIO,
                    f"its disk or file server gives no answer within {limit:g} s"
                    f" (recording {planned.sample_id})",
                    planned.video.path or planned.poses.path,
                )
            raise TimedOutError(
                f"{planned.sample_id}: no picture and no answer within {limit:g} s"
                " (--sample-timeout)"
            )
        return process.receive()


class _StartError(CtxtoolError):
    """A sample process ended before it could take a sample: none is to blame."""

    def __init__(self, status: int) -> None:
        super().__init__(
            f"the process that reads recordings does not start ({status}): is the installation"
            " whole, and --sample-memory large enough?"
        )
        self.was_killed = status < 0


class _Process:
    """A sample process and the line to it."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.is_busy = False
        self._is_ready = False
        self._used_s = time.monotonic()
        self._connection, self._child = _start()
        self._end = weakref.finalize(self, _end, self._connection, self._child)
        with suppress(OSError):  # A process that died at once is told of when it is waited for.
            self._connection.send(order)

    @property
    def is_alive(self) -> bool:
        return self._end.alive and self._child.poll() is None

    @property
    def is_idle(self) -> bool:
        return time.monotonic() - self._used_s > _KEEP_S

    def send(self, planned: PlannedSample) -> None:
        self.is_busy = True
        with suppress(OSError):  # As above.
            self._connection.send(planned)

    def wait_ready(self, limit: float, still_wanted: Callable[[], None]) -> None:
        """Wait until the process can take a sample; raises ``_StartError`` if it ends before.

        Raises ``CtxtoolError`` where it has not started in so many seconds.
        """
        if self._is_ready:
            return
        try:
            if not self.wait_message(limit, still_wanted):
                raise CtxtoolError(
                    f"the process that reads recordings has not started within {limit:g} s: does"
                    " the disk or file server of the installation give no answer?"
                )
        except BaseException:
            self.end()
            raise
        try:
            self._connection.recv()
        except (EOFError, OSError) as error:
            raise _StartError(self._wait_death()) from error
        self._is_ready = True

    def wait_message(self, limit: float, still_wanted: Callable[[], None]) -> bool:
        """Wait for a message or the end of the process, 0 without limit; False if none came.

        Turns of waiting are counted, so time spent stopped is none.
        """
        turn, waited = min(_SLICE_S, limit or _SLICE_S), 0.0
        while not self._connection.poll(turn):
            still_wanted()
            waited += turn
            if limit and waited >= limit:
                return False
        return True

    def receive(self) -> "Answer | list[bytes]":
        try:
            message: Answer | list[bytes] = self._connection.recv()
        except (EOFError, OSError) as error:
            raise _death_error(self._wait_death()) from error
        self.is_busy = not isinstance(message, Answer)
        self._used_s = time.monotonic()
        return message

    def waits_for_disk(self) -> bool:
        return waits_for_disk(self._child.pid)

    def end(self) -> None:
        self._end()

    def _wait_death(self) -> int:
        with suppress(subprocess.TimeoutExpired):
            return self._child.wait(_END_S)
        self._child.kill()
        try:
            return self._child.wait(_END_S)
        except subprocess.TimeoutExpired as error:
            # Only what waits for those is deaf to this signal.
            raise OSError(
                errno.EIO,
                "does not end when killed: its disk or file server gives no answer",
                f"process {self._child.pid}, which reads recordings",
            ) from error


def _start() -> tuple[Connection, "subprocess.Popen[bytes]"]:
    ours, theirs = Pipe()
    try:
        with _stops_blocked():
            child = subprocess.Popen(
                [sys.executable, "-c", _CODE, str(theirs.fileno()), *sys.path],
                pass_fds=[theirs.fileno()], env=os.environ | _ONE_THREAD,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return ours, child


@contextmanager
def _stops_blocked() -> Iterator[None]:
    # A child inherits the mask: of Ctrl-C, which reaches all, its parent decides what it means.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _end(connection: Connection, child: "subprocess.Popen[bytes]") -> None:
    connection.close()
    child.kill()
    # One that waits for a file server dies only when that answers.
    with suppress(subprocess.TimeoutExpired):
        child.wait(_END_S)


def waits_for_disk(process: int, proc: Path = Path("/proc")) -> bool:
    """Say whether a thread of a process waits, deaf to signals, for a disk or a file server."""
    for path in (proc / str(process) / "task").glob("*/stat"):
        with suppress(OSError):  # A thread may end meanwhile.
            # PID (NAME) STATE ..., and a name may hold parentheses.
            if path.read_text(errors="replace").rpartition(")")[2].split()[0] == "D":
                return True
    return False


class _Kept(threading.local):
    """The process of each thread: it dies with the thread that started it."""

    process: _Process | None = None


_kept = _Kept()


def _take(order: Order, process: _Process | None = None) -> _Process:
    """Return the process given or kept if it can do the work, else a new one."""
    process = process or _kept.process
    if process is not None and _can_serve(process, order):
        return process
    if process is not None:
        process.end()
    _kept.process = _Process(order)
    return _kept.process


def _can_serve(process: _Process, order: Order) -> bool:
    is_free = process.is_alive and not (process.is_busy or process.is_idle)
    return is_free and process.order == order


def _open_answer(answer: Answer, planned: PlannedSample, limits: SampleLimits) -> Extracted:
    if answer.kind == "memory":
        if not limits.memory_mib:
            raise MemoryError
        raise OutOfMemoryError(
            f"{planned.sample_id}: reading it takes more than {limits.memory_mib} MiB"
            " (--sample-memory)"
        )
    if answer.error is not None:
        raise answer.error from answer.trouble
    if answer.trouble is not None:
        raise answer.trouble
    if answer.extracted is None:
        logger.error(
            "sample %s: unexpected error, please report it\n%s", planned.sample_id, answer.trace
        )
        raise SampleCrashedError(f"unexpected {answer.text}")
    return answer.extracted


def _death_error(status: int) -> SampleProcessError:
    if status == -signal.SIGKILL:
        return OutOfMemoryError(
            "the process that read it was killed by SIGKILL, as a system does that runs out of"
            " memory"
        )
    if status < 0:
        return SampleProcessError(f"the decoder died of {signal.Signals(-status).name}")
    return SampleProcessError(f"the decoder ended its process with status {status}")
