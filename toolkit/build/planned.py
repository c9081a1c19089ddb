"""One row of a plan, and what tells whether the files behind it are still the same ones."""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

NO_SHARD = -1
# What a path may end in that is no name in its folder.
_NO_NAMES = frozenset({"", ".", ".."})


class FileStamp(NamedTuple):
    """Where a source file lies and what it is; ``folder`` ends in a slash, all empty: no file."""

    folder: str = ""
    name: str = ""
    bytes: int = 0
    mtime_ns: int = 0


@dataclass(frozen=True, slots=True)
class Stamp:
    """A source file and what tells whether it is still the same one; empty path: no such file."""

    path: str = ""
    n_bytes: int = 0
    mtime_ns: int = 0

    @classmethod
    def of(cls, path: Path | None) -> "Stamp":
        """Look a file up, as :func:`look_up` does."""
        folder, name, n_bytes, mtime_ns = look_up(path)
        return cls(folder + name, n_bytes, mtime_ns)

    @property
    def key(self) -> tuple[str, int, int]:
        """What makes it the same file: name, size, time of change; a moved folder is no change."""
        return os.path.basename(self.path), self.n_bytes, self.mtime_ns  # noqa: PTH119 - hot

    @property
    def parts(self) -> FileStamp:
        """The same with the folder apart."""
        at = self.path.rfind(os.sep) + 1
        return FileStamp(self.path[:at], self.path[at:], self.n_bytes, self.mtime_ns)

    def __str__(self) -> str:
        if not self.path:
            return "no file"
        when = datetime.fromtimestamp(self.mtime_ns / 1e9, timezone.utc)
        return f"{self.path} ({self.n_bytes} bytes of {when:%Y-%m-%d %H:%M:%S.%f} UTC)"


class FileStamps(NamedTuple):
    """The stamps of many files as columns."""

    folder: list[str]
    name: list[str]
    bytes: list[int]
    mtime_ns: list[int]


def look_up(path: str | os.PathLike[str] | None) -> FileStamp:
    """Look a file up; a folder counts its files' bytes and its newest change.

    A file that is not there has the stamp of an empty one from 1970.
    """
    if path is None:
        return FileStamp()
    folder, name = _place(os.fspath(path))
    return FileStamp(folder, name, *_measure(folder + name))


def look_up_all(paths: Iterable[str | os.PathLike[str] | None]) -> FileStamps:
    """Look many files up, each as :func:`look_up` does: there are 600,000, in few folders."""
    folders, names, sizes, times = columns = FileStamps([], [], [], [])
    known: dict[str, str] = {}
    for path in paths:
        text = "" if path is None else os.fspath(path)
        at = text.rfind(os.sep) + 1
        start, name = text[:at], text[at:]
        folder = known.get(start)
        if folder is None or name in _NO_NAMES:
            folder, name, size, time = look_up(path)
            known[start] = _place(start + "a file")[0]
        else:
            size, time = _measure(folder + name)
        folders.append(folder)
        names.append(name)
        sizes.append(size)
        times.append(time)
    return columns


def _measure(path: str) -> tuple[int, int]:
    """Return the bytes and the time of change of a file, or of the files in a folder."""
    try:
        info = os.stat(path)  # noqa: PTH116 - no Path object per file: there are 600,000
    except FileNotFoundError:
        return 0, 0
    if not stat.S_ISDIR(info.st_mode):
        return info.st_size, info.st_mtime_ns
    with os.scandir(path) as entries:
        infos = [entry.stat() for entry in entries if entry.is_file()]
    newest = max((i.st_mtime_ns for i in infos), default=0)
    return sum(i.st_size for i in infos), newest


def _place(path: str) -> tuple[str, str]:
    """Return the absolute folder, ending in a slash, and the name in it."""
    at = path.rfind(os.sep) + 1
    folder, name = path[:at], path[at:]
    if name in _NO_NAMES:
        whole = os.path.abspath(path)  # noqa: PTH100 - as below
        at = whole.rfind(os.sep) + 1
        return whole[:at], whole[at:]
    here = "" if folder.startswith(os.sep) else os.getcwd()  # noqa: PTH109 - as below
    return _absolute(folder, here), name


@lru_cache(maxsize=65536)
def _absolute(folder: str, _current: str) -> str:
    # Path.resolve() would ask the disk about every part of it.
    return os.path.join(os.path.abspath(folder), "")  # noqa: PTH100, PTH118


@dataclass(frozen=True, slots=True)
class PlannedSample:
    """One row of the plan.

    ``reason`` is set where the sample is known to be unusable without opening a file; its shard is
    then -1.  A ``superseded`` row stays for its shard's fingerprint only: the same sample has a
    later row, made when its files changed or turned up.
    """

    sample_id: str
    label: int
    label_name: str
    subsets: Mapping[str, str]
    facts: Mapping[str, int | str]
    poses: Stamp
    video: Stamp
    reason: str = ""
    detail: str = ""
    shard: int = NO_SHARD
    superseded: bool = False

    @property
    def work(self) -> tuple[object, ...]:
        """What decides the outcome of the work on this sample."""
        return self.label, self.reason, self.poses.key, self.video.key

    def find_change(self) -> tuple[Stamp, Stamp] | None:
        """Return the stamps, planned and present, of the first file that is another one now."""
        for before in (self.poses, self.video):
            now = Stamp.of(Path(before.path)) if before.path else before
            if now != before:
                return before, now
        return None

    def columns(self) -> dict[str, Any]:
        """Return the manifest columns that the plan alone decides, but for splits and facts."""
        return {
            "sample_id": self.sample_id,
            "label": self.label,
            "label_name": self.label_name,
            "poses": self.poses.path,
            "video": self.video.path,
            "poses_bytes": self.poses.n_bytes,
            "video_bytes": self.video.n_bytes,
        }
