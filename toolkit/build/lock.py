"""One build at a time in an output folder: a lock of the kernel's, gone with whoever held it."""

import errno
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from toolkit.errors import OutputInUseError

try:
    import fcntl
except ImportError:  # Windows: treated as a file system that knows no locks.
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

LOCK_FILE = ".lock"
_PLANNING_FILE = ".planning.lock"
_CANNOT_LOCK = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
_LONGEST_HOLDER = 200
# Nothing is written through a link that somebody laid here.
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def locked(out: Path, part: tuple[int, int] | None = None) -> Iterator[None]:
    """Keep other builds out of an output folder, which is made if it is not there.

    A whole build holds the folder alone.  A ``part`` (i, n) holds it together with other parts,
    and alone what is its own.  Whoever is killed holds nothing any more.  Raises
    ``OutputInUseError`` naming the holder; where the file system knows no locks, warns and goes on.
    """
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        if part is None:
            held.enter_context(_held(out / LOCK_FILE, str(out), "", shared=False))
        else:
            i, n = part
            who = f"part {i}/{n}, "
            held.enter_context(_held(out / LOCK_FILE, str(out), who, shared=True))
            own = out / f".part-{i}-of-{n}{LOCK_FILE}"
            held.enter_context(_held(own, f"part {i}/{n} of {out}", who, shared=False))
        yield


@contextmanager
def planning(out: Path) -> Iterator[None]:
    """Let one part after the other look at the plan and extend it; waits for its turn.

    For holders of a part, see ``locked``.
    """
    with _held(out / _PLANNING_FILE, f"the plan in {out}", "", shared=False, wait=True):
        yield


@contextmanager
def _held(path: Path, what: str, who: str, *, shared: bool, wait: bool = False) -> Iterator[None]:
    handle = _take(path, what, shared=shared, wait=wait)
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        holder = f"{who}process {os.getpid()} on {socket.gethostname()} since {since}"
        os.ftruncate(handle, 0)
        os.pwrite(handle, holder.encode(), 0)
        yield
    finally:
        # A file that others may hold too stays, for the next one who holds it alone.
        if not shared:
            path.unlink(missing_ok=True)
        os.close(handle)


def _take(path: Path, what: str, *, shared: bool, wait: bool) -> int:
    """Return an open handle that holds the lock; no child process inherits it."""
    while True:
        handle = os.open(path, _OPEN, 0o666)
        try:
            _lock(handle, what, shared=shared, wait=wait)
            if _is_at(path, handle):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # The holder before has just removed it: what is locked has no name.


def _lock(handle: int, what: str, *, shared: bool, wait: bool) -> None:
    try:
        if fcntl is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(handle, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputInUseError(
            f"{what} is being written by {_read_holder(handle)}: wait for it or choose another"
            " --out"
        ) from error
    except OSError as error:
        if error.errno not in _CANNOT_LOCK:
            raise
        logger.warning(
            "%s: its file system knows no locks (%s): start no second build there",
            what, error.strerror,
        )  # fmt: skip


def _read_holder(handle: int) -> str:
    text = os.pread(handle, _LONGEST_HOLDER, 0).decode(errors="replace")
    return text if text.isprintable() and text else "another process"


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False
