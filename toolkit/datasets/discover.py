"""Find raw files below a folder, whatever its folders are called, and say what is not there."""

import gc
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import CtxtoolError, DataNotFoundError, in_one_line

VIDEO_SUFFIXES = (".avi", ".mkv", ".mov", ".mp4", ".webm")
_MAX_EXAMPLES = 3


@dataclass(frozen=True)
class FoundFiles:
    """Paths in sorted order, each beginning with the folder searched, and what to tell the user."""

    paths: tuple[str, ...]
    notices: tuple[str, ...] = ()


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python from looking for garbage while objects are made that all stay.

    It would go through a listing of 300,000 samples again and again: a seventh of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def find_files(root: Path, suffixes: tuple[str, ...]) -> FoundFiles:
    """Return every file below ``root`` whose name ends in one of ``suffixes``, in any case.

    Hidden files and folders (a leading dot) are passed over.  Links are followed; a folder reached
    twice is read once.  A ``root`` that does not exist holds no files.  Raises ``CtxtoolError`` on
    a folder that cannot be read and on a path that is not UTF-8.
    """
    return find_kinds(root, suffixes)[0]


def find_kinds(root: Path, *kinds: tuple[str, ...]) -> tuple[FoundFiles, ...]:
    """Return what :func:`find_files` does of each kind's suffixes; every folder is read once.

    A suffix is a dot and what follows the last dot of a name, in small letters.
    """
    search = _Search({suffix: at for at, kind in enumerate(kinds) for suffix in kind}, len(kinds))
    try:
        if root.exists():
            search.walk(root)
    except NotADirectoryError as error:
        raise DataNotFoundError(f"{root}: expected a folder, found a file") from error
    except OSError as error:
        raise CtxtoolError(f"{error.filename}: cannot be read: {error.strerror}") from error
    return tuple(map(_sort_found, search.paths, search.dangling))


def _sort_found(paths: list[str], dangling: list[str]) -> FoundFiles:
    _refuse_undecodable([*paths, *dangling])
    notice = f"links that lead to no file were left out: {say_some(sorted(dangling))}"
    return FoundFiles(tuple(sorted(paths)), (notice,) if dangling else ())


class _Search:
    """What lies below a folder, by kind; ``kinds`` has the number of each suffix's kind."""

    def __init__(self, kinds: Mapping[str, int], n_kinds: int) -> None:
        self._kinds = kinds
        self.paths: list[list[str]] = [[] for _ in range(n_kinds)]
        self.dangling: list[list[str]] = [[] for _ in range(n_kinds)]

    def walk(self, root: Path) -> None:
        waiting, seen = [os.fspath(root)], set[tuple[int, int]]()
        while waiting:
            folder = waiting.pop()
            status = Path(folder).stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            # Reading order decides which way into a twice-linked folder counts, so it is fixed.
            waiting += sorted(self._read_folder(folder), reverse=True)

    def _read_folder(self, folder: str) -> list[str]:
        """Take in the files of a folder and return the paths of its folders."""
        folders: list[str] = []
        names: list[list[str]] = [[] for _ in self.paths]
        kinds = {suffix: names[kind] for suffix, kind in self._kinds.items()}
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name[0] == ".":
                    continue
                suffix = name[name.rfind(".") :]
                kind = kinds.get(suffix)
                if kind is None:
                    kind = kinds.get(suffix.lower())
                # Nearly all are plain files, and the folder itself says so.
                if entry.is_file(follow_symlinks=False):
                    if kind is not None:
                        kind.append(name)
                elif self._is_folder(entry):
                    folders.append(entry.path)
        start = os.path.join(folder, "")  # noqa: PTH118 - no Path per file: there are 600,000
        for paths, found in zip(self.paths, names, strict=True):
            # Names are shorter to compare than paths, and sorted parts are quickly sorted as a
            # whole.
            paths += [start + name for name in sorted(found)]
        return folders

    def _is_folder(self, entry: "os.DirEntry[str]") -> bool:
        """Tell whether what is no plain file is a folder; take in a link to a file."""
        # Path answers False for a link that leads to itself, where an entry would raise.
        target = Path(entry.path) if entry.is_symlink() else entry
        if target.is_dir():
            return True
        kind = self._kinds.get(entry.name[entry.name.rfind(".") :].lower())
        if kind is not None:
            (self.paths if target.is_file() else self.dangling)[kind].append(entry.path)
        return False


def _refuse_undecodable(paths: Sequence[str]) -> None:
    # The manifest is UTF-8 text; bytes that are not would fail there, hours later.
    for path in paths:
        if path.isascii():
            continue
        try:
            path.encode()
        except UnicodeEncodeError as error:
            raise CtxtoolError(f"{path!a}: expected a path in UTF-8; rename it") from error


def keep_first(
    keys: Sequence[str], paths: Sequence[str]
) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the first path of each key, and all paths of every key that came more than once."""
    first = dict(zip(keys, paths, strict=True))
    if len(first) == len(keys):
        return first, {}
    first.clear()
    twice: dict[str, list[str]] = {}
    for key, path in zip(keys, paths, strict=True):
        if first.setdefault(key, path) is not path:
            twice.setdefault(key, [first[key]]).append(path)
    return first, twice


def notice_twice(what: str, twice: dict[str, list[str]]) -> tuple[str, ...]:
    """Return the sentence that tells of recordings found more than once, or nothing."""
    if not twice:
        return ()
    cases = [f"{key}: {' and '.join(paths)}" for key, paths in sorted(twice.items())]
    many = f"{len(twice)} recordings have" if len(twice) > 1 else "1 recording has"
    return (f"{many} more than one {what}; the first path is used: {say_some(cases, '; ')}",)


def say_some(names: Collection[str], between: str = ", ") -> str:
    """Return the first few names, in one line whatever they hold, and how many more there are."""
    shown = between.join(map(in_one_line, list(names)[:_MAX_EXAMPLES]))
    more = len(names) - _MAX_EXAMPLES
    return f"{shown}{between}and {more} more" if more > 0 else shown


@dataclass(frozen=True)
class _Source:
    title: str
    poses: str
    videos: str
    how: str
    stand_in: str


_NTU = _Source(
    title="NTU RGB+D",
    poses="skeleton files named like S001C001P001R001A001.skeleton",
    videos="videos named like S001C001P001R001A001_rgb.avi",
    how=(
        "The data set is free for academic research after registration and acceptance of its "
        "licence at https://rose1.ntu.edu.sg/dataset/actionRecognition: ask for the skeletons and "
        "the RGB videos, and unpack them anywhere below this folder."
    ),
    stand_in="ctxtool synthesize ntu",
)
_KINETICS = _Source(
    title="Kinetics-skeleton",
    poses="pose files named like kinetics_train/<YouTube id>.json",
    videos="videos named like <YouTube id>_000010_000020.mp4 or <YouTube id>.mp4",
    how=(
        "The poses are part of the ST-GCN release (the Kinetics-skeleton download linked at "
        "https://github.com/yysijie/st-gcn); the videos are those of Kinetics-400, whose owners "
        "keep their rights and whose licence asks for registration at some distributors: unpack "
        "both anywhere below this folder."
    ),
    stand_in="ctxtool synthesize kinetics",
)
_SOURCES = {"ntu60": _NTU, "ntu120": _NTU, "kinetics": _KINETICS, "kinetics-motion": _KINETICS}


def describe_missing(dataset: str, kind: str, looked_in: Sequence[Path]) -> str:
    """Return one paragraph: what was looked for and where, how to get it, and a stand-in.

    ``dataset`` is ntu60, ntu120, kinetics or kinetics-motion; ``kind`` is poses or videos.
    """
    if dataset not in _SOURCES or kind not in ("poses", "videos"):
        raise ValueError(f"nothing is known about the {kind} of {dataset!r}")
    source = _SOURCES[dataset]
    wanted = source.poses if kind == "poses" else source.videos
    places = " or ".join(str(place) for place in looked_in)
    without = " Without videos, --skeleton-only uses the poses alone." if kind == "videos" else ""
    return (
        f"No raw {source.title} data was found: looked for {wanted} below {places}. {source.how}"
        f"{without} For a stand-in in the same formats, run: {source.stand_in}"
    )


def require_files(found: FoundFiles, dataset: str, kind: str, root: Path) -> FoundFiles:
    """Return what was found; raise ``DataNotFoundError`` saying what to do where it is nothing."""
    if not found.paths:
        raise DataNotFoundError(describe_missing(dataset, kind, [root]))
    return found
