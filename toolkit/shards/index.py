"""What is known of a shard after one look: small tables in memory, the rest as places in the file.

Everything a shard claims is checked here, before any of it is used.
"""

import json
import math
import os
import sys
from contextlib import ExitStack, suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5t
from numpy.typing import NDArray

from toolkit.aligned import Codec
from toolkit.bounded import check_regular
from toolkit.errors import ShardError
from toolkit.shards.files import say_unread
from toolkit.shards.places import Place, read_rows, refuse_boundaries
from toolkit.shards.schema import (
    FORMAT_NAME,
    SHARD_VERSIONS,
    Table,
    picture_tables,
    tables,
)
from toolkit.shards.stores import FrameStore, check_frames, count_groups, open_store
from toolkit.skeleton import SkeletonLayout

# A sidecar, of 64 MiB at most, has room for about 60,000 samples: that many of 300 frames stay far
# below all of these.  A sparse file claims any size and takes no room on the disk.
MAX_SHARD_BYTES = 2**39
MAX_SAMPLES = 2**20
MAX_TABLE_BYTES = 2**28
# What is taken into memory when a shard is opened.
_LOADED = (
    "sample/id", "sample/label", "sample/row", "clip/sample", "clip/start", "clip/n_valid",
    "rgb/offset", "rgb/size", "rgb/crc32",
)  # fmt: skip
# What a reader, its path and the places of all tables take, measured.
_BYTES_BESIDE = 5500

Columns = dict[str, NDArray[Any]]
Stamp = tuple[int, int, int, int, int]


class Index(NamedTuple):
    """Small tables, the places of all, and where frames come from, if any were stored.

    ``stamp`` tells the file from another of its name; ``nbytes`` is about the memory that all of
    this takes, its reader included.
    """

    stamp: Stamp
    nbytes: int
    layout: SkeletonLayout
    places: dict[str, Place]
    ids: list[str]
    labels: NDArray[np.int32]
    rows: NDArray[np.int64]
    store: FrameStore | None


def open_again(path: Path, index: Index) -> int | None:
    """Return a handle of the file that was looked into, None if another or none lies there now."""
    try:
        # A pipe in its place is not waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with ExitStack() as undo, suppress(OSError):
        undo.callback(os.close, handle)
        # A file server may have lost it between the two.
        if _stamp(os.fstat(handle)) == index.stamp:
            undo.pop_all()
            return handle
    return None


def _stamp(info: os.stat_result) -> Stamp:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def open_shard(path: Path) -> tuple[int, Index]:
    """Open a shard and look into it: returns a handle, to be closed, and what is in that file.

    Raises ``ShardError`` naming the first thing that cannot be.
    """
    _check_file(path)
    with ExitStack() as undo:
        try:
            # A shard has its name only once it is whole: no lock is needed, and some network file
            # systems have none to give.
            with h5py.File(path, "r", driver="sec2", locking=False) as file:
                # HDF5's own handle: by its name another file might be found by now.
                handle = os.dup(file.id.get_vfd_handle())
                undo.callback(os.close, handle)
                index = _look_into(path, file.id, handle)
        # What h5py raises on a damaged file depends on where the damage is.
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise ShardError(path, "file", expected="an HDF5 shard", found=str(error)) from error
        undo.pop_all()
    return handle, index


def _check_file(path: Path) -> None:
    try:
        check_regular(path, path.stat(), MAX_SHARD_BYTES)
    except OSError as error:
        raise ShardError(path, "file", expected="a shard", found=say_unread(error)) from error


def _look_into(path: Path, file: h5f.FileID, handle: int) -> Index:
    """Look into an open file by h5py's low-level calls: its objects take several times as long."""
    info = os.fstat(handle)
    if file.get_create_plist().get_userblock():
        # Behind one HDF5 tells a place even of what was never written.
        raise ShardError(path, "file", expected="an HDF5 shard", found="one behind a user block")
    # Not the file itself: not every HDF5 finds attributes there.
    root = h5g.open(file, b"/")
    codec = _read_codec(path, root)
    layout = _read_layout(path, root)
    wanted = tables(layout, codec)
    if not root.links.exists(b"rgb"):
        wanted = {n: t for n, t in wanted.items() if n not in picture_tables(codec)}
    places = _find_tables(path, root, wanted, info.st_size)
    columns = {n: _load(path, handle, places[n]) for n in _LOADED if n in wanted}
    ids = [name.decode() for name in columns["sample/id"].tolist()]
    _check_counts(path, places, wanted, columns)
    return Index(
        _stamp(info),
        _count_bytes(ids, columns),
        layout,
        places,
        ids,
        labels=columns["sample/label"],
        rows=columns["sample/row"],
        store=open_store(codec, path, ids, columns) if "rgb/offset" in wanted else None,
    )


def _count_bytes(ids: list[str], columns: Columns) -> int:
    kept = columns["sample/label"].nbytes + columns["sample/row"].nbytes
    if "rgb/crc32" in columns:
        # With the number of each sample's first group.
        kept += columns["rgb/size"].nbytes + columns["rgb/crc32"].nbytes
        kept += columns["sample/row"].nbytes
    return _BYTES_BESIDE + kept + sum(map(sys.getsizeof, ids))


def _read_codec(path: Path, root: h5g.GroupID) -> Codec:
    """Return how frames are stored, which the version of the format says."""
    name, version = _read_attribute(root, b"format"), _read_attribute(root, b"format_version")
    for codec, known in SHARD_VERSIONS.items():
        if (name, version) == (FORMAT_NAME, known):
            return codec
    wanted = f"{FORMAT_NAME} version {' or '.join(map(str, SHARD_VERSIONS.values()))}"
    raise ShardError(path, "format", expected=wanted, found=f"{name} version {version}")


def _read_layout(path: Path, root: h5g.GroupID) -> SkeletonLayout:
    try:
        return _parse_layout(_read_attribute(root, b"layout") or "{}")
    except (TypeError, ValueError, RecursionError) as error:
        raise ShardError(path, "layout", expected="a skeleton layout", found=str(error)) from error


@lru_cache(maxsize=16)
def _parse_layout(text: str) -> SkeletonLayout:
    """Parse what all shards of a data set have in common."""
    return SkeletonLayout.from_dict(json.loads(text))


def _read_attribute(group: h5g.GroupID, name: bytes) -> Any:
    """Return a number or text, None where there is none of a fixed size.

    Text of variable size lies behind a pointer that HDF5 follows into a crash when it is damaged.
    """
    if not h5a.exists(group, name):
        return None
    attribute = h5a.open(group, name)
    if attribute.shape != () or attribute.dtype.kind not in "iS":
        return None
    found = np.empty((), attribute.dtype)
    attribute.read(found)
    value = found.item()
    return value.decode() if isinstance(value, bytes) else value


def _find_tables(
    path: Path, root: h5g.GroupID, wanted: dict[str, Table], size: int
) -> dict[str, Place]:
    """Look every table up that is wanted, opening each group on the way to them once."""
    groups: dict[str, Any] = {}
    places = {}
    for name, table in wanted.items():
        group = name.partition("/")[0]
        if group not in groups:
            groups[group] = _follow(path, root, group)
            # Walks through the group: damage is told even where no table's name leads to it.
            h5o.get_info(groups[group])
        places[name] = _place(path, _follow(path, groups[group], name), name, table, size)
    return places


def _follow(path: Path, group: Any, name: str) -> Any:
    """Open what the last part of a name leads to from a group; no link may leave this file."""
    last = name.rpartition("/")[2].encode()
    if not isinstance(group, h5g.GroupID):
        found = "nothing"
    elif group.links.exists(last) and group.links.get_info(last).type == h5l.TYPE_HARD:
        return h5o.open(group, last)
    else:
        link = h5py.Group(group).get(last, getlink=True)
        found = type(link).__name__ if link else "nothing"
    raise ShardError(path, name, expected="a table in this file", found=found)


def _place(path: Path, data: Any, name: str, table: Table, size: int) -> Place:
    """Look one table up, refusing everything that could lead outside this file or its end."""
    if not isinstance(data, h5d.DatasetID):
        found = "Group" if isinstance(data, h5g.GroupID) else "Datatype"
        raise ShardError(path, name, expected="a table", found=found)
    _check_storage(path, data, name)
    # None of what was never written.
    offset = data.get_offset()
    dtype, shape = _find_type(data, table), data.get_space().get_simple_extent_dims()
    kind_fits = dtype.kind == "S" if table.dtype == "S" else dtype == table.dtype
    if not kind_fits or not shape or len(shape) != 1 + len(table.rest) or shape[1:] != table.rest:
        wanted = f"{table.dtype} (n, {', '.join(map(str, table.rest))})"
        raise ShardError(path, name, expected=wanted, found=f"{dtype} {shape}")
    row_bytes = dtype.itemsize * math.prod(table.rest)
    # Counted here: h5py counts in 64 bits, where 2**61 rows of 8 bytes are none.
    n_bytes = shape[0] * row_bytes
    offset = offset if n_bytes else 0
    if offset is None or offset + n_bytes > size:
        raise ShardError(path, name, expected=f"{n_bytes} bytes", found="the file's end before")
    if name in _LOADED:
        _check_loadable(path, name, shape[0], n_bytes)
    return Place(offset, dtype, shape, row_bytes)


def _check_storage(path: Path, data: h5d.DatasetID, name: str) -> None:
    # That a table has an offset says nothing: one in other files may claim one beside them.
    creation = data.get_create_plist()
    if creation.get_layout() in (h5d.CHUNKED, h5d.VIRTUAL) or creation.get_external_count():
        raise ShardError(path, name, expected="a contiguous table", found="another storage")


def _find_type(data: h5d.DatasetID, table: Table) -> np.dtype[Any]:
    """Return the type of a table's elements, in which h5py need not look up the wanted one."""
    if table.dtype != "S" and data.get_type().equal(_stored_type(table.dtype)):
        return np.dtype(table.dtype)
    return data.dtype


@cache
def _stored_type(dtype: str) -> h5t.TypeID:
    return h5t.py_create(np.dtype(dtype))


def _load(path: Path, handle: int, place: Place) -> NDArray[Any]:
    """Read a whole table at the place that was checked: HDF5 might read elsewhere."""
    return read_rows(path, handle, place, 0, place.shape[0])


def _check_loadable(path: Path, name: str, n_rows: int, n_bytes: int) -> None:
    if name == "sample/id" and n_rows > MAX_SAMPLES:
        expected, found = f"at most {MAX_SAMPLES} samples", str(n_rows)
    elif n_bytes > MAX_TABLE_BYTES:
        expected, found = f"at most {MAX_TABLE_BYTES} bytes", str(n_bytes)
    else:
        return
    raise ShardError(path, name, expected=expected, found=found)


def _check_counts(
    path: Path, places: dict[str, Place], wanted: dict[str, Table], columns: Columns
) -> None:
    """Refuse tables that disagree with one another before any of them is used as an index."""
    S, F = len(columns["sample/label"]), places["frame/video_index"].shape[0]
    counts = {"S": S, "S+1": S + 1, "K": len(columns["clip/start"]), "F": F, "F+1": F + 1}

    def check(names: list[str]) -> None:
        for name in names:
            found = places[name].shape[0]
            expected = counts.get(wanted[name].first, found)
            if found != expected:
                raise ShardError(path, name, expected=f"{expected} rows", found=str(found))

    check([name for name in places if wanted[name].first != "G"])
    _check_boundaries(path, "sample/row", columns["sample/row"], F)
    if "rgb/offset" in columns:
        _check_boundaries(path, "rgb/offset", columns["rgb/offset"], places["rgb/data"].shape[0])
        counts["G"] = int(count_groups(columns["sample/row"]).sum())
        check(list(places))
        check_frames(path, columns)
    check_clips(path, columns)


def _check_boundaries(path: Path, name: str, bounds: NDArray[np.int64], end: int) -> None:
    if bounds[0] != 0 or bounds[-1] != end or np.any(bounds[1:] <= bounds[:-1]):
        raise refuse_boundaries(path, name, end)


def check_clips(path: Path, columns: Columns) -> None:
    """Raise ``ShardError`` unless each of some clips lies inside its sample."""
    rows = columns["sample/row"]
    sample, start, n_valid = (columns[f"clip/{name}"] for name in ("sample", "start", "n_valid"))
    if len(sample) and (sample.min() < 0 or sample.max() >= len(rows) - 1):
        raise ShardError(path, "clip/sample", expected="samples of this shard", found="others")
    outside = (start < rows[sample]) | (start > rows[sample + 1] - n_valid)
    if np.any(outside) or np.any(n_valid == 0):
        raise ShardError(path, "clip/start", expected="clips inside their samples", found="others")
