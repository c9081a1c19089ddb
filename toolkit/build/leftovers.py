"""What killed builds left in an output folder, and what goes when a build begins anew."""

import os
import re
from pathlib import Path

from toolkit.build.plan import Plan
from toolkit.shards.files import mark_machine
from toolkit.shards.schema import (
    DATASET_FILE,
    MANIFEST_FILE,
    PLAN_FILE,
    SHARD_FOLDER,
    shard_name,
)


def remove_output(out: Path) -> None:
    """Remove what an earlier build left, and nothing else that may lie in the folder."""
    for name in (DATASET_FILE, MANIFEST_FILE, PLAN_FILE):
        (out / name).unlink(missing_ok=True)
    # Sidecars first: a build cut short here must not look done.
    for pattern in ("[0-9]*.json", "[0-9]*.h5"):
        for path in (out / SHARD_FOLDER).glob(pattern):
            path.unlink()


def remove_dead(out: Path, *, finished: bool = False) -> None:
    """Remove what killed processes of this machine left half-written; others keep their files.

    Once a build is ``finished``, whoever holds its folder alone removes it all: a dead process may
    have been of another machine, or another one may have its number by now.
    """
    for path in (p for folder in (out, out / SHARD_FOLDER) for p in folder.glob(".*")):
        # .NAME.PROCESS-MACHINE.writing or .pictures
        found = re.fullmatch(r"\..+\.([0-9]+)-([^.]+)\.(?:writing|pictures)", path.name)
        if not found:
            continue
        if finished or (found[2] == mark_machine() and not _is_alive(int(found[1]))):
            path.unlink(missing_ok=True)


def remove_unplanned(plan: Plan, out: Path) -> None:
    """Remove shards that no plan names any more."""
    planned = {shard_name(number) for number in plan.shards()}
    for path in (out / SHARD_FOLDER).glob("[0-9]*"):
        if path.stem not in planned and path.suffix in (".h5", ".json"):
            path.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # It runs, as another user.
    return True
