"""A build cut into parts for machines that know nothing of each other but the output folder."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from toolkit.build.plan import NO_SHARD, Plan, PlannedSample
from toolkit.build.plan_table import find_places, numbers, read_rows
from toolkit.errors import PlanError
from toolkit.shards.files import write_atomically

_COUNT_FILE = ".parts"


@dataclass(frozen=True)
class Part:
    """The share ``index`` of ``count``, counted from 1: every ``count``-th shard.

    Raises ``ValueError`` unless 1 <= index <= count.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ValueError(
                f"part {self} is not one of 1/{self.count} to {self.count}/{self.count}"
            )

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Read ``i/n``; raises ``ValueError`` when it is none."""
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if not found:
            raise ValueError(f"{text!r} is not a part like 2/8, the second of eight")
        return cls(int(found[1]), int(found[2]))

    def __contains__(self, shard: int) -> bool:
        return shard % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def select_samples(plan: Plan, part: Part | None) -> pa.Table:
    """Return the planned samples' rows, of a part only its shards', in the order of their ids."""
    live = plan.live
    if part is None:
        return live
    shard = numbers(live, "shard")
    return live.filter(pa.array((shard != NO_SHARD) & (shard % part.count == part.index - 1)))


def count_samples(plan: Plan, part: Part | None) -> int:
    """Return the number of planned samples, of a part only of those in its shards."""
    return len(plan) if part is None else len(select_samples(plan, part))


def write_count(out: Path, part: Part) -> None:
    """Note in the output folder how many parts there are, so that missing ones can be named."""
    write_atomically(out / _COUNT_FILE, lambda aside: aside.write_text(str(part.count)))


def read_count(out: Path) -> int | None:
    """Return how many parts the build was last cut into, None where nobody noted it."""
    try:
        text = (out / _COUNT_FILE).read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return None
    return int(text) if text.isdecimal() and len(text) < 10 and int(text) else None


def forget_count(out: Path) -> None:
    """Remove the note: the build is finished."""
    (out / _COUNT_FILE).unlink(missing_ok=True)


def name_parts(shards: Iterable[int], count: int) -> list[str]:
    """Return the parts, as ``i/n`` in order, that these shards belong to."""
    return [str(Part(index + 1, count)) for index in sorted({shard % count for shard in shards})]


def refuse_moved(earlier: Plan, plan: Plan) -> None:
    """Refuse a plan that takes samples out of the shards that other parts may be at work on.

    A whole build plans such samples anew; a part may only add.  Mostly the raw files are not
    visible on the part's machine, or not as they are elsewhere.
    """
    before, now = earlier.live, plan.live
    # A plan that goes on from another one has all its samples.
    there = find_places(before, now)
    shard = numbers(before, "shard")
    moved = np.flatnonzero((shard != NO_SHARD) & (numbers(now, "shard")[there] != shard))
    if len(moved):
        first = int(moved[0])
        old, new = read_rows(before.slice(first, 1)), read_rows(now.slice(int(there[first]), 1))
        raise PlanError(_say_moved(old[0], new[0]))


def _say_moved(old: PlannedSample, new: PlannedSample) -> str:
    stamps = ("pose file", old.poses, new.poses), ("video", old.video, new.video)
    changes = [f"{what} was {was} and is {now} here" for what, was, now in stamps if was != now]
    changed = changes[0] if changes else f"label was {old.label_name} and is {new.label_name} here"
    return (
        f"sample {old.sample_id} of shard {old.shard}: its {changed}, and other parts may be at"
        " work on it: see that this machine has the same raw files as the others, or run the"
        " command once without --part to plan it anew"
    )
