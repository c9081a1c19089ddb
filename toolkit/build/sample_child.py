"""A process that reads recordings, seen from the one that started it: starts, waits, deaths."""

import errno
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from toolkit.build.planned import PlannedSample
from toolkit.build.sample_process import IDLE_S, Answer, Order
from toolkit.errors import CtxtoolError, OutOfMemoryError, SampleProcessError

# With the parent's own path, as its modules were found; the working folder is not searched.
_CODE = (
    "import sys; sys.path[:] = sys.argv[2:];"
    " from toolkit.build.sample_process import serve; serve(int(sys.argv[1]))"
)
_SLICE_S = 1.0
_END_S = 10.0
# It ends by itself after a longer idle time: never just when it is asked.
_KEEP_S = IDLE_S - 30
_STOPS = {signal.SIGINT, signal.SIGTERM}
# It computes in one thread; linear algebra would set aside 90 MiB for each core of the machine.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class StartError(CtxtoolError):
    """A sample process ended before it could take a sample: none is to blame."""

    def __init__(self, status: int) -> None:
        super().__init__(
            f"the process that reads recordings does not start ({status}): is the installation"
            " whole, and --sample-memory large enough?"
        )
        self.was_killed = status < 0


class SampleChild:
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
        """Whether it runs and has not been ended."""
        return self._end.alive and self._child.poll() is None

    @property
    def is_idle(self) -> bool:
        """Whether it has been asked nothing for so long that it may end by itself."""
        return time.monotonic() - self._used_s > _KEEP_S

    def send(self, planned: PlannedSample) -> None:
        """Ask for a sample; that the process is gone is told by what waits for the answer."""
        self.is_busy = True
        with suppress(OSError):
            self._connection.send(planned)

    def wait_ready(self, limit: float, still_wanted: Callable[[], None]) -> None:
        """Wait until the process can take a sample; raises ``StartError`` if it ends before.

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
            raise StartError(self._wait_death()) from error
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
        """Return some pictures or the answer; raises ``SampleProcessError`` if the process died."""
        try:
            message: Answer | list[bytes] = self._connection.recv()
        except (EOFError, OSError) as error:
            raise _death_error(self._wait_death()) from error
        self.is_busy = not isinstance(message, Answer)
        self._used_s = time.monotonic()
        return message

    def waits_for_disk(self) -> bool:
        """Say whether it waits, deaf to signals, for a disk or a file server."""
        return waits_for_disk(self._child.pid)

    def end(self) -> None:
        """Kill it, and forget it if it cannot die."""
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


def _death_error(status: int) -> SampleProcessError:
    if status == -signal.SIGKILL:
        return OutOfMemoryError(
            "the process that read it was killed by SIGKILL, as a system does that runs out of"
            " memory"
        )
    if status < 0:
        return SampleProcessError(f"the decoder died of {signal.Signals(-status).name}")
    return SampleProcessError(f"the decoder ended its process with status {status}")
