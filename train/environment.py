"""What ran where: versions, machine, git state and data, kept beside the results."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from train.distributed import World
from train.files import RunFolder, write_json
from train.prepare import Prepared

PACKAGES = ("ctxtool", "torch", "torchvision", "numpy", "opencv-python", "h5py", "pandas")


def describe_environment(prepared: Prepared, world: World) -> dict[str, Any]:
    """Return what one should know to repeat a run, as JSON values."""
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join([Path(sys.executable).name, *sys.argv]),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "git": describe_git(Path(__file__).parent),
        "machine": _describe_machine(world),
        "ranks": world.size,
        "data": {
            "folder": str(prepared.dataset.absolute()),
            "name": prepared.data.name,
            "fingerprint": prepared.data.fingerprint,
            "train": len(prepared.subsets.train),
            "validation": len(prepared.subsets.validation),
            "test": len(prepared.subsets.test),
        },
    }


def append_environment(folder: RunFolder, environment: dict[str, Any]) -> None:
    """Add one start of a run to its list of starts."""
    starts = []
    if folder.environment.exists():
        starts = folder.read_json(folder.environment)["starts"]
    write_json(folder.environment, {"starts": [*starts, environment]})


def describe_git(folder: Path) -> dict[str, Any] | None:
    """Return commit and whether tracked files are changed; None outside of a repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "changed": (changed or "").splitlines()}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        # No git, or no repository: an installed package has neither.
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _describe_machine(world: World) -> dict[str, Any]:
    machine: dict[str, Any] = {
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "device": str(world.device),
    }
    if world.device.type == "cuda":
        machine["gpu"] = torch.cuda.get_device_name(world.device)
        machine["cuda"] = torch.version.cuda
        machine["cudnn"] = torch.backends.cudnn.version()
    return machine
