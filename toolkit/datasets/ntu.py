"""NTU RGB+D 60 and 120: recording names, published splits, and where the files lie."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from manifests import read_facts
from toolkit.datasets.discover import (
    FoundFiles,
    find_required,
    keep_first,
    notice_twice,
    say_some,
)
from toolkit.samples import DataSet, Sample
from toolkit.skeleton import NTU25

_NAME = re.compile(
    r"S([0-9]{3})C([0-9]{3})P([0-9]{3})R([0-9]{3})A([0-9]{3})"
    r"(?i:\.skeleton|_rgb\.(?:avi|mkv|mov|mp4))?"
)
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
    keys = {"xsub": name.subject, "xview": name.camera, "xset": name.setup}
    facts = _subset_facts()
    return {split: facts[dataset, split][keys[split]] for split in edition.splits}


def _is_within(name: NtuName, edition: _Edition) -> bool:
    return all(value <= last for value, last in zip(name, edition.last, strict=True))


def _iterate_names(dataset: str) -> Iterator[NtuName]:
    last = _edition(dataset).last
    # Not every subject was recorded in every setup; those who were did all its actions, each
    # twice before three cameras.
    for row in read_facts("ntu_recordings"):
        setup, subject, first_action, last_action = map(int, row.values())
        if setup > last.setup:
            continue
        for camera in range(1, last.camera + 1):
            for replication in range(1, last.replication + 1):
                for action in range(first_action, last_action + 1):
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
    """Count the recordings of every published split from the names themselves."""
    return [row for dataset in _EDITIONS for row in _count_splits_of(dataset)]


def _count_splits_of(dataset: str) -> list[SplitCount]:
    missing = read_listed_missing(dataset)
    whole, present = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    n_recordings = 0
    for name in _iterate_names(dataset):
        subsets = ntu_subsets(name, dataset).items()
        n_recordings += 1
        whole.update(subsets)
        if str(name) not in missing:
            present.update(subsets)
    return [
        SplitCount(
            dataset, n_recordings, split, whole[split, "train"], whole[split, "test"],
            len(missing), present[split, "train"], present[split, "test"],
        )
        for split in _edition(dataset).splits
    ]  # fmt: skip


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
        samples=tuple(
            _make_sample(stem, recordings, listed)
            for stem in sorted({**recordings.skeletons, **recordings.videos})
        ),
        notices=recordings.notices,
    )


@dataclass(frozen=True)
class _Recordings:
    dataset: str
    folders: tuple[Path, Path | None]
    skeletons: dict[str, str]
    videos: dict[str, str]
    notices: tuple[str, ...]


def _find_recordings(skeletons: Path, videos: Path | None, dataset: str) -> _Recordings:
    found = find_required(dataset, "poses", skeletons, (_SKELETON_SUFFIX,))
    poses, notices = _index(found, "skeleton file", dataset)
    pictures: dict[str, str] = {}
    if videos is not None:
        found = find_required(dataset, "videos", videos, _VIDEO_SUFFIXES)
        pictures, more = _index(found, "video", dataset)
        notices += more
    return _Recordings(dataset, (skeletons, videos), poses, pictures, notices)


def _index(found: FoundFiles, what: str, dataset: str) -> tuple[dict[str, str], tuple[str, ...]]:
    edition = _edition(dataset)
    pairs: list[tuple[str, str]] = []
    strange: list[str] = []
    outside: list[str] = []
    for path in found.paths:
        try:
            name = parse_ntu_name(path.rpartition(os.sep)[2])
        except ValueError:
            strange.append(path)
            continue
        if _is_within(name, edition):
            pairs.append((str(name), path))
        else:
            outside.append(path)
    first, twice = keep_first(pairs)
    notices = (
        *found.notices,
        *_notice_strange(what, strange),
        *_notice_outside(what, outside, dataset),
        *notice_twice(what, twice),
    )
    return first, notices


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


def _make_sample(stem: str, recordings: _Recordings, listed: frozenset[str]) -> Sample:
    name = parse_ntu_name(stem)
    pose, video = recordings.skeletons.get(stem), recordings.videos.get(stem)
    reason, detail = None, ""
    folder, video_folder = recordings.folders
    # Listed recordings often have a file, only an incomplete one: the list goes first.
    if stem in listed:
        reason = "listed_missing"
        detail = "the authors of the data set list its skeleton as missing or incomplete"
    elif pose is None:
        reason, detail = "missing_skeleton", f"no {stem}{_SKELETON_SUFFIX} lies below {folder}"
    elif video is None and video_folder is not None:
        reason = "missing_video"
        detail = f"no {stem}_rgb.avi (or .mkv, .mov, .mp4) lies below {video_folder}"
    return Sample(
        sample_id=stem,
        label=name.action - 1,
        label_name=read_class_names(recordings.dataset)[name.action - 1],
        subsets=ntu_subsets(name, recordings.dataset),
        poses=pose,
        video=video,
        facts=name._asdict(),
        reason=reason,
        detail=detail,
    )
