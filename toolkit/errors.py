"""What can be wrong with the outside world, each as one sentence a user can act on.

A wrong *argument* is a ``ValueError``.  A wrong *file* is a :class:`CtxtoolError`.  Only the shard
worker turns a :class:`SampleError` into a reason code, only the command line turns the rest into
an exit code.
"""

import os
from typing import ClassVar

# Why a planned recording may be unusable: every code a manifest can hold beside "ok".
REASONS = (
    "missing_skeleton",
    "missing_video",
    "listed_missing",
    "no_label",
    "unknown_label",
    "bad_skeleton",
    "bad_video",
    "no_body",
    "too_short",
    "misaligned",
    "bad_shard",
    "input_changed",
    "timeout",
    "out_of_memory",
    "crashed",
)


# What is told of a file comes from the file, and may be as long as the file is.
_LONGEST = 300


class CtxtoolError(Exception):
    """Something outside the program is not as it must be; ``str()`` is one clear sentence."""


class SampleError(CtxtoolError):
    """One recording cannot be used; ``reason`` is the code its manifest row gets."""

    reason: ClassVar[str] = "error"


class FileError(SampleError):
    """A file is not what it claims to be.

    The sentence reads ``{path}: {place}: expected {expected}, found {found}``.
    """

    reason: ClassVar[str] = "bad_file"

    def __init__(
        self, path: "str | os.PathLike[str]", place: str, *, expected: str, found: str
    ) -> None:
        self.path, self.place = os.fspath(path), place
        self.expected, self.found = expected, found
        super().__init__(path, place, expected, found)

    def __str__(self) -> str:
        place, expected, found = map(_cut_short, (self.place, self.expected, self.found))
        return f"{in_one_line(self.path)}: {place}: expected {expected}, found {found}"

    def __reduce__(self) -> "tuple[object, ...]":
        # Keyword arguments do not survive the default pickling between worker and parent.
        return _rebuild, (type(self), self.path, self.place, self.expected, self.found)


class SkeletonFileError(FileError):
    """A pose file (``.skeleton``, Kinetics or OpenPose JSON) is damaged or of another format."""

    reason: ClassVar[str] = "bad_skeleton"


class VideoFileError(FileError):
    """A video cannot be opened, holds no picture, or breaks off with a decoding error."""

    reason: ClassVar[str] = "bad_video"


class NoBodyError(SampleError):
    """No frame of the recording holds a body."""

    reason: ClassVar[str] = "no_body"


class TooShortError(SampleError):
    """The recording has fewer frames than the user asked for."""

    reason: ClassVar[str] = "too_short"


class MisalignedError(SampleError):
    """Poses and video do not belong together within the tolerance."""

    reason: ClassVar[str] = "misaligned"


class InputChangedError(SampleError):
    """A source file is gone or is another one than when the build was planned."""

    reason: ClassVar[str] = "input_changed"


class TimedOutError(SampleError):
    """Reading a recording shows no sign of life for too long."""

    reason: ClassVar[str] = "timeout"


class SampleCrashedError(SampleError):
    """Reading a recording ended in an error that nobody thought of."""

    reason: ClassVar[str] = "crashed"


class SampleProcessError(SampleCrashedError):
    """The process that read a recording died; what it had read before may be why."""


class OutOfMemoryError(SampleProcessError):
    """Reading a recording takes more memory than it may, or than there is."""

    reason: ClassVar[str] = "out_of_memory"


class DataNotFoundError(CtxtoolError):
    """No raw data lies where it was looked for; says what to do."""


class TableError(FileError):
    """A CSV table, label file or layout file given by the user is not as documented."""

    reason: ClassVar[str] = "bad_table"


class PlanError(CtxtoolError):
    """The output folder was built with other parameters or from other inputs."""


class OutputInUseError(CtxtoolError):
    """Another build is writing into the output folder; says which."""


class ShardError(FileError):
    """A shard, sidecar, manifest or dataset.json is damaged, foreign or of another version."""

    reason: ClassVar[str] = "bad_shard"


def _cut_short(text: str) -> str:
    text = in_one_line(text[: _LONGEST + 1])
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def in_one_line(text: str) -> str:
    """Return text without line breaks and terminal codes, which names of files may hold."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _rebuild(kind: type[FileError], path: str, place: str, expected: str, found: str) -> FileError:
    return kind(path, place, expected=expected, found=found)
