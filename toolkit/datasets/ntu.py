"""NTU RGB+D 60 and 120: recording names, published splits, and where the files lie."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

from manifests import read_facts
from toolkit.datasets.discover import (
    FoundFiles,
    collector_paused,
    find_files,
    find_kinds,
    keep_first,
    notice_twice,
    require_files,
    say_some,
)
from toolkit.samples import DataSet, SampleColumns
from toolkit.skeleton import NTU25

_NAME = re.compile(
    r"S([0-9]{3})C([0-9]{3})P([0-9]{3})R([0-9]{3})A([0-9]{3})"
    r"(?i:\.skeleton|_rgb\.(?:avi|mkv|mov|mp4))?"
)
_NAME_LENGTH = len("S001C001P001R001A001")
_SPLIT_KEYS = {"xsub": "subject", "xview": "camera", "xset": "setup"}
_SKELETON_SUFFIX = ".skeleton"
_VIDEO_SUFFIXES = (".avi", ".mkv", ".mov", ".mp4")


class NtuName(NamedTuple):
    """The five 1-based numbers of a recording's name; ``str()`` gives the name back."""

    setup: int
    camera: int
    subject: int
    replication: int
    action: int

    def __str__(self) -> str:
        return "S{:03}C{:03}P{:03}R{:03}A{:03}".format(*self)


@dataclass(frozen=True)
class _Edition:
    """The highest setup, camera, subject, replication and action, and the published splits."""

    last: NtuName
    splits: tuple[str, str]


_EDITIONS = {
    "ntu60": _Edition(NtuName(17, 3, 40, 2, 60), ("xsub", "xview")),
    "ntu120": _Edition(NtuName(32, 3, 106, 2, 120), ("xsub", "xset")),
}


def _edition(dataset: str) -> _Edition:
    if dataset not in _EDITIONS:
        raise ValueError(f"the data set must be ntu60 or ntu120, got {dataset!r}")
    return _EDITIONS[dataset]


def parse_ntu_name(name: str) -> NtuName:
    """Parse ``SsssCcccPpppRrrrAaaa``, with or without ``.skeleton`` or ``_rgb.avi`` behind it.

    Raises ``ValueError`` on anything else, a zero included.
    """
    match = _NAME.fullmatch(name)
    numbers = tuple(map(int, match.groups())) if match else (0,)
    if 0 in numbers:
        raise ValueError(f"expected a name like S001C001P001R001A001, got {name!r}")
    return NtuName(*numbers)


@cache
def _subset_facts() -> dict[tuple[str, str], dict[int, str]]:
    return {
        ("ntu60", "xsub"): _column("ntu_subjects", "subject", "ntu60_xsub"),
        ("ntu60", "xview"): _column("ntu_cameras", "camera", "xview"),
        ("ntu120", "xsub"): _column("ntu_subjects", "subject", "ntu120_xsub"),
        ("ntu120", "xset"): _column("ntu_setups", "setup", "xset"),
    }


def _column(table: str, key: str, value: str) -> dict[int, str]:
    return {int(row[key]): row[value] for row in read_facts(table) if row[value]}


@cache
def read_class_names(dataset: str) -> tuple[str, ...]:
    """Return the published class names in the order of their labels (action - 1)."""
    rows = read_facts("ntu_classes")[: _edition(dataset).last.action]
    return tuple(row["name"] for row in rows)


@cache
def read_listed_missing(dataset: str) -> frozenset[str]:
    """Return the names whose skeletons the authors list as missing or incomplete: 302 or 535."""
    _edition(dataset)
    # The shorter list is the part of the longer one that lies in setups 1 to 17.
    rows = read_facts("ntu_missing")
    return frozenset(r["name"] for r in rows if dataset == "ntu120" or r["ntu60"] == "yes")


def ntu_subsets(name: NtuName, dataset: str) -> dict[str, str]:
    """Return the subset (train or test) of a recording in both published splits.

    Raises ``ValueError`` where the recording is not part of the data set.
    """
    edition = _edition(dataset)
    if not _is_within(name, edition):
        raise ValueError(f"{name} is not part of {dataset}")
    facts = _subset_facts()
    return {
        split: facts[dataset, split][getattr(name, _SPLIT_KEYS[split])] for split in edition.splits
    }


def _is_within(name: NtuName, edition: _Edition) -> bool:
    return all(value <= last for value, last in zip(name, edition.last, strict=True))


def _iterate_recorded(dataset: str) -> Iterator[tuple[int, int, range]]:
    """Yield setup, subject and actions of whoever was recorded in a setup.

    Not every subject was in every setup; those who were did all its actions, each twice before
    three cameras.
    """
    last = _edition(dataset).last
    for row in read_facts("ntu_recordings"):
        setup, subject, first_action, last_action = map(int, row.values())
        if setup <= last.setup:
            yield setup, subject, range(first_action, last_action + 1)


def _iterate_names(dataset: str) -> Iterator[NtuName]:
    last = _edition(dataset).last
    for setup, subject, actions in _iterate_recorded(dataset):
        for camera in range(1, last.camera + 1):
            for replication in range(1, last.replication + 1):
                for action in actions:
                    yield NtuName(setup, camera, subject, replication, action)


def list_ntu_names(dataset: str) -> list[str]:
    """Return every recording the authors captured, sorted: 56,880 or 114,480 names."""
    return sorted(map(str, _iterate_names(dataset)))


class SplitCount(NamedTuple):
    """Recordings of one split, all of them and without the missing list."""

    dataset: str
    recordings: int
    split: str
    train: int
    test: int
    missing: int
    train_present: int
    test_present: int


def count_splits() -> list[SplitCount]:
    """Count the recordings of every published split."""
    return [row for dataset in _EDITIONS for row in _count_splits_of(dataset)]


def _count_splits_of(dataset: str) -> list[SplitCount]:
    whole, lost = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    last, missing, n_recordings = _edition(dataset).last, read_listed_missing(dataset), 0
    for setup, subject, actions in _iterate_recorded(dataset):
        for camera in range(1, last.camera + 1):
            # All that is recorded there lies in the same subset, whatever the split.
            first = NtuName(setup, camera, subject, 1, actions[0])
            n_names = last.replication * len(actions)
            n_recordings += n_names
            for subset in ntu_subsets(first, dataset).items():
                whole[subset] += n_names
    for stem in missing:
        lost.update(ntu_subsets(parse_ntu_name(stem), dataset).items())
    present = whole - lost
    return [
        SplitCount(
            dataset, n_recordings, split, whole[split, "train"], whole[split, "test"],
            len(missing), present[split, "train"], present[split, "test"],
        )
        for split in _edition(dataset).splits
    ]  # fmt: skip


@collector_paused()
def list_ntu(
    skeletons: Path,
    videos: Path | None,
    *,
    dataset: str = "ntu60",
    default_split: str = "xsub",
    use_listed: bool = False,
) -> DataSet:
    """List every recording that a ``.skeleton`` file or an RGB video below the folders names.

    ``videos=None`` plans for the skeletons alone.  Recordings on the published missing list carry
    the reason ``listed_missing`` unless ``use_listed``.  Raises ``DataNotFoundError`` where no
    skeleton, or no video, is found at all.
    """
    edition = _edition(dataset)
    if default_split not in edition.splits:
        raise ValueError(f"{dataset} has the splits {edition.splits}, not {default_split!r}")
    recordings = _find_recordings(skeletons, videos, dataset)
    listed = frozenset[str]() if use_listed else read_listed_missing(dataset)
    return DataSet(
        name=dataset,
        layout=NTU25,
        class_names=read_class_names(dataset),
        splits=edition.splits,
        default_split=default_split,
        samples=_list_samples(recordings, listed),
        notices=tuple(recordings.notices),
    )


@dataclass
class _Recordings:
    """What was found below the folders, by recording, and the sentences to tell."""

    dataset: str
    folders: tuple[Path, Path | None]
    names: dict[str, NtuName] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    skeletons: dict[str, str] = field(default_factory=dict)
    videos: dict[str, str] = field(default_factory=dict)


def _find_recordings(skeletons: Path, videos: Path | None, dataset: str) -> _Recordings:
    recordings = _Recordings(dataset, (skeletons, videos))
    # Where both lie below one folder it is read once.
    suffixes = _VIDEO_SUFFIXES if videos == skeletons else ()
    found, beside = find_kinds(skeletons, (_SKELETON_SUFFIX,), suffixes)
    require_files(found, dataset, "poses", skeletons)
    recordings.skeletons = _index(found, "skeleton file", recordings)
    if videos is not None:
        found = beside if videos == skeletons else find_files(videos, _VIDEO_SUFFIXES)
        require_files(found, dataset, "videos", videos)
        recordings.videos = _index(found, "video", recordings)
    return recordings


def _index(found: FoundFiles, what: str, recordings: _Recordings) -> dict[str, str]:
    """Return the first file of each recording; take in their names and what there is to tell."""
    edition = _edition(recordings.dataset)
    stems: list[str] = []
    paths: list[str] = []
    strange: list[str] = []
    outside: list[str] = []
    for path in found.paths:
        file = path[path.rfind(os.sep) + 1 :]
        try:
            name = parse_ntu_name(file)
        except ValueError:
            strange.append(path)
            continue
        if _is_within(name, edition):
            stem = file[:_NAME_LENGTH]
            recordings.names[stem] = name
            stems.append(stem)
            paths.append(path)
        else:
            outside.append(path)
    first, twice = keep_first(stems, paths)
    recordings.notices += [
        *found.notices,
        *_notice_strange(what, strange),
        *_notice_outside(what, outside, recordings.dataset),
        *notice_twice(what, twice),
    ]
    return first


def _notice_strange(what: str, paths: list[str]) -> tuple[str, ...]:
    if not paths:
        return ()
    example = "S001C001P001R001A001" + (_SKELETON_SUFFIX if "skeleton" in what else "_rgb.avi")
    return (
        f"{len(paths)} {what}(s) are not named like {example} and were left out: {say_some(paths)}",
    )


def _notice_outside(what: str, paths: list[str], dataset: str) -> tuple[str, ...]:
    if not paths:
        return ()
    advice = (
        "choose the data set ntu120 to take them in"
        if dataset == "ntu60"
        else "NTU RGB+D 120 ends at S032, C003, P106, R002 and A120"
    )
    return (
        f"{len(paths)} {what}(s) are not part of {dataset} and were left out ({advice}): "
        f"{say_some(paths)}",
    )


def _list_samples(recordings: _Recordings, listed: frozenset[str]) -> SampleColumns:
    stems = sorted(recordings.names)
    names = [recordings.names[stem] for stem in stems]
    class_names = read_class_names(recordings.dataset)
    reasons = [_find_reason(stem, recordings, listed) for stem in stems]
    return SampleColumns(
        sample_id=stems,
        label=[name.action - 1 for name in names],
        label_name=[class_names[name.action - 1] for name in names],
        subsets={
            split: [told[getattr(name, _SPLIT_KEYS[split])] for name in names]
            for (dataset, split), told in _subset_facts().items()
            if dataset == recordings.dataset
        },
        poses=[recordings.skeletons.get(stem) for stem in stems],
        video=[recordings.videos.get(stem) for stem in stems],
        facts={what: [getattr(name, what) for name in names] for what in NtuName._fields},
        reason=[reason for reason, _ in reasons],
        detail=[detail for _, detail in reasons],
    )


def _find_reason(
    stem: str, recordings: _Recordings, listed: frozenset[str]
) -> tuple[str | None, str]:
    folder, video_folder = recordings.folders
    # Listed recordings often have a file, only an incomplete one: the list goes first.
    if stem in listed:
        detail = "the authors of the data set list its skeleton as missing or incomplete"
        return "listed_missing", detail
    if stem not in recordings.skeletons:
        return "missing_skeleton", f"no {stem}{_SKELETON_SUFFIX} lies below {folder}"
    if stem not in recordings.videos and video_folder is not None:
        detail = f"no {stem}_rgb.avi (or .mkv, .mov, .mp4) lies below {video_folder}"
        return "missing_video", detail
    return None, ""
