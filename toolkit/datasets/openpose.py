"""Own recordings: a CSV table names each one's class, subset, OpenPose files and video."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.datasets.class_names import notice_slips
from toolkit.datasets.discover import say_some
from toolkit.datasets.tables import find_id_fault, read_json_object, read_text, show_json
from toolkit.errors import DataNotFoundError, TableError
from toolkit.samples import DataSet, Sample
from toolkit.skeleton import FRACTIONS, OPENPOSE18, SkeletonLayout

SPLIT = "split"
_FURTHER_SPLIT = "split_"
_COLUMNS = ("id", "label", "split", "poses", "video")
_SUBSETS = ("train", "val", "test")
# Folds are columns of their own; a header of a million would be asked for each line.
MAX_COLUMNS = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class _Row:
    """One recording of the table and the line it begins on."""

    line: int
    cells: dict[str, str]


def list_openpose(
    table: Path, *, videos: bool = True, layout: SkeletonLayout = OPENPOSE18
) -> DataSet:
    """List the recordings of a CSV table with the columns id, label, split, poses, video.

    ``poses`` is a folder of OpenPose files or one Kinetics-style JSON file; paths count from the
    table's folder; ``split`` is train, val, test or empty, and so is every further column named
    ``split_NAME`` (folds, protocols).  Classes are numbered in the order of their names (integers
    by value) unless a column ``label_index`` says otherwise.
    ``videos=False`` plans for the poses alone and needs no column ``video``.  Raises
    ``TableError`` naming the line of a mistake and ``DataNotFoundError`` without a table.
    """
    if layout.channels != FRACTIONS:
        raise ValueError(f"OpenPose joints are {FRACTIONS}, but {layout.name} has other channels")
    if not table.is_file():
        raise DataNotFoundError(
            f"No table was found at {table}: write a CSV file with the columns "
            f"{', '.join(_COLUMNS)}, one line a recording"
        )
    columns, rows = _read_rows(table, _COLUMNS if videos else _COLUMNS[:-1])
    _refuse_bad_ids(table, rows)
    _refuse_bad_paths(table, rows)
    class_names = _number_classes(table, rows)
    labels = {name: label for label, name in enumerate(class_names)}
    samples = [_make_sample(table, row, labels, with_video=videos) for row in rows]
    named = [(row.cells["label"], row.cells[SPLIT].lower()) for row in rows]
    return DataSet(
        name="openpose",
        layout=layout,
        class_names=class_names,
        splits=tuple(_split_columns(columns)),
        default_split=SPLIT,
        samples=tuple(sorted(samples, key=lambda sample: sample.sample_id)),
        notices=_notice_unused(table, columns) + notice_slips(table, named),
    )


def _read_rows(table: Path, required: tuple[str, ...]) -> tuple[list[str], list[_Row]]:
    lines = _parse_csv(table, read_text(table))
    first_line, header = next(lines, (1, [""]))
    missing = [column for column in required if column not in header]
    place = f"line {first_line}"
    if missing:
        expected = f"the columns {', '.join(required)}, separated by commas"
        raise TableError(table, place, expected=expected, found=f"no column {missing[0]!r}")
    if len(header) > MAX_COLUMNS:
        found = str(len(header))
        raise TableError(table, place, expected=f"at most {MAX_COLUMNS} columns", found=found)
    unprintable = next((column for column in header if not column.isprintable()), "")
    if unprintable:
        raise TableError(table, place, expected="plain names", found=f"{unprintable!a:.60}")
    if len(set(header)) != len(header):
        repeated = next(column for column in header if header.count(column) > 1)
        raise TableError(table, place, expected="each column once", found=f"{repeated!r} twice")
    rows: list[_Row] = []
    for line, cells in lines:
        if len(cells) != len(header):
            expected, found = f"{len(header)} cells as in the header", f"{len(cells)}"
            raise TableError(table, f"line {line}", expected=expected, found=found)
        rows.append(_Row(line, dict(zip(header, cells, strict=True))))
    if not rows:
        raise TableError(
            table, place, expected="a line for each recording", found="the header only"
        )
    return header, rows


def _parse_csv(table: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, [cell.strip() for cell in cells]
            # A quoted cell may span lines, so the next row begins where the reader stands.
            line = reader.line_num + 1
    except csv.Error as error:
        expected = "comma-separated values"
        raise TableError(table, f"line {line}", expected=expected, found=str(error)) from error


def _refuse_bad_ids(table: Path, rows: list[_Row]) -> None:
    lines: dict[str, int] = {}
    for row in rows:
        sample_id = row.cells["id"]
        fault = find_id_fault(sample_id)
        if fault:
            raise TableError(table, f"line {row.line}", expected="a plain id", found=fault)
        before = lines.setdefault(sample_id, row.line)
        if before != row.line:
            found = f"{sample_id!r} again, as in line {before}"
            raise TableError(table, f"line {row.line}", expected="an id of its own", found=found)


def _refuse_bad_paths(table: Path, rows: list[_Row]) -> None:
    for row in rows:
        for column in ("poses", "video"):
            path = row.cells.get(column, "")
            if _CONTROL.search(path):
                expected, found = f"a path in column {column}", f"{path!a:.60}"
                raise TableError(table, f"line {row.line}", expected=expected, found=found)


def _number_classes(table: Path, rows: list[_Row]) -> tuple[str, ...]:
    for row in rows:
        label = row.cells["label"]
        if not label or not label.isprintable():
            found = f"{label!a}" if label else "an empty label"
            raise TableError(table, f"line {row.line}", expected="a class name", found=found)
    if "label_index" in rows[0].cells:
        return _read_numbering(table, rows)
    names = {row.cells["label"] for row in rows}
    # As text, class 10 would come before class 9.
    if all(_INTEGER.fullmatch(name) for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def _read_numbering(table: Path, rows: list[_Row]) -> tuple[str, ...]:
    names: dict[int, str] = {}
    numbers: dict[str, int] = {}
    for row in rows:
        name, text = row.cells["label"], row.cells["label_index"]
        number = int(text) if _INTEGER.fullmatch(text) else -1
        if number < 0:
            expected, found = "a label_index counting from 0", repr(text)
        elif names.setdefault(number, name) != name:
            expected, found = f"{names[number]!r} for label_index {number}", repr(name)
        elif numbers.setdefault(name, number) != number:
            expected, found = f"label_index {numbers[name]} for {name!r}", text
        else:
            continue
        raise TableError(table, f"line {row.line}", expected=expected, found=found)
    gap = next((number for number in range(len(names)) if number not in names), None)
    if gap is not None:
        expected = f"label_index values 0 to {len(names) - 1} for {len(names)} labels"
        raise TableError(table, "column label_index", expected=expected, found=f"no {gap}")
    return tuple(names[number] for number in range(len(names)))


def _make_sample(table: Path, row: _Row, labels: dict[str, int], *, with_video: bool) -> Sample:
    cells = row.cells
    poses = table.parent / cells["poses"] if cells["poses"] else None
    video = table.parent / cells["video"] if with_video and cells["video"] else None
    reason, detail = "missing_skeleton", _find_fault(poses, "poses", or_folder=True)
    if not detail and with_video:
        reason, detail = "missing_video", _find_fault(video, "video", or_folder=False)
    return Sample(
        sample_id=cells["id"],
        label=labels[cells["label"]],
        label_name=cells["label"],
        subsets=_read_subsets(table, row),
        poses=poses,
        video=video,
        reason=reason if detail else None,
        detail=detail and f"{detail} ({table.name}, line {row.line})",
    )


def _split_columns(columns: Iterable[str]) -> dict[str, str]:
    """Return split name -> column, the column ``split`` first."""
    further = [column for column in columns if column.startswith(_FURTHER_SPLIT)]
    return {SPLIT: SPLIT} | {column.removeprefix(_FURTHER_SPLIT): column for column in further}


def _read_subsets(table: Path, row: _Row) -> dict[str, str]:
    subsets = {}
    for split, column in _split_columns(row.cells).items():
        subset = row.cells[column].lower()
        if subset and subset not in _SUBSETS:
            expected = f"a {column} among {', '.join(_SUBSETS)}, or none"
            found = repr(row.cells[column])
            raise TableError(table, f"line {row.line}", expected=expected, found=found)
        if subset:
            subsets[split] = subset
    return subsets


def _find_fault(path: Path | None, what: str, *, or_folder: bool) -> str:
    if path is None:
        return f"the table names no {what} for it"
    try:
        usable = path.is_file() or (or_folder and path.is_dir())
    except OSError as error:
        return f"{path} cannot be reached: {error.strerror}"
    return "" if usable else f"there is no file {'or folder ' if or_folder else ''}{path}"


def _notice_unused(table: Path, columns: list[str]) -> tuple[str, ...]:
    used = {*_COLUMNS, "label_index", *_split_columns(columns).values()}
    unused = [repr(column) for column in columns if column not in used]
    return (f"{table}: columns not used: {say_some(unused)}",) if unused else ()


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value) and value.isprintable()


def _is_index(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value)) and len(set(value)) == len(value)


def _are_pairs(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_index, pair)) for pair in value
    )


_LAYOUT_KEYS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a name", _is_text),
    "joints": ("a list of names, each once", _are_names),
    "bones": ("a list of pairs of joint numbers", _are_pairs),
    "centre": ("a joint number", _is_index),
    "pairs": ("a list of pairs of joint numbers", _are_pairs),
    "channels": ("a list of names, each once", _are_names),
}


def read_layout(path: Path) -> SkeletonLayout:
    """Read one's own joints and bones from a JSON object, joints numbered from 0.

    Its keys are name, joints, bones and centre, and optionally pairs and channels, as
    :meth:`~toolkit.skeleton.SkeletonLayout.to_dict` writes them.  Raises ``TableError`` naming
    the key that is missing, unknown, repeated or wrong.
    """
    data, repeated = read_json_object(path)
    if repeated:
        place = f"key {repeated[0]!r}"
        raise TableError(path, place, expected="each key once", found="it twice")
    for key, value in data.items():
        place = f"key {key!r}"
        if key not in _LAYOUT_KEYS:
            expected = f"only the keys {', '.join(_LAYOUT_KEYS)}"
            raise TableError(path, place, expected=expected, found="another")
        expected, is_right = _LAYOUT_KEYS[key]
        if not is_right(value):
            raise TableError(path, place, expected=expected, found=show_json(value))
    try:
        return SkeletonLayout.from_dict(data)
    except ValueError as error:
        raise TableError(path, "layout", expected="a whole skeleton", found=str(error)) from error
