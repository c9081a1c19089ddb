"""What the JSON files of Kinetics-skeleton say about each id: its class, and train or val."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from toolkit.datasets.discover import notice_twice, say_some
from toolkit.datasets.tables import find_id_fault, list_bad_ids, read_json_object, show_json
from toolkit.errors import SkeletonFileError, TableError
from toolkit.readers.people import read_json
from toolkit.readers.pose_bytes import read_pose_bytes

T = TypeVar("T")

# Not the word test: Kinetics has a test subset besides, and folders are often called so by chance.
_SUBSET_WORDS = {
    "train": "train",
    "training": "train",
    "val": "test",
    "valid": "test",
    "validation": "test",
}


_SYNTHESIS_FILES = frozenset({"ceilings.json", "synthesis.json"})


class ClassEntry(NamedTuple):
    """What is known of one id before its pose file is decoded.

    ``label`` is the class name as written, ``""`` where no file gives one; ``fault`` is why the
    pose file, asked for its own label, could not be read.
    """

    label: str = ""
    label_index: object = None
    has_skeleton: bool = True
    subset: str = ""
    fault: str = ""


class SharedEntries:
    """The entries of many recordings: of 300,000 in label files some 800 differ."""

    def __init__(self, entries: Iterable[ClassEntry]) -> None:
        self._all = list(entries)
        self._keys = list(map(id, self._all))
        self._distinct = dict(zip(self._keys, self._all, strict=True))

    def __getitem__(self, at: int) -> ClassEntry:
        return self._all[at]

    def tell(self, say: Callable[[ClassEntry], T]) -> list[T]:
        """Return what ``say`` returns of each recording's entry; it is asked once for each."""
        told = {key: say(entry) for key, entry in self._distinct.items()}
        return list(map(told.__getitem__, self._keys))


def parse_subset(name: str) -> str:
    """Return train or test as a word of the name says (val means test), ``""`` if none or both."""
    words = re.split(r"[^a-z]+", name.lower())
    subsets = {_SUBSET_WORDS[word] for word in words if word in _SUBSET_WORDS}
    return subsets.pop() if len(subsets) == 1 else ""


def subset_of_folders(path: str, root: Path) -> str:
    """Return the subset that the folder nearest to the file names, ``root`` being the last asked.

    ``path`` must begin with ``root``, as :func:`~toolkit.datasets.discover.find_files` gives it.
    """
    return _subset_of_folder(path.rpartition(os.sep)[0], root)


@lru_cache(maxsize=4096)
def _subset_of_folder(folder: str, root: Path) -> str:
    names = [root.resolve().name, *Path(folder).relative_to(root).parts]
    return next(filter(None, map(parse_subset, reversed(names))), "")


def sort_json_files(paths: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Return the pose files and the label files among the paths.

    A label file has ``label`` in its name and no list called ``data``: an id may spell ``label``.
    What ``ctxtool synthesize`` tells of its own data is neither.
    """
    odd = {
        path: name
        for path in paths
        if "label" in (name := path[path.rfind(os.sep) + 1 :]).lower() or name in _SYNTHESIS_FILES
    }
    labels = [p for p, n in odd.items() if n not in _SYNTHESIS_FILES and not _holds_poses(p)]
    no_poses = {*labels, *(path for path, name in odd.items() if name in _SYNTHESIS_FILES)}
    return [path for path in paths if path not in no_poses], list(map(Path, labels))


def _holds_poses(path: str) -> bool:
    try:
        # That tells nearly all: the label file of the release, of 25 MB, is not parsed twice.
        data = read_pose_bytes(Path(path))
        return (b'"data"' in data or b"\\" in data) and _is_pose_object(read_json(Path(path)))
    except SkeletonFileError:
        return False  # read_label_files opens it again and says what is wrong


def _is_pose_object(data: Any) -> bool:
    return isinstance(data, dict) and isinstance(data.get("data"), list)


def read_label_files(paths: Iterable[Path]) -> tuple[dict[str, ClassEntry], list[str]]:
    """Read ``{id: {has_skeleton, label, label_index}}`` files in the order given.

    Returns the first entry of every id and what to tell of ids named twice.  The name of the file,
    or else of its folder, says the subset.  Raises ``TableError`` naming the line or the id.
    """
    entries: dict[str, ClassEntry] = {}
    files: list[tuple[Path, dict[str, ClassEntry]]] = []
    twice: dict[str, list[str]] = {}
    notices: list[str] = []
    for path in paths:
        table, repeated = read_json_object(path)
        if repeated:
            notices.append(f"{path} repeats keys; the last is used: {say_some(repeated)}")
        subset = parse_subset(path.stem) or parse_subset(path.resolve().parent.name)
        new = _parse_entries(path, table, subset)
        for sample_id in new.keys() & entries.keys():
            first = next(file for file, ids in files if sample_id in ids)
            twice.setdefault(sample_id, [str(first)]).append(str(path))
            del new[sample_id]
        entries.update(new)
        files.append((path, new))
    return entries, [*notices, *notice_twice("label entry", twice)]


def _parse_entries(path: Path, table: dict[str, Any], subset: str) -> dict[str, ClassEntry]:
    bad_ids = frozenset(list_bad_ids(table))
    entries: dict[str, ClassEntry] = {}
    # Values with the same text are one object.
    known: dict[int, ClassEntry] = {}
    for sample_id, value in table.items():
        if sample_id in bad_ids:
            fault = find_id_fault(sample_id)
            raise TableError(path, f"id {sample_id!a}", expected="a plain id", found=fault)
        entry = known.get(id(value)) or _parse_entry(path, sample_id, value, subset)
        known[id(value)] = entries[sample_id] = entry
    return entries


def _parse_entry(path: Path, sample_id: str, value: Any, subset: str) -> ClassEntry:
    place = f'id "{sample_id}"'
    if not isinstance(value, dict):
        expected = "an object with has_skeleton, label and label_index"
        raise TableError(path, place, expected=expected, found=show_json(value))
    label, has_skeleton = value.get("label"), value.get("has_skeleton", True)
    if not isinstance(label, str) or not label.strip() or not label.isprintable():
        raise TableError(path, place, expected="a class name as label", found=show_json(label))
    if not isinstance(has_skeleton, bool):
        found = show_json(has_skeleton)
        raise TableError(path, place, expected="has_skeleton true or false", found=found)
    return ClassEntry(label.strip(), _plain_index(value), has_skeleton, subset)


def _plain_index(entry: dict[str, Any]) -> object:
    index = entry.get("label_index")
    return show_json(index) if isinstance(index, (list, dict)) else index


def read_own_label(path: str) -> ClassEntry | None:
    """Return the label a pose file carries itself, or None where the file holds no poses at all.

    A file that cannot be read gives an entry whose ``fault`` says why.
    """
    try:
        data = read_json(Path(path))
    except SkeletonFileError as error:
        return ClassEntry(fault=str(error))
    if not _is_pose_object(data):
        return None
    label = data.get("label")
    usable = isinstance(label, str) and label.isprintable()
    return ClassEntry(label.strip() if usable else "", _plain_index(data))
