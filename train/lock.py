"""One process at a time trains in a run folder."""

import errno
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from train.errors import TrainError
from train.files import RunFolder

# File systems without locks: training there goes on unguarded.
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def hold_folder(folder: RunFolder) -> Iterator[None]:
    """Keep a run folder to this process, however it ends, and clear what a killed one left.

    Raises ``TrainError`` if another process trains there.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    with folder.lock.open("a") as file:
        try:
            # Unlike flock, not inherited: reading processes may outlive a killed training.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise TrainError(
                    f"another process is training in {folder.path}; wait for it, or choose another"
                    " --out"
                ) from error
            if error.errno not in _NO_LOCKS:
                raise
        folder.remove_leftovers()
        yield
