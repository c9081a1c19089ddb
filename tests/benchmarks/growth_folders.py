"""Raw folders and finished data sets of any size, made of the smallest files that pass for them."""

import hashlib
import json
import os
import random
import string
from pathlib import Path

import numpy as np
import pandas as pd
from builders import ntu_frames, write_ntu_skeleton
from shard_builders import MadeDataset, Recording, write_dataset
from video_builders import XVID, textured_pictures, write_video

from toolkit.build.options import BuildOptions
from toolkit.build.plan import Plan, PlannedSample
from toolkit.datasets.kinetics import read_class_names
from toolkit.samples import DataSet, Sample
from toolkit.shards.manifest import OK
from toolkit.shards.schema import SHARD_FOLDER
from toolkit.shards.sidecar import Sidecar, shard_path, write_sidecar
from toolkit.skeleton import NTU25

OPTIONS = BuildOptions(source="kinetics", align="time", bodies="frame")
EXTRACTION = BuildOptions(source="ntu", align="frame", bodies="denoise")
_N_FRAMES = 16
_LETTERS = string.ascii_letters + string.digits + "-_"
_HELD = b"a shard that nobody opens"


def write_raw(folder: Path, n_samples: int) -> Path:
    """Write pose and label files, and videos in class folders, named as Kinetics names them."""
    rng, names = random.Random(0), read_class_names()
    labels: dict[str, dict[str, object]] = {"train": {}, "val": {}}
    for subset in labels:
        (folder / f"kinetics_{subset}").mkdir(parents=True)
    for name in names:
        (folder / "videos" / name).mkdir(parents=True)
    for i in range(n_samples):
        sample_id = "".join(rng.choices(_LETTERS, k=11))
        subset, label = "val" if i % 12 == 0 else "train", i % len(names)
        entry = {"has_skeleton": True, "label": names[label], "label_index": label}
        labels[subset][sample_id] = entry
        _write_empty(f"{folder}/kinetics_{subset}/{sample_id}.json")
        _write_empty(f"{folder}/videos/{names[label]}/{sample_id}_000010_000020.mp4")
    for subset, entries in labels.items():
        (folder / f"kinetics_{subset}_label.json").write_text(json.dumps(entries))
    return folder


def _write_empty(path: str) -> None:
    # Nobody opens it, and without a byte of its own it costs the disk next to nothing.
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL))


def finish_shards(plan: Plan, out: Path) -> None:
    """Write a sidecar for every shard of a plan, and links to one file in place of the shards."""
    os.fsync = lambda handle: None  # nobody cuts the power
    (out / SHARD_FOLDER).mkdir(parents=True)
    (out / "held").write_bytes(_HELD)
    fingerprints, digest = plan.fingerprints(), hashlib.sha256(_HELD).hexdigest()
    for number, rows in plan.shards().items():
        told = [tell_row(row, number, place) for place, row in enumerate(rows)]
        os.link(out / "held", shard_path(out, number))
        write_sidecar(out, Sidecar(number, fingerprints[number], digest, len(_HELD), told))


def tell_row(row: PlannedSample, shard: int, place: int) -> dict[str, object]:
    """Return the manifest row of a sample as a worker tells it."""
    return {
        **row.columns(), "status": OK, "detail": "", "n_frames": 300, "n_clips": 19, "n_bodies": 1,
        "fps": 30.0, "video_frames": 300, "max_drift_ms": 16.5, "width": 170, "height": 128,
        "shard": shard, "shard_row": place,
    }  # fmt: skip


def write_many_shards(folder: Path, n_shards: int) -> Path:
    """Write a data set whose shards are links to one of 64 samples, and the manifest to match."""
    names = [f"s{i:02d}" for i in range(64)]
    made = MadeDataset(pictures=False, samples_per_shard=64)
    write_dataset(folder, [Recording(name, n_frames=16) for name in names], made)
    for number in range(1, n_shards):
        os.link(shard_path(folder, 0), shard_path(folder, number))
    write_long_manifest(folder, n_shards * 64)
    return folder


def write_long_manifest(folder: Path, n_rows: int) -> None:
    """Repeat the manifest's 64 rows under other ids and shards, sorted by id as a build does."""
    rows = pd.read_parquet(folder / "manifest.parquet")
    frame = rows.iloc[np.arange(n_rows) % len(rows)].reset_index(drop=True)
    frame["sample_id"] = pd.Series([f"s{i:08d}" for i in range(n_rows)], dtype="string")
    frame["shard"] = pd.Series(np.arange(n_rows) // len(rows), dtype="Int32")
    frame.to_parquet(folder / "manifest.parquet", index=False)


def write_recordings(folder: Path, n_recordings: int) -> None:
    """Write so many recordings of NTU RGB+D's kind: half a second of 340x256 pictures each."""
    poses = write_ntu_skeleton(folder / "poses.skeleton", ntu_frames(*[[7]] * _N_FRAMES))
    video = write_video(folder / "video.avi", textured_pictures(_N_FRAMES, 340, 256), XVID)
    for i in range(n_recordings):
        os.link(poses, folder / f"r{i:05d}.skeleton")
        os.link(video, folder / f"r{i:05d}.avi")
    poses.unlink()
    video.unlink()


def list_recordings(folder: Path) -> DataSet:
    """Return what :func:`write_recordings` wrote as a data set of one class."""
    subsets = {"xsub": "train"}
    samples = tuple(
        Sample(path.stem, 0, "move", subsets, path, path.with_suffix(".avi"))
        for path in sorted(folder.glob("*.skeleton"))
    )
    return DataSet("made", NTU25, ("move",), ("xsub",), "xsub", samples)
