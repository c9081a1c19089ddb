"""One task, one shard, one process: samples in, a checked file and its sidecar out."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2

from toolkit import clips
from toolkit.aligned import Codec
from toolkit.build.extracted import AddPicture, Extracted
from toolkit.build.isolation import IsolatedSource, SampleLimits
from toolkit.build.options import BuildOptions
from toolkit.build.planned import PlannedSample
from toolkit.errors import CtxtoolError, SampleError, SampleProcessError, ShardError
from toolkit.shards.files import MACHINE_TROUBLE, mark_process, rename_durably, sha256_of
from toolkit.shards.h264 import GROUP_LENGTH
from toolkit.shards.manifest import OK
from toolkit.shards.reader import ShardReader
from toolkit.shards.schema import shard_name
from toolkit.shards.sidecar import Sidecar, shard_path, sidecar_path, write_sidecar
from toolkit.shards.writer import Coding, ShardWriter
from toolkit.skeleton import SkeletonLayout

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShardTask:
    """All that a worker needs to make one shard; small enough to be sent anywhere.

    ``owner`` is the process of this machine that asked for it, ``wanted`` asks whether anybody
    still waits: work that nobody waits for any more is given up.  Without ``limits`` recordings
    are read in the worker's own process.
    """

    folder: Path
    number: int
    fingerprint: str
    layout: SkeletonLayout
    options: BuildOptions
    samples: tuple[PlannedSample, ...]
    owner: int | None = None
    limits: SampleLimits | None = field(default_factory=SampleLimits)
    wanted: Callable[[], bool] | None = None


class OwnerGoneError(CtxtoolError):
    """The process that asked for a shard was killed; its child stops too."""


class SampleSource(Protocol):
    """Where a shard's samples come from: raw recordings, or another data set's shards."""

    def extract(self, planned: PlannedSample, add_picture: AddPicture) -> Extracted:
        """Return the aligned sample or raise the ``SampleError`` that forbids it."""


def build_shard(task: ShardTask) -> list[dict[str, Any]]:
    """Make one shard and return its manifest rows.

    The file gets its name only when it is whole, flushed, read back and hashed; the sidecar,
    written last, is the only sign that the shard is done.
    """
    cv2.setNumThreads(1)
    _refuse_orphaned(task)
    final = shard_path(task.folder, task.number)
    # The old sidecar must not vouch for a file that is being replaced.
    sidecar_path(task.folder, task.number).unlink(missing_ok=True)
    # Two builds must never write into one file, not even one that outlived its killed parent.
    aside = final.with_name(f".{shard_name(task.number)}.{mark_process()}.writing")
    try:
        rows = _write_samples(task, aside)
        _check_back(aside, rows, task.options.codec)
        digest, n_bytes = sha256_of(aside), aside.stat().st_size
        _refuse_orphaned(task)
        rename_durably(aside, final)
    finally:
        aside.unlink(missing_ok=True)
    write_sidecar(task.folder, Sidecar(task.number, task.fingerprint, digest, n_bytes, rows))
    return rows


def _write_samples(task: ShardTask, path: Path) -> list[dict[str, Any]]:
    source = _open_source(task)
    pictures = not task.options.skeleton_only
    rows, n_stored = [], 0
    coding = Coding(task.options.codec, task.options.encoder)
    with ShardWriter(path, task.layout, pictures=pictures, coding=coding) as writer:
        for planned in task.samples:
            if planned.superseded:
                continue
            _refuse_orphaned(task)
            logger.debug("shard %d: sample %s", task.number, planned.sample_id)
            outcome = _attempt(source, planned, writer)
            if outcome["status"] == OK:
                outcome |= {"shard": task.number, "shard_row": n_stored}
                n_stored += 1
            rows.append({**planned.columns(), **outcome})
    return rows


def _refuse_orphaned(task: ShardTask) -> None:
    if task.owner not in (None, os.getpid(), os.getppid()):
        raise OwnerGoneError(f"shard {task.number}: the process that asked for it is gone")
    if task.wanted is not None and not task.wanted():
        raise OwnerGoneError(f"shard {task.number}: nobody waits for it any more")


def _open_source(task: ShardTask) -> SampleSource:
    # What decodes raw recordings is loaded only where there are any.
    if task.options.source == "shards":
        # Files of ctxtool itself, compared with their digests: no decoder is at risk.
        from toolkit.build.regroup import ShardSource

        return ShardSource()
    if task.limits is not None:
        wanted = partial(_refuse_orphaned, task)
        return IsolatedSource(task.layout, task.options, task.limits, wanted)
    from toolkit.build.extract import Extractor

    return Extractor(task.layout, task.options)


def _attempt(source: SampleSource, planned: PlannedSample, writer: ShardWriter) -> dict[str, Any]:
    """Extract one sample into the writer; what is wrong with it becomes its reason."""
    try:
        extracted = _extract(source, planned, writer)
    except SampleError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in MACHINE_TROUBLE:
            raise  # Not the recording's fault: nothing may be held against it.
        return {"status": error.reason, "detail": str(error)}
    except (CtxtoolError, OSError, MemoryError):
        raise  # The machine's trouble, not the sample's: nothing may be blamed on the recording.
    except Exception as error:
        # A fault of ours must cost one sample of a build of days, and must be seen.
        logger.exception("sample %s: unexpected error, please report it", planned.sample_id)
        return {"status": "crashed", "detail": f"unexpected {type(error).__name__}: {error}"}
    n_frames = len(extracted.sample.poses)
    return {
        "status": OK,
        "detail": "; ".join(extracted.notes),
        "n_frames": n_frames,
        "n_clips": len(clips.tile(n_frames)[0]),
        **extracted.columns,
    }


def _extract(source: SampleSource, planned: PlannedSample, writer: ShardWriter) -> Extracted:
    """Extract one sample into the writer; once more, in a new process, if the process died.

    The samples before may have hurt a process that dies of this one.
    """
    try:
        return _extract_once(source, planned, writer)
    except SampleProcessError as error:
        logger.warning("sample %s: %s; trying once more", planned.sample_id, error)
    try:
        return _extract_once(source, planned, writer)
    except SampleProcessError as error:
        raise type(error)(f"{error}, also when tried again") from error


def _extract_once(source: SampleSource, planned: PlannedSample, writer: ShardWriter) -> Extracted:
    with writer.sample_pictures() as add_picture:
        extracted = source.extract(planned, add_picture)
        writer.add(extracted.sample)
    return extracted


def _check_back(path: Path, rows: list[dict[str, Any]], codec: Codec) -> None:
    """Open what was just written as any reader would, before it gets its name."""
    n_ok = sum(row["status"] == OK for row in rows)
    with ShardReader(path) as reader:
        if len(reader) != n_ok:
            raise ShardError(path, "samples", expected=str(n_ok), found=str(len(reader)))
        if codec == "h264" and reader.has_pictures:
            for sample, n_frames in enumerate(reader.n_frames.tolist()):
                # The last picture of a group needs all others; only one is held as RGB.
                reader.window(sample, min(n_frames, GROUP_LENGTH) - 1, 1).pictures()
