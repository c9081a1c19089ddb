"""Recordings that kill, hang or bloat the process that reads them.

A ``sitecustomize`` on PYTHONPATH changes the readers of the processes started with it: what is
tested is the program as it is, and the harm is real.
"""

from pathlib import Path

_SITE = """
import sys

if any("sample_process" in word for word in sys.orig_argv):
    import poisoned
"""

_POISONED = """
import ctypes
import os
import signal
from pathlib import Path

from toolkit.readers import ntu_skeleton, video

HERE = Path(__file__).parent
HARMS = {harms!r}


def bloat():
    held = []
    while True:
        held.append(bytes(1 << 24))


def hang():
    (HERE / "hanging").touch()
    (HERE / f"hanging-{{os.getpid()}}").touch()
    # In C, and nothing else of this process runs meanwhile; a loop would keep a core busy.
    while True:
        ctypes.PyDLL(None).pause()


def first_time_only(harm):
    try:
        (HERE / "harmed").touch(exist_ok=False)
    except FileExistsError:
        return
    harm()


def stumble():
    raise ZeroDivisionError("a bug")


def fail_to_read():
    raise OSError(5, "Input/output error", "/disk")


DO = {{
    "segfault": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
    "be killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "hang": hang,
    "bloat": bloat,
    "segfault once": lambda: first_time_only(lambda: ctypes.string_at(0)),
    "hang once": lambda: first_time_only(hang),
    "stumble": stumble,
    "fail to read": fail_to_read,
}}


def read_poses(path, read=ntu_skeleton.read_ntu_skeleton):
    if path.stem in HARMS:
        DO[HARMS[path.stem]]()
    return read(path)


def frames(reader, read=video.VideoReader.__iter__):
    for frame in read(reader):
        yield frame
        # The pictures of a few frames are on their way already.
        if frame.index == 9 and Path(reader.path).stem in HARMS:
            DO[HARMS[Path(reader.path).stem]]()


ntu_skeleton.read_ntu_skeleton = read_poses
video.VideoReader.__iter__ = frames
"""


def write_poison(folder: Path, harms: dict[str, str]) -> dict[str, str]:
    """Return the environment in which reading these files, by name without suffix, does harm."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_SITE)
    (folder / "poisoned.py").write_text(_POISONED.format(harms=harms))
    return {"PYTHONPATH": str(folder)}
