"""What is in a data set folder: plain facts from its manifest and shards."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import pandas as pd

from toolkit.clips import CLIP_LENGTH
from toolkit.errors import FileError
from toolkit.joint_statistics import measure_joints
from toolkit.shards.dataset import DatasetInfo, read_dataset_info
from toolkit.shards.files import write_atomically
from toolkit.shards.manifest import OK, SPLIT_PREFIX, read_manifest, splits_of
from toolkit.shards.reader import ShardReader
from toolkit.shards.schema import SHARD_FOLDER
from toolkit.shards.sidecar import shard_path

_N_NEAR = 3
# One wrong or missing character in an 11-character YouTube id is a ratio of 0.91.
_NEAR_RATIO = 0.85


def dataset_facts(folder: Path) -> dict[str, Any]:
    """Return counts by split, class and reason, sizes, drift and joints as plain JSON values.

    Raises ``ShardError`` when the folder is not a finished data set or a shard cannot be read.
    """
    info, manifest = read_dataset_info(folder), read_manifest(folder)
    usable = manifest[manifest["status"] == OK]
    shards = sorted(usable["shard"].dropna().unique().tolist())
    joints = measure_joints(folder, shards, info.layout)
    return {
        "folder": str(folder),
        **_header_facts(info),
        "counts": {"planned": len(manifest), "ok": len(usable), "reasons": _reasons(manifest)},
        "splits": {split: _subsets(manifest, split) for split in splits_of(manifest)},
        "sizes": _sizes(folder, usable),
        "lengths": _lengths(usable),
        "bodies": _count(usable["n_bodies"]),
        "pictures": _picture_sizes(usable),
        "drift": _drift(usable),
        "notes": _notes(usable),
        "joints": {
            "shards_read": joints.n_shards_read,
            "shards": joints.n_shards,
            "frames": joints.n_frames,
            "present": joints.present_shares(),
            "quantity": joints.quantity,
            "by_joint": joints.joint_means(),
            "levels": joints.level_counts(),
        },
        "classes": _classes(manifest, info),
    }


def _header_facts(info: DatasetInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "format_version": info.format_version,
        "toolkit_version": info.toolkit_version,
        "fingerprint": info.fingerprint,
        "layout": {
            "name": info.layout.name,
            "joints": info.layout.n_joints,
            "channels": list(info.layout.channels),
        },
        "default_split": info.default_split,
        "parameters": dict(info.parameters),
    }


def _reasons(manifest: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each reason with its count and the first sample as an example, the commonest first."""
    failed = manifest[manifest["status"] != OK]
    counts = failed["status"].value_counts(sort=False)
    firsts = failed.drop_duplicates("status").set_index("status")
    rows = [
        {
            "reason": str(reason),
            "n": int(n),
            "sample_id": str(firsts.at[reason, "sample_id"]),
            "detail": _text(firsts.at[reason, "detail"]),
        }
        for reason, n in counts.items()
    ]
    return sorted(rows, key=lambda row: (-row["n"], row["reason"]))


def _subsets(manifest: pd.DataFrame, split: str) -> dict[str, dict[str, int]]:
    subset = manifest[SPLIT_PREFIX + split].astype("string").fillna("in none")
    table = (manifest["status"] == OK).groupby(subset).agg(["size", "sum"])
    return {
        str(name): {"planned": int(row["size"]), "ok": int(row["sum"])}
        for name, row in table.iterrows()
    }


def _classes(manifest: pd.DataFrame, info: DatasetInfo) -> list[dict[str, Any]]:
    """Return the classes that have a planned sample; label -1 is a sample of unknown class."""
    table = (manifest["status"] == OK).groupby(manifest["label"]).agg(["size", "sum"])
    n_classes = len(info.class_names)
    return [
        {
            "label": label,
            "name": info.class_names[label] if 0 <= label < n_classes else "(class unknown)",
            "ok": int(n_ok),
            "failed": int(n - n_ok),
        }
        for label, n, n_ok in table.itertuples()
    ]


def _sizes(folder: Path, usable: pd.DataFrame) -> dict[str, Any]:
    sizes = [path.stat().st_size for path in (folder / SHARD_FOLDER).glob("[0-9]*.h5")]
    n_frames, n_bytes = int(usable["n_frames"].sum()), sum(sizes)
    return {
        "shards": len(sizes),
        "bytes": n_bytes,
        "frames": n_frames,
        "clips": int(usable["n_clips"].sum()),
        "bytes_per_frame": round(n_bytes / n_frames, 1) if n_frames else None,
    }


def _lengths(usable: pd.DataFrame) -> dict[str, int] | None:
    frames = usable["n_frames"]
    if frames.empty:
        return None
    facts = {name: int(getattr(frames, name)()) for name in ("min", "median", "max")}
    return facts | {"shorter_than_a_clip": int((frames < CLIP_LENGTH).sum())}


def _count(values: "pd.Series[Any]") -> dict[str, int]:
    return {str(value): int(n) for value, n in values.value_counts().sort_index().items()}


def _picture_sizes(usable: pd.DataFrame) -> dict[str, int]:
    sized = usable.dropna(subset=["width", "height"])
    counts = sized.groupby(["width", "height"]).size().sort_values(ascending=False)
    return {f"{width}x{height}": int(n) for (width, height), n in counts.items()}


def _drift(usable: pd.DataFrame) -> dict[str, Any] | None:
    """Return the spread of the samples' worst drifts, None where there is no video."""
    drift = usable["max_drift_ms"].dropna()
    if drift.empty:
        return None
    return {
        "median_ms": round(float(drift.median()), 3),
        "p95_ms": round(float(drift.quantile(0.95)), 3),
        "worst_ms": float(drift.max()),
        "worst_sample": str(usable.at[drift.idxmax(), "sample_id"]),
    }


def _notes(usable: pd.DataFrame) -> dict[str, Any] | None:
    """Return how many usable samples have something to tell, and the first that has."""
    told = usable[usable["detail"].fillna("") != ""]
    if told.empty:
        return None
    first = told.iloc[0]
    return {"n": len(told), "sample_id": str(first["sample_id"]), "detail": str(first["detail"])}


def sample_facts(folder: Path, sample_id: str) -> dict[str, Any]:
    """Return a sample's manifest row, its clips and every frame's drift as plain JSON values.

    ``row`` holds the columns of the manifest that are not empty; of a sample that is not usable
    there are no ``clips`` and ``frames``.  Raises ``ValueError`` naming ids like it when there is
    no such sample.
    """
    row = find_sample(read_manifest(folder), sample_id)
    known = {str(k): _plain(v) for k, v in row.items() if not pd.isna(v) and v != ""}
    if row["status"] != OK:
        return {"row": known}
    return {"row": known, **_frame_facts(folder, int(row["shard"]), int(row["shard_row"]))}


def find_sample(manifest: pd.DataFrame, sample_id: str) -> "pd.Series[Any]":
    """Return the manifest row of a sample; raises ``ValueError`` naming ids like it."""
    found = manifest[manifest["sample_id"] == sample_id]
    if len(found):
        return found.iloc[0]
    near = _near_ids(manifest["sample_id"].tolist(), sample_id)
    hint = f"; near it are {', '.join(near)}" if near else ""
    raise ValueError(f"no sample {sample_id!r} among the {len(manifest)} of the manifest{hint}")


def _near_ids(ids: Sequence[str], wanted: str) -> list[str]:
    lower = wanted.lower()
    inside = [i for i in ids if lower in i.lower() or i.lower() in lower] if wanted else []
    return inside[:_N_NEAR] or difflib.get_close_matches(wanted, ids, _N_NEAR, _NEAR_RATIO)


def _frame_facts(folder: Path, shard: int, row: int) -> dict[str, Any]:
    """Return the clips of a sample, and of every frame its bodies and, with video, its drift."""
    path = shard_path(folder, shard)
    with ShardReader(path) as reader:
        window, clips = reader.sample(row), reader.clips_of(row)
    with h5py.File(path, "r", locking=False) as file:
        first = int(file["sample/row"][row])
        starts = (file["clip/start"][clips] - first).tolist()
        lengths = file["clip/n_valid"][clips].tolist()
    frames: list[dict[str, Any]] = [{"bodies": int(n)} for n in window.present.sum(1)]
    if window.frames:
        for frame, video, drift_s in zip(frames, window.video_index, window.drift_s, strict=True):
            frame |= {"video_frame": int(video), "drift_ms": round(float(drift_s) * 1000, 2)}
    return {
        "clips": [
            {"start": start, "n_frames": n} for start, n in zip(starts, lengths, strict=True)
        ],
        "frames": frames,
    }


def _plain(value: Any) -> Any:
    """Return a cell of a table as the plain value that JSON knows."""
    return value.item() if hasattr(value, "item") else value


def write_csv(folder: Path, path: Path) -> None:
    """Write the manifest as CSV, whole or not at all; ``FileError`` where that cannot be."""
    manifest = read_manifest(folder)
    try:
        write_atomically(path, lambda aside: manifest.to_csv(aside, index=False))
    except OSError as error:
        found = str(error.strerror or error)
        raise FileError(path, "file", expected="a place to write to", found=found) from error


def _text(value: object) -> str:
    return "" if pd.isna(value) else str(value)  # type: ignore[call-overload]
