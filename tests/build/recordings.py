"""Tiny raw recordings and the data sets that list them, without a data set's naming rules."""

import os
from pathlib import Path

from builders import ntu_frames, write_ntu_skeleton

from toolkit.build.options import BuildOptions
from toolkit.samples import DataSet, Sample
from toolkit.skeleton import NTU25

OPTIONS = BuildOptions(
    source="ntu", align="frame", bodies="denoise", skeleton_only=True, samples_per_shard=2
)
CLASS_NAMES = ("jump", "run")


def write_poses(folder: Path, name: str, n_frames: int = 20) -> Path:
    """Write a recording of one body whose time of change is the same wherever it is written."""
    path = write_ntu_skeleton(folder / f"{name}.skeleton", ntu_frames(*[[7]] * n_frames))
    return set_time(path, 1_000)


def write_damaged(folder: Path, name: str) -> Path:
    path = folder / f"{name}.skeleton"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text("3\nno body count\n")
    return set_time(path, 1_000)


def set_time(path: Path, seconds: int) -> Path:
    os.utime(path, (seconds, seconds))
    return path


def sample(name: str, poses: Path | None = None, video: Path | None = None, **changes) -> Sample:
    """Return a planned recording; one without poses has the reason that a listing gives it."""
    reason = None if poses else "missing_skeleton"
    fields = {"label": 0, "subsets": {"xsub": "train"}, "facts": {"setup": 1}, "reason": reason}
    fields |= {"label_name": CLASS_NAMES[changes.get("label", 0) % 2]} | changes
    return Sample(sample_id=name, poses=poses, video=video, **fields)


def data_set(*samples: Sample, **changes) -> DataSet:
    fields = {
        "name": "made",
        "layout": NTU25,
        "class_names": CLASS_NAMES,
        "splits": ("xsub",),
        "default_split": "xsub",
        "samples": tuple(sorted(samples, key=lambda s: s.sample_id)),
    }
    return DataSet(**fields | changes)


def folder_data(folder: Path, **changes) -> DataSet:
    """List every recording of a folder by its name; neighbouring letters differ in label."""
    paths = sorted(folder.glob("*.skeleton"))
    return data_set(*(sample(p.stem, p, label=ord(p.stem) % 2) for p in paths), **changes)
