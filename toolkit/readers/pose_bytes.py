"""The bytes of a pose file, after the damage that no format survives has been ruled out."""

import errno
from pathlib import Path

from toolkit.bounded import read_bounded
from toolkit.errors import SkeletonFileError

# The largest files of the public data sets have 4 MB; a parser needs some ten times the bytes.
MAX_BYTES = 64 * 2**20
# Frames x bodies that may be laid out in memory (under 600 bytes each): small files can claim many.
MAX_CELLS = 1_000_000
# Up to this many joints a body; bodies of more joints may be as many fewer.
_CELL_JOINTS = 25


def read_pose_bytes(path: Path) -> bytes:
    """Return the bytes of a file that is there, has at most 64 MiB, is not empty and has no NUL."""
    try:
        data = read_bounded(path, MAX_BYTES)
    except OSError as error:
        place = "size" if error.errno == errno.EFBIG else "opening"
        found = error.strerror or str(error)
        raise SkeletonFileError(path, place, expected="a readable file", found=found) from error
    if not data:
        raise SkeletonFileError(path, "byte 0", expected="poses", found="an empty file")
    nul = data.find(b"\0")
    if nul >= 0:
        found = f"a NUL byte ({data.count(0)} of {len(data)} bytes are NUL: a damaged download?)"
        raise SkeletonFileError(path, f"byte {nul}", expected="text", found=found)
    return data


def check_cells(path: Path, n_frames: int, n_bodies: int, n_joints: int = _CELL_JOINTS) -> None:
    """Refuse a recording whose frames x bodies would not fit in memory."""
    limit = min(MAX_CELLS, MAX_CELLS * _CELL_JOINTS // max(n_joints, 1))
    if n_frames * n_bodies > limit:
        raise SkeletonFileError(
            path,
            "whole file",
            expected=f"at most {limit} frames x bodies",
            found=f"{n_frames} frames x {n_bodies} bodies",
        )
