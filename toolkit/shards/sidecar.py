"""The sidecar beside each shard: the only sign that it is done, written last."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
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
    if _has_plain_types(sidecar.rows):
        return sidecar
    for at, row in enumerate(sidecar.rows):
        wrong = _wrong_field(row)
        if wrong:
            found = repr(row.get(wrong))
            raise ShardError(path, f"row {at}: {wrong}", expected="its type", found=found)
    return sidecar


def _has_plain_types(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Tell quickly, column by column, whether no row has a wrong field; False says nothing."""
    alike: dict[tuple[str, ...], list[Iterable[Any]]] = {}
    for row in rows:
        alike.setdefault(tuple(row), []).append(row.values())
    return all(
        set(names).issuperset(_NEEDED)
        and all(set(map(type, values)) <= _plain_types(name) for name, values in columns)
        for names, told in alike.items()
        for columns in [zip(names, zip(*told, strict=True), strict=True)]
    )


@lru_cache(maxsize=256)
def _plain_types(name: str) -> frozenset[type]:
    if name in _NEEDED:
        return frozenset({str})
    allowed = FIELD_TYPES.get(name, _FACT_TYPES)
    return frozenset({*(allowed if isinstance(allowed, tuple) else (allowed,)), type(None)})


def _wrong_field(row: Mapping[str, Any]) -> str:
    """Return the first field of a row that is of another type, or is needed and missing."""
    for name in _NEEDED:
        if not isinstance(row.get(name), str):
            return name
    for name, value in row.items():
        if value is not None and not isinstance(value, FIELD_TYPES.get(name, _FACT_TYPES)):
            return name
    return ""
