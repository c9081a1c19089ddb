"""Skeleton recordings of a few frames, built in parts of two to a shard."""

import hashlib
import os

from builders import ntu_frames, write_ntu_skeleton
from raw_folders import in_process


def write_recordings(folder, *persons):
    """Write a recording for each number; its time of change is the same wherever it is written."""
    for person in persons:
        path = folder / f"S001C001P{person:03d}R001A{person:03d}.skeleton"
        write_ntu_skeleton(path, ntu_frames(*[[7]] * (16 + person)))
        os.utime(path, (1_000, 1_000))


def options(raw, out, *more):
    build = ("--skeleton-only", "--samples-per-shard", 2, "--jobs", 1)
    return ("extract-ntu", "--raw", raw, "--out", out, *build, *more)


def make(raw, out, *more):
    return in_process(*options(raw, out, *more))


def digests(out):
    paths = sorted((out / "shards").glob("*.h5"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def written(out):
    """Return every file with its time of change, but for the lock."""
    files = [path for path in out.rglob("*") if path.is_file() and path.name != ".lock"]
    return {path: path.stat().st_mtime_ns for path in files}
