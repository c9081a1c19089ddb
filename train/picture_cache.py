"""Decoded pictures kept for a whole training (``--cache raw``), shared by all reading processes."""

import logging
import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile
from multiprocessing import reduction
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolkit.memory import read_free_memory
from toolkit.shards import DatasetReader, ShardError
from train.errors import TrainError

log = logging.getLogger(__name__)

# Of the memory that is free: the network, and what else is read, need some too.
SHARE_OF_MEMORY = 0.8
GIGA = 1e9

Pictures = NDArray[np.uint8]
Numbers = Sequence[int] | NDArray[np.integer]


class Place(NamedTuple):
    """Where a sample's frames lie in the file, and their shape (T, H, W, 3)."""

    offset: int
    shape: tuple[int, ...]


class PictureCache:
    """All frames of some samples as RGB in one file without a name, mapped into memory.

    The file is gone with the last process that has it open, and the system keeps its pages in
    memory while there is room.  May be sent to a process that is being started.
    """

    def __init__(self, handle: int, places: dict[int, Place]) -> None:
        self._handle, self._places = handle, places
        n_bytes = os.fstat(handle).st_size
        self._bytes: Pictures = np.empty(0, np.uint8)
        if n_bytes:
            mapped = mmap.mmap(handle, n_bytes, prot=mmap.PROT_READ)
            self._bytes = np.frombuffer(mapped, np.uint8)

    def __len__(self) -> int:
        return len(self._places)

    def __del__(self) -> None:
        os.close(self._handle)

    @property
    def n_bytes(self) -> int:
        """Size of all pictures."""
        return len(self._bytes)

    def read(self, sample: int, start: int, n: int) -> Pictures | None:
        """Return ``n`` frames (n, H, W, 3), not to be written to; None if they are not kept."""
        place = self._places.get(sample)
        if place is None:
            return None
        rest = place.shape[1:]
        begin = place.offset + start * math.prod(rest)
        return self._bytes[begin : begin + n * math.prod(rest)].reshape(n, *rest)

    def __reduce__(self) -> tuple[Any, ...]:
        return _receive, (reduction.DupFd(self._handle), self._places)


def _receive(sent: Any, places: dict[int, Place]) -> PictureCache:
    return PictureCache(sent.detach(), places)


def refuse_lack_of_room(
    reader: DatasetReader,
    samples: Numbers,
    *,
    copies: int = 1,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Raise ``TrainError`` unless ``copies`` of all pictures fit, before any of them is written.

    ``stopped`` ends it early, without a verdict.
    """
    n_bytes = 0
    for sample in _numbers(samples):
        if stopped():
            return
        n_bytes += _measure(reader, sample)
    refuse_too_large(copies * n_bytes, len(samples))


def fill_cache(
    reader: DatasetReader, samples: Numbers, *, stopped: Callable[[], bool] = lambda: False
) -> PictureCache:
    """Decode every frame of the samples; ``stopped`` ends it early, with those before.

    A sample that cannot be read is not kept: whoever wants it reads its shard and is told there.
    Raises ``TrainError`` where the pictures cannot be written.
    """
    wanted = takewhile(lambda _: not stopped(), _numbers(samples))
    with tempfile.TemporaryFile(prefix="pictures-") as file:
        places = _write(reader, wanted, file)
        return PictureCache(os.dup(file.fileno()), places)


def _numbers(samples: Numbers) -> list[int]:
    return list(np.asarray(samples).tolist())


def _write(reader: DatasetReader, samples: Iterable[int], file: BinaryIO) -> dict[int, Place]:
    places: dict[int, Place] = {}
    try:
        for sample in samples:
            pictures = _decode(reader, sample, int(reader.n_frames[sample]))
            if pictures is not None:
                places[sample] = Place(file.tell(), pictures.shape)
                file.write(pictures.data)
        file.flush()
    except OSError as error:
        raise TrainError(
            f"run.cache=raw: the decoded pictures cannot be written to {tempfile.gettempdir()}"
            f" ({error.strerror}): leave it out, or set TMPDIR to a folder with more room"
        ) from error
    return places


def _decode(reader: DatasetReader, sample: int, n_frames: int) -> Pictures | None:
    """Return the first frames of a sample, None if something is wrong with it."""
    try:
        return reader.window(sample, 0, n_frames).pictures()
    except (ShardError, ValueError, IndexError, OSError) as error:
        log.debug("sample %d is not kept decoded: %s", sample, error)
        return None


def _measure(reader: DatasetReader, sample: int) -> int:
    """Return the bytes of a sample's pictures, all of the size of its first one."""
    first = _decode(reader, sample, 1)
    return 0 if first is None else first.nbytes * int(reader.n_frames[sample])


def refuse_too_large(n_bytes: int, n_samples: int) -> None:
    """Raise ``TrainError`` unless so many bytes fit into memory and the temporary folder."""
    folder = tempfile.gettempdir()
    told = read_free_memory()
    disk, memory = shutil.disk_usage(folder).free, math.inf if told is None else told
    if n_bytes <= min(disk, SHARE_OF_MEMORY * memory):
        return
    raise TrainError(
        f"run.cache=raw: the decoded pictures of {n_samples} samples take {n_bytes / GIGA:.1f} GB,"
        f" and {memory / GIGA:.1f} GB of memory and {disk / GIGA:.1f} GB of {folder} are free:"
        " leave it out"
    )
