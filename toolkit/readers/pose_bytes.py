"""The bytes of a pose file, after the damage that no format survives has been ruled out."""

from pathlib import Path

from toolkit.errors import SkeletonFileError

# The largest files of the public data sets have 4 MB; a parser needs some ten times the bytes.
MAX_BYTES = 64 * 2**20
# Frames x bodies that may be laid out in memory (under 600 bytes each): small files can claim many.
MAX_CELLS = 1_000_000


def read_pose_bytes(path: Path) -> bytes:
    """Return the bytes of a file that is there, has at most 64 MiB, is not empty and has no NUL."""
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as error:
        raise SkeletonFileError(
            path, "opening", expected="a readable file", found=error.strerror or str(error)
        ) from error
    if size > MAX_BYTES:
        expected, found = f"at most {MAX_BYTES} bytes", str(size)
        raise SkeletonFileError(path, "size", expected=expected, found=found)
    if not data:
        raise SkeletonFileError(path, "byte 0", expected="poses", found="an empty file")
    nul = data.find(b"\0")
    if nul >= 0:
        found = f"a NUL byte ({data.count(0)} of {len(data)} bytes are NUL: a damaged download?)"
        raise SkeletonFileError(path, f"byte {nul}", expected="text", found=found)
    return data


def check_cells(path: Path, n_frames: int, n_bodies: int) -> None:
    """Refuse a recording whose frames x bodies would not fit in memory."""
    if n_frames * n_bodies > MAX_CELLS:
        raise SkeletonFileError(
            path,
            "whole file",
            expected=f"at most {MAX_CELLS} frames x bodies",
            found=f"{n_frames} frames x {n_bodies} bodies",
        )
