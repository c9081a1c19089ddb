"""The machine and the place for outputs: each is read by one function and judged by another."""

import errno
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from toolkit.doctor.finding import Finding
from toolkit.doctor.software import read_version

SHARED_MEMORY = Path("/dev/shm")
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
_ASK_NVIDIA = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader")
_PATIENCE_S = 20

_MIB, _GIB = 2**20, 2**30
# A process that writes a shard, with the one that reads recordings for it.
_BYTES_A_JOB = _GIB
_FEW_FILES = 1024
# Batches of 128 clips of 16 frames of 112 x 112 are 77 MB each, and several wait.
_LITTLE_SHARED_MEMORY = _GIB
_LITTLE_DISK = 10 * _GIB
_LEAST_DISK = 100 * _MIB
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


@dataclass(frozen=True)
class FolderProbe:
    """What a folder for outputs is like, told by its nearest parent where it is not there yet.

    ``write_trouble`` and ``lock_trouble`` are the system's words, "" where there is none.
    """

    folder: Path
    nearest: Path
    free_bytes: int | None
    write_trouble: str = ""
    lock_trouble: str = ""


def count_cores() -> int:
    """Return how many cores this process may use: container and scheduler limits included."""
    from joblib import cpu_count

    return int(cpu_count())


def check_cores() -> Finding:
    """Tell the cores that ``--jobs`` takes by default, and those of the machine."""
    usable = _count_jobs()
    return Finding("machine", "cores", f"{usable} of {os.cpu_count() or usable} usable")


def _count_jobs() -> int:
    try:
        return count_cores()
    except ImportError:  # Told by the packages.
        return os.cpu_count() or 1


def check_memory(n_bytes: int | None, n_cores: int | None = None) -> Finding:
    """Warn where the free memory is less than a process a core may take."""
    if n_bytes is None:
        return Finding("machine", "memory", "unknown")
    found = f"{_say_bytes(n_bytes)} free"
    n_jobs = n_cores or _count_jobs()
    if n_bytes >= n_jobs * _BYTES_A_JOB:
        return Finding("machine", "memory", found)
    fitting = max(1, n_bytes // _BYTES_A_JOB)
    problem = (
        f"{found} may not do for a process on each of {n_jobs} cores: take --jobs {fitting},"
        " or end other programs."
    )
    return Finding("machine", "memory", found, problem)


def read_open_files_limit() -> int | None:
    """Return how many files a process may have open; None where the system has no such limit."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def check_open_files(limit: int | None) -> Finding:
    """Warn where workers or readers of many shards may run out of file handles."""
    if limit is None or limit >= _FEW_FILES:
        return Finding("machine", "open files", "unlimited" if limit is None else str(limit))
    problem = (
        f"a process may have {limit} files open, which many shards or workers exceed:"
        f" ulimit -n {4 * _FEW_FILES}."
    )
    return Finding("machine", "open files", str(limit), problem)


def read_free_bytes(folder: Path) -> int | None:
    """Return the free bytes of the disk that a folder lies on; None if it is not there."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def check_shared_memory(n_bytes: int | None) -> Finding:
    """Warn where the batches of training's reading processes may not fit /dev/shm."""
    if n_bytes is None:
        return Finding("machine", "/dev/shm", "not there")
    found = f"{_say_bytes(n_bytes)} free"
    if n_bytes >= _LITTLE_SHARED_MEMORY:
        return Finding("machine", "/dev/shm", found)
    problem = (
        f"/dev/shm has {found}, too little for the batches of training's workers: start the"
        " container with --shm-size=8g, or train with --workers 0."
    )
    return Finding("machine", "/dev/shm", found, problem)


def read_gpu() -> tuple[str, str]:
    """Return the GPUs that NVIDIA's driver names, and what is wrong with it; each may be ""."""
    if shutil.which(_ASK_NVIDIA[0]) is None:
        trouble = "nvidia-smi is missing" if _NVIDIA_DRIVER.exists() else ""
        return "", trouble
    try:
        told = subprocess.run(
            _ASK_NVIDIA, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    lines = (told.stdout.strip() or told.stderr.strip()).splitlines() or ["no answer"]
    return ("; ".join(lines), "") if told.returncode == 0 else ("", lines[0])


def check_gpu(told: tuple[str, str], torch_version: str | None = None) -> Finding:
    """Warn where the driver is in trouble or torch cannot use the GPU; having none is fine."""
    names, trouble = told
    version = read_version("torch") if torch_version is None else torch_version
    if trouble:
        problem = f"NVIDIA's driver does not answer ({trouble}): reinstall it or start it again."
        return Finding("machine", "GPU", "unknown", problem)
    if not names:
        return Finding("machine", "GPU", "none (extraction needs none)")
    if version.endswith("+cpu"):
        problem = f"torch {version} cannot use the GPU: install a build of torch with CUDA."
        return Finding("machine", "GPU", names, problem)
    return Finding("machine", "GPU", names)


def probe_folder(folder: Path) -> FolderProbe:
    """Write, lock and remove a small file where outputs would go; the folder is not made."""
    folder = folder.absolute()
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    free_bytes = read_free_bytes(nearest)
    try:
        with tempfile.TemporaryFile(dir=nearest) as file:
            file.write(b"\0")
            file.flush()
            lock_trouble = _try_lock(file.fileno())
    except OSError as error:
        return FolderProbe(folder, nearest, free_bytes, str(error.strerror or error))
    return FolderProbe(folder, nearest, free_bytes, lock_trouble=lock_trouble)


def _try_lock(handle: int) -> str:
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return os.strerror(errno.ENOSYS)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        return str(error.strerror)
    return ""


def check_folder(probe: FolderProbe) -> list[Finding]:
    """Judge the place for outputs: may it be written, how much fits, does it know locks."""
    return [_check_writing(probe), _check_disk(probe), _check_locks(probe)]


def _check_writing(probe: FolderProbe) -> Finding:
    where = str(probe.folder)
    if probe.nearest != probe.folder:
        where += f" (not there yet; looked at {probe.nearest})"
    if not probe.write_trouble:
        return Finding("outputs", "folder", where)
    problem = (
        f"{probe.nearest} cannot be written to ({probe.write_trouble}): choose another --out,"
        " or change its permissions."
    )
    return Finding("outputs", "folder", where, problem, forbids=True)


def _check_disk(probe: FolderProbe) -> Finding:
    if probe.free_bytes is None:
        return Finding("outputs", "disk", "unknown")
    found = f"{_say_bytes(probe.free_bytes)} free"
    if probe.free_bytes >= _LITTLE_DISK:
        return Finding("outputs", "disk", found)
    problem = (
        f"{probe.nearest} has only {found}, where a whole data set takes tens of GiB: make room,"
        " or choose another --out."
    )
    return Finding("outputs", "disk", found, problem, forbids=probe.free_bytes < _LEAST_DISK)


def _check_locks(probe: FolderProbe) -> Finding:
    if probe.write_trouble:
        return Finding("outputs", "locks", "unknown")
    if not probe.lock_trouble:
        return Finding("outputs", "locks", "work")
    problem = (
        f"the file system of {probe.nearest} knows no locks ({probe.lock_trouble}): start no"
        " second build there, or choose another --out."
    )
    return Finding("outputs", "locks", "none", problem)


def _say_bytes(n_bytes: int) -> str:
    return f"{n_bytes / _GIB:.1f} GiB" if n_bytes >= _GIB else f"{n_bytes / _MIB:.0f} MiB"
