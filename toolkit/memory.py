"""How much memory programs may still take, within the limits of a container or a batch job."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_MEMINFO = Path("/proc/meminfo")
_MEMBERSHIP = Path("/proc/self/cgroup")
_CGROUP = Path("/sys/fs/cgroup")


class _Names(NamedTuple):
    """Where one version of cgroups tells what; ``reclaimable`` is a word of ``memory.stat``."""

    limit: str
    used: str
    reclaimable: str


_V1 = _Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = _Names("memory.max", "memory.current", "inactive_file")


def read_free_memory() -> int | None:
    """Return the bytes that this process may still take; None where the system does not tell."""
    free = list(_read_machine())
    for folder, names in _list_groups():
        with suppress(OSError, ValueError):  # "max", or a group above those that are shown here
            free.append(_read_group(folder, names))
    return min(free, default=None)


def _read_machine() -> Iterator[int]:
    with suppress(OSError):
        for line in _MEMINFO.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024


def _list_groups() -> Iterator[tuple[Path, _Names]]:
    """Yield the folders of the groups this process is in: each may have a limit of its own."""
    try:
        lines = _MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        is_v1 = "memory" in controllers.split(",")
        if controllers and not is_v1:
            continue
        top, names = (_CGROUP / "memory", _V1) if is_v1 else (_CGROUP, _V2)
        folder = top / name.strip("/")
        yield folder, names
        # A batch system limits the job, and what runs is a step of it.  In a container the name
        # may be that on the machine outside, and only the topmost folder is there.
        yield from ((above, names) for above in folder.parents if above.is_relative_to(top))


def _read_group(folder: Path, names: _Names) -> int:
    limit, used = (int((folder / name).read_text()) for name in (names.limit, names.used))
    # Files read long ago, which the kernel drops when memory is asked for.
    stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    return max(0, limit - used + int(stat.get(names.reclaimable, 0)))
