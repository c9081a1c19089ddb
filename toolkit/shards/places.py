"""Where the tables of a shard lie in its file, and what is read there."""

import itertools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import ShardError


class Place(NamedTuple):
    """Where a table's elements lie in the file."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    row_bytes: int


def read_rows(path: Path, handle: int, place: Place, first: int, n_rows: int) -> NDArray[Any]:
    """Read rows of a table from an open file; raises ``ShardError`` where it ends too soon."""
    rows = np.empty((n_rows, *place.shape[1:]), place.dtype)
    offset = place.offset + first * place.row_bytes
    n_bytes = os.preadv(handle, [rows.data], offset)
    if n_bytes != rows.nbytes:
        raise ShardError(
            path, f"byte {offset}", expected=f"{rows.nbytes} bytes", found=f"{n_bytes} (truncated)"
        )
    return rows


def read_frames(
    path: Path, handle: int, places: Mapping[str, Place], first: int, n_frames: int
) -> list[memoryview]:
    """Read the bytes of each of some frames; raises ``ShardError`` where that cannot be.

    Their boundaries are read for each window: those of thousands of shards would fill the memory.
    """
    edges = read_rows(path, handle, places["rgb/offset"], first, n_frames + 1).tolist()
    begin, end, n_bytes = edges[0], edges[-1], places["rgb/data"].shape[0]
    if begin < 0 or end > n_bytes or any(a >= b for a, b in itertools.pairwise(edges)):
        raise refuse_boundaries(path, "rgb/offset", n_bytes)
    data = read_rows(path, handle, places["rgb/data"], begin, end - begin).data
    return [data[a - begin : b - begin] for a, b in itertools.pairwise(edges)]


def refuse_boundaries(path: Path, name: str, end: int) -> ShardError:
    """Return what is to be raised for boundaries that do not rise from 0 to ``end``."""
    return ShardError(path, name, expected=f"boundaries rising from 0 to {end}", found="others")
