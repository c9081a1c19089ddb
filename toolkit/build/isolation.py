"""Recordings read in a process of their own: a decoder that crashes or hangs costs one sample."""

import errno
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass

from toolkit.build.extracted import AddPicture, Extracted
from toolkit.build.options import BuildOptions
from toolkit.build.planned import PlannedSample
from toolkit.build.sample_child import SampleChild, StartError
from toolkit.build.sample_process import Answer, Order
from toolkit.errors import (
    OutOfMemoryError,
    SampleCrashedError,
    SampleProcessError,
    TimedOutError,
)
from toolkit.skeleton import SkeletonLayout

logger = logging.getLogger(__name__)

_MOST_STARTS = 3
# Imports from a slow file server take long: more than a short --sample-timeout allows a picture.
_START_S = 60.0


@dataclass(frozen=True)
class SampleLimits:
    """What one recording may take before it is given up; 0 is no limit.

    ``timeout_s`` is the longest time without a picture or an answer, ``memory_mib`` what the
    process that reads it may allocate.  Raises ``ValueError`` naming one below 0.
    """

    timeout_s: float = 600.0
    memory_mib: int = 4096

    def __post_init__(self) -> None:
        for name in ("timeout_s", "memory_mib"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name.replace('_', ' ')} cannot be {getattr(self, name)}")


class IsolatedSource:
    """Extracts planned samples in another process, which is kept from shard to shard.

    ``still_wanted`` is called about every second of waiting and may raise.
    """

    def __init__(
        self,
        layout: SkeletonLayout,
        options: BuildOptions,
        limits: SampleLimits,
        still_wanted: Callable[[], None],
    ) -> None:
        self._order = Order(layout, options, limits.memory_mib, os.getpid())
        self._limits, self._still_wanted = limits, still_wanted
        self._process = _take(self._order)

    def extract(self, planned: PlannedSample, add_picture: AddPicture) -> Extracted:
        """Return the sample; pictures come as they are made.

        Raises what extracting in this process would raise, and beside it ``TimedOutError``, or a
        ``SampleProcessError`` after which the same sample is worth another try in a new process.
        """
        process = self._take_ready()
        try:
            process.send(planned)
            while not isinstance(message := self._receive(process, planned), Answer):
                for jpeg in message:
                    add_picture(jpeg)
            return _open_answer(message, planned, self._limits)
        except (MemoryError, SampleProcessError, TimedOutError):
            process.end()  # Its heap is not to be trusted with the next one.
            raise
        except BaseException:
            if process.is_busy:
                process.end()
            raise

    def _take_ready(self) -> SampleChild:
        """Return a process that waits for a sample; one killed at its start is nothing."""
        limit = self._limits.timeout_s and max(self._limits.timeout_s, _START_S)
        n_starts = 0
        while True:
            process = self._process = _take(self._order, self._process)
            try:
                process.wait_ready(limit, self._still_wanted)
                return process
            except StartError as error:
                n_starts += 1
                if n_starts == _MOST_STARTS or not error.was_killed:
                    raise
                logger.warning("%s; trying once more", error)

    def _receive(self, process: SampleChild, planned: PlannedSample) -> "Answer | list[bytes]":
        limit = self._limits.timeout_s
        if not process.wait_message(limit, self._still_wanted):
            if process.waits_for_disk():
                raise OSError(
                    errno.EIO,
                    f"its disk or file server gives no answer within {limit:g} s"
                    f" (recording {planned.sample_id})",
                    planned.video.path or planned.poses.path,
                )
            raise TimedOutError(
                f"{planned.sample_id}: no picture and no answer within {limit:g} s"
                " (--sample-timeout)"
            )
        return process.receive()


class _Kept(threading.local):
    """The process of each thread: it dies with the thread that started it."""

    process: SampleChild | None = None


_kept = _Kept()


def _take(order: Order, process: SampleChild | None = None) -> SampleChild:
    """Return the process given or kept if it can do the work, else a new one."""
    process = process or _kept.process
    if process is not None and _can_serve(process, order):
        return process
    if process is not None:
        process.end()
    _kept.process = SampleChild(order)
    return _kept.process


def _can_serve(process: SampleChild, order: Order) -> bool:
    is_free = process.is_alive and not (process.is_busy or process.is_idle)
    return is_free and process.order == order


def _open_answer(answer: Answer, planned: PlannedSample, limits: SampleLimits) -> Extracted:
    if answer.kind == "memory":
        if not limits.memory_mib:
            raise MemoryError
        raise OutOfMemoryError(
            f"{planned.sample_id}: reading it takes more than {limits.memory_mib} MiB"
            " (--sample-memory)"
        )
    if answer.error is not None:
        raise answer.error from answer.trouble
    if answer.trouble is not None:
        raise answer.trouble
    if answer.extracted is None:
        logger.error(
            "sample %s: unexpected error, please report it\n%s", planned.sample_id, answer.trace
        )
        raise SampleCrashedError(f"unexpected {answer.text}")
    return answer.extracted
