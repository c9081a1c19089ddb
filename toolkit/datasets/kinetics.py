"""Kinetics-skeleton (400 classes) and Kinetics-Motion (30 of them): classes, subsets, files by id.

The evaluation subset, called val in the files, is stored as ``test``: the papers report it.
"""

import os
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from manifests import read_facts
from toolkit.datasets.discover import (
    VIDEO_SUFFIXES,
    collector_paused,
    describe_missing,
    find_required,
    keep_first,
    notice_twice,
    say_some,
)
from toolkit.datasets.kinetics_labels import (
    ClassEntry,
    read_label_files,
    read_own_label,
    sort_json_files,
    subset_of_folders,
)
from toolkit.datasets.tables import find_id_fault
from toolkit.errors import DataNotFoundError
from toolkit.samples import DataSet, Sample
from toolkit.skeleton import OPENPOSE18

SPLIT = "kinetics"
_TIMES, _TIMES_LENGTH = re.compile(r"_[0-9]{6}_[0-9]{6}"), 14
_ID_LENGTH = 11


@cache
def read_class_names(*, motion_only: bool = False) -> tuple[str, ...]:
    """Return the 400 class names, or the 30 of Kinetics-Motion, in the order of their labels."""
    rows = read_facts("kinetics_motion" if motion_only else "kinetics_classes")
    return tuple(row["name"] for row in rows)


@cache
def _source_labels() -> dict[str, int]:
    labels = {name: label for label, name in enumerate(read_class_names())}
    spellings = {row["paper_name"]: labels[row["name"]] for row in read_facts("kinetics_motion")}
    return labels | spellings


@cache
def _motion_labels() -> dict[int, int]:
    names = read_class_names(motion_only=True)
    return {_source_labels()[name]: label for label, name in enumerate(names)}


@dataclass
class _Findings:
    """What was found for every id, and the sentences to tell; filled step by step."""

    folders: tuple[Path, Path | None]
    entries: dict[str, ClassEntry] = field(default_factory=dict)
    poses: dict[str, str] = field(default_factory=dict)
    videos: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)


@collector_paused()
def list_kinetics(
    poses: Path,
    videos: Path | None,
    *,
    labels: Sequence[Path] | None = None,
    motion_only: bool = False,
) -> DataSet:
    """List every recording that a label file, a pose file or a video below the folders names.

    ``videos=None`` plans for the poses alone.  ``labels`` replaces the ``*label*.json`` files below
    ``poses``; without any, each pose file's own label is read.  ``motion_only`` keeps the 30
    classes of Kinetics-Motion, numbered in the order of their names.  Raises
    ``DataNotFoundError`` where no pose file, or no video, is found at all and ``TableError`` on a
    damaged label file.
    """
    name = "kinetics-motion" if motion_only else "kinetics"
    found = _Findings((poses, videos))
    _find_poses(found, labels, name)
    if videos is not None:
        _find_videos(found, videos, name)
    ids = _choose_ids(found, motion_only=motion_only)
    found.notices += _compare_indices(found.entries, ids)
    samples = tuple(_iterate_samples(ids, found, motion_only=motion_only))
    n_adrift = sum(not sample.subsets for sample in samples)
    if n_adrift:
        found.notices.append(
            f"{n_adrift} recordings belong to neither train nor test: no label file or folder "
            f"of theirs has train or val in its name"
        )
    return DataSet(
        name=name,
        layout=OPENPOSE18,
        class_names=read_class_names(motion_only=motion_only),
        splits=(SPLIT,),
        default_split=SPLIT,
        samples=samples,
        notices=tuple(found.notices),
    )


def _find_poses(found: _Findings, labels: Sequence[Path] | None, name: str) -> None:
    root = found.folders[0]
    files = find_required(name, "poses", root, (".json",))
    pose_paths, label_paths = sort_json_files(files.paths)
    found.entries, notices = read_label_files(label_paths if labels is None else labels)
    first, twice = keep_first((_stem(path), path) for path in pose_paths)
    found.notices += [*files.notices, *notices, *notice_twice("pose file", twice)]
    strangers: list[str] = []
    for sample_id, path in first.items():
        entry = found.entries.get(sample_id)
        # Only files that no label file names are opened here: the release has 260,000.
        if entry is None and (entry := read_own_label(path)) is None:
            strangers.append(path)
            continue
        found.poses[sample_id] = path
        if not entry.subset:
            entry = entry._replace(subset=subset_of_folders(path, root))
        found.entries[sample_id] = entry
    if strangers:
        found.notices.append(
            f"{len(strangers)} JSON files hold no poses (no list called data) and were left "
            f"out: {say_some(strangers)}"
        )
    if not found.poses:
        raise DataNotFoundError(describe_missing(name, "poses", [root]))


def _find_videos(found: _Findings, root: Path, name: str) -> None:
    files = find_required(name, "videos", root, VIDEO_SUFFIXES)
    pairs = ((match_video(_stem(path), found.entries), path) for path in files.paths)
    found.videos, twice = keep_first(pairs)
    found.notices += [*files.notices, *notice_twice("video", twice)]
    for sample_id in found.videos.keys() - found.entries.keys():
        subset = subset_of_folders(found.videos[sample_id], root)
        found.entries[sample_id] = ClassEntry(subset=subset)


def _stem(path: str) -> str:
    return path.rpartition(os.sep)[2].rpartition(".")[0]


def match_video(stem: str, ids: Container[str]) -> str:
    """Return the id that a video's name (without its suffix) belongs to.

    In this order, as far as it is one of ``ids``: the whole name; the name without its two
    six-digit times; its first, then its last 11 characters, set off by ``_`` (an id may hold ``_``
    itself, so nothing is split at it).  A name that fits none gives the name without its times.
    """
    if stem in ids:
        return stem
    timed = len(stem) > _TIMES_LENGTH and _TIMES.fullmatch(stem[-_TIMES_LENGTH:])
    timeless = stem[:-_TIMES_LENGTH] if timed else stem
    if timeless in ids:
        return timeless
    if stem[_ID_LENGTH : _ID_LENGTH + 1] == "_" and stem[:_ID_LENGTH] in ids:
        return stem[:_ID_LENGTH]
    # A class name before the id may hold anything, hence from the end, and after the rest.
    if timeless[-_ID_LENGTH - 1 : -_ID_LENGTH] == "_" and timeless[-_ID_LENGTH:] in ids:
        return timeless[-_ID_LENGTH:]
    return timeless


def _choose_ids(found: _Findings, *, motion_only: bool) -> list[str]:
    ids = sorted(found.entries)
    strange = [sample_id for sample_id in ids if find_id_fault(sample_id)]
    if strange:
        shown = say_some([ascii(sample_id) for sample_id in strange])
        found.notices.append(f"{len(strange)} files whose names cannot be ids left out: {shown}")
        ids = sorted(set(ids) - set(strange))
    if not motion_only:
        return ids
    labels = {i: _source_labels().get(found.entries[i].label, -1) for i in ids}
    unknown = [i for i in ids if labels[i] == -1]
    if unknown:
        found.notices.append(
            f"{len(unknown)} recordings of unknown class were left out of Kinetics-Motion: "
            f"{say_some(unknown)}"
        )
    return [i for i in ids if labels[i] in _motion_labels()]


def _compare_indices(entries: dict[str, ClassEntry], ids: list[str]) -> list[str]:
    cases: list[str] = []
    n_one_based, labels = 0, _source_labels()
    for sample_id in ids:
        entry = entries[sample_id]
        label = labels.get(entry.label)
        if label is None or entry.label_index in (None, label):
            continue
        n_one_based += entry.label_index == label + 1
        cases.append(f"{sample_id}: {entry.label} is {label}, not {entry.label_index!r:.20}")
    if not cases:
        return []
    return [
        f"label_index disagrees with label for {len(cases)} of {len(ids)} recordings "
        f"({n_one_based} of them count from 1); the label is used: {say_some(cases, '; ')}"
    ]


def _iterate_samples(ids: list[str], found: _Findings, *, motion_only: bool) -> Iterator[Sample]:
    labels, names = _source_labels(), read_class_names()
    subsets = {subset: {SPLIT: subset} if subset else {} for subset in ("", "train", "test")}
    for sample_id in ids:
        entry = found.entries[sample_id]
        source_label = labels.get(entry.label, -1)
        reason, detail = _find_reason(sample_id, entry, found)
        yield Sample(
            sample_id,
            _motion_labels()[source_label] if motion_only else source_label,
            names[source_label] if source_label >= 0 else entry.label,
            subsets[entry.subset],
            found.poses.get(sample_id),
            found.videos.get(sample_id),
            {"youtube_id": sample_id, "source_label": source_label},
            reason,
            detail,
        )


def _find_reason(sample_id: str, entry: ClassEntry, found: _Findings) -> tuple[str | None, str]:
    pose_folder, video_folder = found.folders
    unplaced = video_folder is not None and sample_id not in found.videos
    known = entry.label in _source_labels() and entry.has_skeleton and not entry.fault
    if known and sample_id in found.poses and not unplaced:
        return None, ""
    # In order: what is wrong with the class, then with the poses, then with the video.
    checks = (
        (entry.fault, "bad_skeleton", entry.fault),
        (not entry.label, "no_label", "neither a label file nor a pose file names its class"),
        (
            entry.label not in _source_labels(),
            "unknown_label",
            f'"{entry.label}" is not one of the 400 Kinetics classes',
        ),
        (
            not entry.has_skeleton,
            "missing_skeleton",
            "the label file says has_skeleton is false",
        ),
        (
            sample_id not in found.poses,
            "missing_skeleton",
            f"no {sample_id}.json lies below {pose_folder}",
        ),
        (unplaced, "missing_video", f"no video named {sample_id} lies below {video_folder}"),
    )
    return next((reason, detail) for wrong, reason, detail in checks if wrong)
