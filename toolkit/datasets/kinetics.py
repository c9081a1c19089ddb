"""Kinetics-skeleton (400 classes) and Kinetics-Motion (30 of them): classes, subsets, files by id.

The evaluation subset, called val in the files, is stored as ``test``: the papers report it.
"""

import os
import re
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import filterfalse
from pathlib import Path

from manifests import read_facts
from toolkit.datasets.discover import (
    VIDEO_SUFFIXES,
    FoundFiles,
    collector_paused,
    describe_missing,
    find_files,
    find_kinds,
    keep_first,
    notice_twice,
    require_files,
    say_some,
)
from toolkit.datasets.kinetics_labels import (
    ClassEntry,
    SharedEntries,
    read_label_files,
    read_own_label,
    sort_json_files,
    subset_of_folders,
)
from toolkit.datasets.tables import list_bad_ids
from toolkit.errors import DataNotFoundError
from toolkit.samples import DataSet, SampleColumns
from toolkit.skeleton import OPENPOSE18

SPLIT = "kinetics"
_POSE_SUFFIXES = (".json",)
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
    # Where both lie below one folder it is read once.
    files, beside = find_kinds(poses, _POSE_SUFFIXES, VIDEO_SUFFIXES if videos == poses else ())
    _take_poses(found, require_files(files, name, "poses", poses), labels, name)
    if videos is not None:
        files = beside if videos == poses else find_files(videos, VIDEO_SUFFIXES)
        _take_videos(found, require_files(files, name, "videos", videos), videos)
    ids = _choose_ids(found, motion_only=motion_only)
    entries = SharedEntries(map(found.entries.__getitem__, ids))
    found.notices += _compare_indices(ids, entries)
    samples = _list_samples(ids, entries, found, motion_only=motion_only)
    n_adrift = samples.subsets[SPLIT].count(None)
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


def _take_poses(
    found: _Findings, files: FoundFiles, labels: Sequence[Path] | None, name: str
) -> None:
    root = found.folders[0]
    paths, label_paths = sort_json_files(files.paths)
    found.entries, notices = read_label_files(label_paths if labels is None else labels)
    found.poses, twice = keep_first(_list_stems(paths), paths)
    found.notices += [*files.notices, *notices, *notice_twice("pose file", twice)]
    strangers: list[str] = []
    # Only files that no label file names are opened here: the release has 260,000.
    for sample_id in list(filterfalse(found.entries.__contains__, found.poses)):
        entry = read_own_label(found.poses[sample_id])
        if entry is None:
            strangers.append(found.poses.pop(sample_id))
        else:
            found.entries[sample_id] = entry
    if strangers:
        found.notices.append(
            f"{len(strangers)} JSON files hold no poses (no list called data) and were left "
            f"out: {say_some(strangers)}"
        )
    if not found.poses:
        raise DataNotFoundError(describe_missing(name, "poses", [root]))


def _take_videos(found: _Findings, files: FoundFiles, root: Path) -> None:
    ids = [match_video(stem, found.entries) for stem in _list_stems(files.paths)]
    found.videos, twice = keep_first(ids, files.paths)
    found.notices += [*files.notices, *notice_twice("video", twice)]
    for sample_id in list(filterfalse(found.entries.__contains__, found.videos)):
        subset = subset_of_folders(found.videos[sample_id], root)
        found.entries[sample_id] = ClassEntry(subset=subset)


def _list_stems(paths: Iterable[str]) -> list[str]:
    return [path[path.rfind(os.sep) + 1 : path.rfind(".")] for path in paths]


def match_video(stem: str, ids: Container[str]) -> str:
    """Return the id that a video's name (without its suffix) belongs to.

    In this order, as far as it is one of ``ids``: the whole name; the name without its two
    six-digit times; its first, then its last 11 characters, set off by ``_`` (an id may hold ``_``
    itself, so nothing is split at it).  A name that fits none gives the name without its times.
    """
    if stem in ids:
        return stem
    timed = len(stem) > _TIMES_LENGTH and _TIMES.fullmatch(stem, len(stem) - _TIMES_LENGTH)
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
    # Poses come sorted, which saves most of the work.
    ids = sorted(found.poses | found.entries)
    strange = list_bad_ids(ids)
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


def _compare_indices(ids: list[str], entries: SharedEntries) -> list[str]:
    labels = _source_labels()

    def is_other(entry: ClassEntry) -> bool:
        label = labels.get(entry.label)
        return label is not None and entry.label_index not in (None, label)

    others = [at for at, other in enumerate(entries.tell(is_other)) if other]
    if not others:
        return []
    cases: list[str] = []
    n_one_based = 0
    for at in others:
        entry = entries[at]
        label = labels[entry.label]
        n_one_based += entry.label_index == label + 1
        cases.append(f"{ids[at]}: {entry.label} is {label}, not {entry.label_index!r:.20}")
    return [
        f"label_index disagrees with label for {len(cases)} of {len(ids)} recordings "
        f"({n_one_based} of them count from 1); the label is used: {say_some(cases, '; ')}"
    ]


def _list_samples(
    ids: list[str], entries: SharedEntries, found: _Findings, *, motion_only: bool
) -> SampleColumns:
    labels, names = _source_labels(), read_class_names()
    source_labels = entries.tell(lambda entry: labels.get(entry.label, -1))
    spellings = {label: names[number] for label, number in labels.items()}
    poses, videos = list(map(found.poses.get, ids)), list(map(found.videos.get, ids))
    needed = (poses,) if found.folders[1] is None else (poses, videos)
    reasons, details = _find_reasons(ids, entries, found, needed)
    return SampleColumns(
        sample_id=ids,
        label=[_motion_labels()[n] for n in source_labels] if motion_only else source_labels,
        label_name=entries.tell(lambda entry: spellings.get(entry.label, entry.label)),
        subsets={SPLIT: _find_subsets(entries, poses, found.folders[0])},
        poses=poses,
        video=videos,
        facts={"youtube_id": ids, "source_label": source_labels},
        reason=reasons,
        detail=details,
    )


def _find_subsets(entries: SharedEntries, poses: list[str | None], root: Path) -> list[str | None]:
    """Return what the entry says, or else the folders of the pose file."""
    subsets = entries.tell(lambda entry: entry.subset or None)
    for at in [at for at, subset in enumerate(subsets) if subset is None]:
        path = poses[at]
        subsets[at] = (subset_of_folders(path, root) or None) if path else None
    return subsets


def _find_reasons(
    ids: list[str], entries: SharedEntries, found: _Findings, files: tuple[list[str | None], ...]
) -> tuple[list[str | None], list[str]]:
    """Return reason and sentence of each recording, None and nothing where it lacks nothing.

    ``files`` are the columns of files that each recording needs.
    """
    reasons: list[str | None] = [None] * len(ids)
    details = [""] * len(ids)
    has_all = map(all, zip(entries.tell(_is_usable), *files, strict=True))
    for at in [at for at, lacks_nothing in enumerate(has_all) if not lacks_nothing]:
        reasons[at], details[at] = _find_reason(ids[at], entries[at], found)
    return reasons, details


def _is_usable(entry: ClassEntry) -> bool:
    return entry.label in _source_labels() and entry.has_skeleton and not entry.fault


def _find_reason(sample_id: str, entry: ClassEntry, found: _Findings) -> tuple[str, str]:
    """Return the reason and the sentence of a recording that lacks something."""
    pose_folder, video_folder = found.folders
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
        (True, "missing_video", f"no video named {sample_id} lies below {video_folder}"),
    )
    return next((reason, detail) for wrong, reason, detail in checks if wrong)
