"""Folders of raw recordings whose pictures tell their number, and what a build made of them."""

import contextlib
import io
import logging
import os
import signal
import sys
from pathlib import Path
from unittest import mock

import pandas as pd
from builders import ntu_frames, pose_person, write_kinetics_json, write_ntu_skeleton
from running import Ran
from video_builders import H264, XVID, gray_pictures, write_video


def in_process(*arguments, cwd="."):
    """Run ``ctxtool`` in this process: the same exits and streams without a second's start.

    For refusals and small builds; whatever depends on processes, signals or imports runs
    ``running.ctxtool``.
    """
    from toolkit.cli import main

    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    root = logging.getLogger()
    handlers, root.handlers, level = root.handlers, [], root.level
    terminate, before = signal.getsignal(signal.SIGTERM), Path.cwd()
    status = 0
    os.chdir(cwd)
    try:
        with (
            mock.patch.object(sys, "argv", ["ctxtool", *map(str, arguments)]),
            # No test cuts the power, and a busy disk may take seconds to answer every flush.
            mock.patch.object(os, "fsync"),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            main()
    except SystemExit as exit_:
        status = exit_.code or 0
    finally:
        os.chdir(before)
        signal.signal(signal.SIGTERM, terminate)
        root.handlers = handlers
        root.setLevel(level)
    return Ran(status, *(stream.buffer.getvalue().decode() for stream in (out, err)))


def write_ntu(folder, name, n_poses=20, n_pictures=None):
    """Write a recording of one body and a video of gray pictures, by default one a pose."""
    write_ntu_skeleton(folder / f"{name}.skeleton", ntu_frames(*[[7]] * n_poses))
    write_ntu_video(folder, name, n_poses if n_pictures is None else n_pictures)


def write_ntu_video(folder, name, n_pictures=20):
    write_video(folder / f"{name}_rgb.avi", gray_pictures(n_pictures), XVID)


def write_kinetics(folder, name, n_poses=20, *, label="hopscotch", video=H264):
    """Write a recording of one person of this class and a video of as many gray pictures."""
    people = [[pose_person(t)] for t in range(n_poses)]
    path = folder / "kinetics_train" / f"{name}.json"
    write_kinetics_json(path, people, label=label, label_index=None)
    if video is not None:
        write_video(folder / f"{name}.mp4", gray_pictures(n_poses), video)


def rows(out):
    """Return the manifest by sample id, read with pandas alone."""
    return pd.read_parquet(out / "manifest.parquet").set_index("sample_id")


def statuses(out):
    return rows(out)["status"].to_dict()


def shards(out):
    """Return the bytes and the time of change of every file in the shard folder."""
    paths = sorted((out / "shards").iterdir())
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def tree(folder):
    """Return every path below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def numbers_of(pictures):
    """Return which of ``gray_pictures`` each RGB picture (T, H, W, 3) is, modulo 20.

    The stored pictures are of full range, the videos of limited range; levels differ by 10.
    """
    luma = pictures.mean(axis=(1, 2, 3)) * 219 / 255 + 16
    return ((luma - 20) / 10).round().astype(int).tolist()
