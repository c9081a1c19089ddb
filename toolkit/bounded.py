"""How much of a file is read or parsed at most: a small file can ask for all memory there is."""

import errno
import os
import stat
from typing import BinaryIO

# Parsed JSON takes up to 70 bytes a number and 260 an object, from as little as 2 bytes of text.
# 100,000 frames of three people, each of 54 numbers, stay below both.
MAX_JSON_VALUES = 20_000_000
MAX_JSON_CONTAINERS = 2_000_000
_NO_FILE = "a pipe or a device, not a file"


def read_bounded(path: str | os.PathLike[str], limit: int) -> bytes:
    """Return the bytes of a regular file of at most ``limit`` bytes; else ``OSError`` says why not.

    Links are followed; a pipe or a device that lies in the place of a file is never waited for.
    """
    with open_regular(path, limit) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise _too_large(path, len(data), limit)
    return data


def open_regular(path: str | os.PathLike[str], limit: int) -> BinaryIO:
    """Open a regular file of at most ``limit`` bytes to be read; else ``OSError`` says why not."""
    file = os.fdopen(_open(path), "rb")
    try:
        check_regular(path, os.fstat(file.fileno()), limit)
    except OSError:
        file.close()
        raise
    return file


def _open(path: str | os.PathLike[str]) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:  # So are sockets refused; reading says it of a lost disk.
            raise OSError(errno.EINVAL, _NO_FILE, os.fspath(path)) from error
        raise


def check_regular(path: str | os.PathLike[str], info: os.stat_result, limit: int) -> None:
    """Raise ``OSError`` unless a file's status is that of a regular file of at most ``limit``."""
    if stat.S_ISDIR(info.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(info.st_mode):
        raise OSError(errno.EINVAL, _NO_FILE, os.fspath(path))
    if info.st_size > limit:
        raise _too_large(path, info.st_size, limit)


def _too_large(path: str | os.PathLike[str], size: int, limit: int) -> OSError:
    return OSError(errno.EFBIG, f"{size} bytes, more than the {limit} allowed", os.fspath(path))


def find_json_excess(data: bytes | str) -> str:
    """Return what a JSON text holds too much of to be parsed, ``""`` if it may be.

    Counted in the text, so that nothing is built first; what stands inside strings counts too.
    """
    # Each costs two bytes at least: most files are too small to be counted.
    if len(data) <= 2 * MAX_JSON_CONTAINERS:
        return ""
    n_containers = _count(data, "[") + _count(data, "{")
    if n_containers > MAX_JSON_CONTAINERS:
        return f"{n_containers} lists and objects, more than the {MAX_JSON_CONTAINERS} allowed"
    n_values = _count(data, ",") + n_containers + 1
    if n_values > MAX_JSON_VALUES:
        return f"{n_values} values, more than the {MAX_JSON_VALUES} allowed"
    return ""


def _count(data: bytes | str, mark: str) -> int:
    return data.count(mark) if isinstance(data, str) else data.count(mark.encode())
