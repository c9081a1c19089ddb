"""A small real build that can be disturbed, and all that it leaves on disk."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from builders import ntu_frames, write_ntu_skeleton
from forked_command import run_forked, steps_of
from video_builders import XVID, gray_pictures, write_video


def write_recording(folder, name, n_frames=4):
    """Write a recording of one body with a video of as many frames."""
    write_ntu_skeleton(folder / f"{name}.skeleton", ntu_frames(*[[7]] * n_frames))
    write_video(folder / f"{name}_rgb.avi", gray_pictures(n_frames), XVID)


@dataclass(frozen=True)
class Build:
    """One ``extract-ntu`` of the recordings in ``raw``, a shard each, into a folder of its own."""

    raw: Path
    folder: Path

    @property
    def out(self):
        return self.folder / "out"

    def run(self, *options, prepare=None, at_step=None):
        run = ("--raw", self.raw, "--out", self.out, "--jobs", 1, "--samples-per-shard", 1)
        arguments = ("extract-ntu", *run, "--frame-size", 16, *options)
        return run_forked(arguments, self.folder / "run", prepare=prepare, at_step=at_step)

    def steps(self):
        """Return the names of the last run's changes on disk."""
        return steps_of(self.folder / "run")

    def files(self):
        """Return the digest of every file in the output folder, hidden ones included."""
        return digests(self.out)


def digests(folder):
    """Return the digest of every file below a folder by its path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def is_one_sentence(text):
    """Tell whether an error is said in one line that begins as all of them do."""
    return text.startswith("Error: ") and "\n" not in text.strip()
