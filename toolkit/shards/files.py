"""Files that are either whole or absent: write aside, flush to the disk, rename."""

import errno
import hashlib
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from toolkit.bounded import find_json_excess, open_regular, read_bounded
from toolkit.errors import ShardError

_BLOCK = 1 << 22
# What a system says when it is in trouble itself: nothing of it tells of the file, and the next
# try may succeed.  Not every system knows every name.
MACHINE_TROUBLE = frozenset(
    getattr(errno, name)
    for name in (
        "EIO", "EREMOTEIO", "ENXIO", "ESTALE", "EACCES", "EMFILE", "ENFILE", "ENOMEM",
        "ENOTCONN", "ETIMEDOUT", "ECONNABORTED", "EHOSTDOWN",
    )
    if hasattr(errno, name)
)  # fmt: skip
# A sidecar has about 1 KB a sample: 60,000 in one shard.
MAX_JSON_BYTES = 64 * 2**20


def mark_process() -> str:
    """Return what no other process has in a file's name, on whatever machine: PROCESS-MACHINE."""
    return f"{os.getpid()}-{mark_machine()}"


@cache
def mark_machine() -> str:
    """Return a name, without dots, of what counts processes: a machine, or a container on it."""
    host = re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname())[:40]
    try:
        # Containers may share the name of their machine, but not its processes.
        return f"{host}-{os.stat('/proc/self/ns/pid').st_ino:x}"  # noqa: PTH116 - no file
    except OSError:
        return host


@contextmanager
def naming(path: Path, aside: Path | None = None) -> Iterator[None]:
    """Let an error of the system name this file, where it names none or the one ``aside``."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(aside)):
            raise
        # Anew: the errors of some libraries do not let their file be named.
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def flush_to_disk(path: Path) -> None:
    """Make the kernel write a file or a folder's entries out before anything names it as done."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(handle)
    finally:
        os.close(handle)


def rename_durably(source: Path, target: Path) -> None:
    """Move a flushed file to its final name and make the new name survive a power cut."""
    source.replace(target)
    flush_to_disk(target.parent)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a file aside and give it the name ``path`` only when it is whole."""
    aside = path.with_name(f".{path.name}.{mark_process()}.writing")
    try:
        with naming(path, aside):
            write(aside)
            flush_to_disk(aside)
            rename_durably(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Return the hex digest of a file's bytes; ``OSError`` where a pipe or a device lies there."""
    digest = hashlib.sha256()
    with open_regular(path, sys.maxsize) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a JSON file atomically, readable by people, keys in the order given."""
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    write_atomically(path, lambda aside: aside.write_text(text, encoding="utf-8"))


def say_unread(error: OSError) -> str:
    """Return what stood in a shard's way; of one that is not there, what makes it again."""
    if isinstance(error, FileNotFoundError):
        return "none; the command that built the data set makes it again"
    return str(error.strerror)


def read_json(path: Path, what: str, parse: Callable[[bytes], Any] = json.loads) -> dict[str, Any]:
    """Read a JSON object; raises ``ShardError`` naming the file when it is none."""
    try:
        raw = read_bounded(path, MAX_JSON_BYTES)
        excess = find_json_excess(raw)
        if excess:
            raise ShardError(path, "content", expected=what, found=excess)
        data = parse(raw)
    except OSError as error:
        raise ShardError(path, "file", expected=what, found=str(error.strerror)) from error
    except (ValueError, RecursionError) as error:
        raise ShardError(path, "content", expected=what, found=str(error)) from error
    if not isinstance(data, dict):
        raise ShardError(path, "line 1", expected=what, found=f"a JSON {type(data).__name__}")
    return data
