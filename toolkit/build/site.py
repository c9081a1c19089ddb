"""Does a machine see what the build sees: the same versions, output folder and raw files?"""

import os
import socket
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock

import h5py

from toolkit import __version__
from toolkit.build.options import BuildOptions
from toolkit.build.planned import PlannedSample, Stamp
from toolkit.build.tasks import Rows
from toolkit.build.worker import ShardTask, build_shard
from toolkit.errors import CtxtoolError
from toolkit.shards.schema import PLAN_FILE, SHARD_FOLDER
from toolkit.shards.sidecar import shard_path

# A task may come back to a worker that has not noticed yet that it is to give it up.
_at_work: defaultdict[Path, Lock] = defaultdict(Lock)


class UnfitMachineError(CtxtoolError):
    """A machine would make other bytes, or sees other files, than the one that asked it."""


class MachineTroubleError(CtxtoolError):
    """A machine could not do its work; another one, or the same one later, may."""


@dataclass(frozen=True)
class Site:
    """What every machine at work on a build must have alike."""

    versions: Mapping[str, str]
    plan: Stamp

    @classmethod
    def here(cls, out: Path) -> "Site":
        """Look at this machine and at the plan in the output folder."""
        return cls(read_versions(), Stamp.of(out / PLAN_FILE))

    def check(self, task: ShardTask) -> None:
        """Raise ``UnfitMachineError`` unless this machine can do the task as well as the asker."""
        problem = (
            _compare_versions(self.versions)
            or _compare_output(self.plan, task.folder)
            or _compare_encoder(task.options)
            or _find_missing(task)
        )
        if problem:
            raise UnfitMachineError(f"{_name_machine()} {problem}")


def build_on_site(task: ShardTask, site: Site, wanted: Callable[[], bool]) -> Rows:
    """Make a shard on a machine that is fit for it; see ``build_shard``.

    Raises ``MachineTroubleError`` naming the machine where no recording is to blame.
    """
    try:
        site.check(task)
        with _at_work[shard_path(task.folder, task.number)]:
            return build_shard(replace(task, wanted=wanted))
    except UnfitMachineError:
        raise
    except (CtxtoolError, OSError, MemoryError) as error:
        raise MachineTroubleError(f"{_name_machine()}: {error or repr(error)}") from None


@cache
def read_versions() -> dict[str, str]:
    """Return the versions of everything that decides the bytes of a shard."""
    libraries = {name: version(name) for name in ("av", "simplejpeg", "numpy")}
    return {"ctxtool": __version__, "HDF5": h5py.version.hdf5_version, **libraries}


def _compare_versions(wanted: Mapping[str, str]) -> str:
    here = read_versions()
    for name, value in wanted.items():
        if here.get(name) != value:
            return (
                f"has {name} {here.get(name)}, the machine that asks has {value}: install the"
                " same one, or the bytes may differ"
            )
    return ""


def _compare_encoder(options: BuildOptions) -> str:
    if not options.encoder or options.source == "shards":
        return ""
    from toolkit.readers.group_encoder import name_encoder

    here = name_encoder(options.crf)
    if here == options.encoder:
        return ""
    found, wanted = (name.partition(",")[0] for name in (here, options.encoder))
    return f"has {found}, the build was planned with {wanted}: install the same one"


def _compare_output(plan: Stamp, out: Path) -> str:
    if _look_into(out / PLAN_FILE) != plan:
        return f"does not see the output folder {out} of this build: it must be a shared one"
    if not os.access(out / SHARD_FOLDER, os.W_OK | os.X_OK):
        return f"may not write into {out / SHARD_FOLDER}"
    return ""


def _look_into(path: Path) -> Stamp:
    """Return the stamp of a file as its server knows it.

    A client of NFS asks its server when it opens a file, and may answer ``stat`` from memory.
    """
    stamp = Stamp.of(path)
    try:
        with path.open("rb") as file:
            info = os.fstat(file.fileno())
    except OSError:
        return Stamp(stamp.path)
    return Stamp(stamp.path, info.st_size, info.st_mtime_ns)


def refuse_unseen(task: ShardTask) -> None:
    """Raise ``UnfitMachineError`` where this machine sees no raw file of a task at all."""
    problem = _find_missing(task)
    if problem:
        raise UnfitMachineError(f"{_name_machine()} {problem}")


def _find_missing(task: ShardTask) -> str:
    """Tell of raw files that are all gone: one that is gone is a matter of its recording."""
    wanted = [path for row in task.samples if not row.superseded for path in _raw_files(row)]
    if not wanted or any(map(os.path.exists, wanted)):
        return ""
    return f"sees no raw file of shard {task.number}, not even {wanted[0]}: mount them there"


def _raw_files(row: PlannedSample) -> list[str]:
    return [stamp.path for stamp in (row.poses, row.video) if stamp.path]


def _name_machine() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
