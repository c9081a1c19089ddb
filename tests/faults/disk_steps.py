"""Every change that a build makes on disk, named and counted, so that a test can break in there."""

import functools
import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path


def watch_disk(log, at_step=None):
    """Log the name of each change of this process before it is made and call ``at_step`` with
    its number (from 0) and name.

    Nothing is flushed to the disk for real; what would have been is noted for ``keep_states``.
    """
    import h5py
    import pandas as pd
    import pyarrow.parquet as pq

    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    before = _Steps(handle, at_step).before
    os.fsync = before("fsync", _note_flushed)
    os.open = before("create", os.open, lambda _, flags=0, *__, **___: flags & os.O_CREAT)
    Path.open = before("create", Path.open, lambda _, mode="r", *__, **___: mode[0] != "r")
    Path.replace = before("rename", Path.replace)
    Path.unlink = before("remove", Path.unlink, lambda path, *_, **__: path.exists())
    Path.mkdir = before("mkdir", Path.mkdir, lambda path, *_, **__: not path.exists())
    Path.write_text = before("write-text", Path.write_text)
    pq.write_table = before("write-plan", pq.write_table)
    pd.DataFrame.to_parquet = before("write-manifest", pd.DataFrame.to_parquet)
    h5py.Group.create_dataset = before("write-table", h5py.Group.create_dataset)
    h5py.File.__init__ = before(
        "create-shard", h5py.File.__init__, lambda _, __, mode="r", **___: mode == "w"
    )
    h5py.File.close = before("close-shard", h5py.File.close, lambda file: file.mode != "r")


class _Steps:
    def __init__(self, log, at_step):
        self.log, self.at_step, self.n = log, at_step, 0

    def before(self, name, change, is_change=lambda *_, **__: True):
        @functools.wraps(change)
        def counted(*arguments, **options):
            if is_change(*arguments, **options):
                self.take(name)
            return change(*arguments, **options)

        return counted

    def take(self, name):
        os.write(self.log, f"{name}\n".encode())
        number, self.n = self.n, self.n + 1
        if self.at_step is not None:
            self.at_step(number, name)


_flushed = set()


def _note_flushed(handle):
    _flushed.add(_state(os.fstat(handle)))


def _state(stat):
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


@dataclass(frozen=True)
class KillAt:
    """Kills the process just before one of its steps, as ``kill -9`` does."""

    step: int

    def __call__(self, number, _name):
        if number == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class ActAt:
    """Does something to the world just before the first step of a name."""

    name: str
    act: functools.partial
    done: bool = False

    def __call__(self, _number, name):
        if name == self.name and not self.done:
            self.done = True
            self.act()


@dataclass
class KeepStates:
    """Keeps a copy of the output folder just before each step: what a death there would leave.

    Two copies: ``NUMBER-NAME-kill``, and ``-power`` where of every file that was not flushed
    the second half is lost.  Of equal steps in a row only the first counts.
    """

    out: Path
    folder: Path
    before: str = ""

    def __call__(self, number, name):
        if number == 0:
            # What an earlier build left has been on the disk for long.
            _flushed.update(_state(path.stat()) for path in self.out.rglob("*"))
        if self.out.is_dir() and name != self.before:
            self._keep(*(self.folder / f"{number:03d}-{name}-{way}" for way in ("kill", "power")))
        self.before = name

    def _keep(self, killed, cut):
        shutil.copytree(self.out, killed)
        shutil.copytree(self.out, cut)
        for path in self.out.rglob("*"):
            if path.is_file() and _state(path.stat()) not in _flushed:
                os.truncate(cut / path.relative_to(self.out), path.stat().st_size // 2)
