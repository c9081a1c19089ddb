"""The sidecar beside each shard: the only sign that it is done, written last."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import starmap
from pathlib import Path
from typing import Any

from toolkit.errors import ShardError
from toolkit.shards.files import read_json, write_json
from toolkit.shards.manifest import COLUMNS
from toolkit.shards.schema import SHARD_FOLDER, shard_name

Type = type | tuple[type, ...]

_TYPES: dict[str, Type] = {"string": str, "Float64": (int, float)}
# What a row's fields are where they are told; all others are facts.
FIELD_TYPES = {name: _TYPES.get(kind, int) for name, kind in COLUMNS.items()}
_FACT_TYPES = (int, float, str)
_NEEDED = ("sample_id", "status")


@dataclass(frozen=True)
class Sidecar:
    """What a finished shard is: its digest, its plan's digest and its manifest rows."""

    shard: int
    fingerprint: str
    sha256: str
    n_bytes: int
    rows: Sequence[Mapping[str, Any]]


def shard_path(folder: Path, number: int) -> Path:
    """Return where a shard of a data set folder lies."""
    return folder / SHARD_FOLDER / f"{shard_name(number)}.h5"


def sidecar_path(folder: Path, number: int) -> Path:
    """Return where a shard's sidecar lies."""
    return folder / SHARD_FOLDER / f"{shard_name(number)}.json"


def write_sidecar(folder: Path, sidecar: Sidecar) -> None:
    """Mark a shard as done."""
    write_json(sidecar_path(folder, sidecar.shard), asdict(sidecar))


def read_sidecar(folder: Path, number: int, parse: Callable[[bytes], Any] = json.loads) -> Sidecar:
    """Read a sidecar; raises ``ShardError`` when it is missing or not one.

    ``parse`` makes the object of the file's bytes or raises ``ValueError``.
    """
    path = sidecar_path(folder, number)
    data = read_json(path, "a shard's sidecar", parse)
    try:
        sidecar = Sidecar(
            shard=int(data["shard"]),
            fingerprint=str(data["fingerprint"]),
            sha256=str(data["sha256"]),
            n_bytes=int(data["n_bytes"]),
            rows=[row if type(row) is dict else dict(row) for row in data["rows"]],
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ShardError(path, "content", expected="all fields", found=repr(error)) from error
    if sidecar.shard != number:
        found = f"that of shard {sidecar.shard}"
        raise ShardError(path, "shard", expected=f"the sidecar of shard {number}", found=found)
    if _has_right_types(sidecar.rows):
        return sidecar
    for at, row in enumerate(sidecar.rows):
        wrong = _wrong_field(row)
        if wrong:
            found = repr(row.get(wrong))
            raise ShardError(path, f"row {at}: {wrong}", expected="its type", found=found)
    return sidecar


def _has_right_types(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether no row has a wrong field: asked once for each kind of row, there are few."""
    return all(starmap(_is_right, {(tuple(row), tuple(map(type, row.values()))) for row in rows}))


@lru_cache(maxsize=1024)
def _is_right(names: tuple[str, ...], types: tuple[type, ...]) -> bool:
    kinds = dict(zip(names, types, strict=True))
    return all(kinds.get(name) is str for name in _NEEDED) and all(
        kind is type(None) or issubclass(kind, FIELD_TYPES.get(name, _FACT_TYPES))
        for name, kind in kinds.items()
    )


def _wrong_field(row: Mapping[str, Any]) -> str:
    """Return the first field of a row that is of another type, or is needed and missing."""
    for name in _NEEDED:
        if not isinstance(row.get(name), str):
            return name
    for name, value in row.items():
        if value is not None and not isinstance(value, FIELD_TYPES.get(name, _FACT_TYPES)):
            return name
    return ""
