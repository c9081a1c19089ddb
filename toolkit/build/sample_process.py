"""The process that reads one recording after another for a shard worker, and may die of one."""

import errno
import faulthandler
import os
import resource
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Literal

from toolkit.build.extracted import Extracted
from toolkit.build.options import BuildOptions
from toolkit.build.parent import die_with_parent
from toolkit.build.planned import PlannedSample
from toolkit.errors import SampleError
from toolkit.skeleton import SkeletonLayout

if TYPE_CHECKING:
    from toolkit.build.extract import Extractor

_BATCH_BYTES = 1 << 17
_BATCH_S = 1.0
# One that nobody needs any more holds memory: threads of a dask worker outlive a build.
IDLE_S = 90.0


@dataclass(frozen=True)
class Order:
    """What a sample process is told first; ``memory_mib`` 0 is no limit."""

    layout: SkeletonLayout
    options: BuildOptions
    memory_mib: int
    parent: int


@dataclass(frozen=True)
class Answer:
    """What became of one sample; ``kind`` says which of the fields counts.

    ``error`` of a refusal is a ``SampleError``, ``trouble`` the machine's trouble behind it, if
    any; ``text`` and ``trace`` tell of an unexpected error.
    """

    kind: Literal["ready", "extracted", "refused", "trouble", "memory", "unexpected"]
    extracted: Extracted | None = None
    error: SampleError | None = None
    trouble: OSError | None = None
    text: str = ""
    trace: str = ""


def serve(handle: int) -> None:
    """Answer the process at the other end of an inherited socket.

    Ends when that closes its end, or asks nothing for ``IDLE_S`` seconds.
    """
    connection = Connection(handle)
    try:
        order: Order = connection.recv()
        _settle(order.parent)
        # What decodes is loaded here alone.
        from toolkit.build.extract import Extractor

        extractor = Extractor(order.layout, order.options)
        _limit_memory(order.memory_mib)
        connection.send(Answer("ready"))
        while connection.poll(IDLE_S):
            _send(connection, _answer(extractor, connection.recv(), connection))
    except (EOFError, ConnectionError):
        return  # Nobody waits for an answer any more.


def _send(connection: Connection, answer: Answer) -> None:
    """Send an answer, or that memory does not suffice for it."""
    try:
        connection.send(answer)
    except MemoryError:  # Raised before the first byte is sent: while it is pickled.
        connection.send(Answer("memory"))


def _settle(parent: int) -> None:
    """Leave no trace when dying, and die with the parent even in the middle of a hung decoder."""
    faulthandler.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    die_with_parent()
    if os.getppid() != parent:
        raise EOFError


def _limit_memory(mib: int) -> None:
    """Let allocations fail beyond a limit: of what is written to, not of mere address space."""
    if mib:
        _, allowed = resource.getrlimit(resource.RLIMIT_DATA)
        limit = mib << 20
        limit = limit if allowed == resource.RLIM_INFINITY else min(limit, allowed)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


@dataclass
class _Batches:
    """Pictures on their way, a few together, so that memory stays flat however long the video.

    Whoever waits takes them for a sign of life: small ones are not kept for longer than a second.
    """

    connection: Connection
    waiting: list[bytes] = field(default_factory=list)
    n_bytes: int = 0
    sent_s: float = field(default_factory=time.monotonic)

    def add(self, jpeg: bytes) -> None:
        self.waiting.append(jpeg)
        self.n_bytes += len(jpeg)
        if self.n_bytes >= _BATCH_BYTES or time.monotonic() - self.sent_s >= _BATCH_S:
            self.flush()

    def flush(self) -> None:
        if self.waiting:
            self.connection.send(self.waiting)
        self.waiting, self.n_bytes, self.sent_s = [], 0, time.monotonic()


def _answer(extractor: "Extractor", planned: PlannedSample, connection: Connection) -> Answer:
    batches = _Batches(connection)
    try:
        extracted = extractor.extract(planned, batches.add)
        batches.flush()
        return Answer("extracted", extracted=extracted)
    except ConnectionError:
        raise
    except SampleError as error:
        return _refuse(error)
    except MemoryError:
        return Answer("memory")
    except OSError as error:
        if error.errno == errno.ENOMEM:
            return Answer("memory")
        return Answer("trouble", trouble=_plain(error))
    except Exception as error:
        # Told in words: its class may be one that cannot be sent.
        text = f"{type(error).__name__}: {error}"
        return Answer("unexpected", text=text, trace=traceback.format_exc())


def _refuse(error: SampleError) -> Answer:
    cause = error.__cause__
    if isinstance(cause, MemoryError) or getattr(cause, "errno", None) == errno.ENOMEM:
        return Answer("memory")
    trouble = _plain(cause) if isinstance(cause, OSError) else None
    return Answer("refused", error=error, trouble=trouble)


def _plain(error: OSError) -> OSError:
    """Return the error without a library's own class."""
    if error.errno is None:
        return OSError(str(error))
    return OSError(error.errno, error.strerror, error.filename)
