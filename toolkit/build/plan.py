"""The frozen plan: which samples, from which files, in which shard, fixed before any decoding."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa

from toolkit import __version__
from toolkit.aligned import Codec
from toolkit.build.options import BuildOptions
from toolkit.build.plan_merge import merge_listing
from toolkit.build.plan_table import (
    join_tables,
    numbers,
    read_rows,
    replace_columns,
    tabulate_rows,
    tabulate_samples,
    take_rows,
    write_lines,
)
from toolkit.build.planned import NO_SHARD, PlannedSample, Stamp
from toolkit.errors import PlanError
from toolkit.samples import DataSet
from toolkit.shards.schema import FORMAT_VERSION
from toolkit.skeleton import SkeletonLayout

__all__ = ["NO_SHARD", "Plan", "PlanHeader", "PlannedSample", "Stamp", "make_plan"]


# What only the other way of storing pictures asks for, and ``codec`` itself, so that a data set of
# JPEGs that was begun before there was a choice is still the same one.
_DECIDES_NOTHING: dict[Codec, tuple[str, ...]] = {
    "jpeg": ("codec", "crf", "encoder"),
    "h264": ("quality",),
}


def _scaler(options: BuildOptions) -> str:
    # Its releases round pictures differently: two of them in one data set are not the same bytes.
    makes_pictures = not options.skeleton_only and options.source != "shards"
    return f"PyAV {version('av').split('.')[0]}" if makes_pictures else ""


@dataclass(frozen=True)
class PlanHeader:
    """What all samples of a build share."""

    name: str
    layout: SkeletonLayout
    class_names: tuple[str, ...]
    splits: tuple[str, ...]
    default_split: str
    options: BuildOptions
    format_version: int = FORMAT_VERSION
    toolkit_version: str = __version__
    scaler: str = ""

    def parameters(self) -> dict[str, Any]:
        """Return everything that, when it differs, makes other shards."""
        options = self.options.to_dict()
        for name in _DECIDES_NOTHING[self.options.codec]:
            del options[name]
        return {
            "data set": self.name,
            "format version": self.format_version,
            "toolkit version": self.toolkit_version,
            "skeleton layout": self.layout.to_dict(),
            "class names": list(self.class_names),
            **{k.replace("_", " "): v for k, v in options.items()},
            "pictures scaled by": self.scaler,
        }


class Shards(Mapping[int, list[PlannedSample]]):
    """Shard number -> its rows, superseded ones included, made objects when asked for.

    ``table`` holds the rows that have a shard, shard by shard; ``bounds`` is where each of the
    ``numbers`` begins in it, and the end.
    """

    def __init__(self, table: pa.Table) -> None:
        shards = numbers(table, "shard")
        order = np.argsort(shards, kind="stable")
        order = order[np.searchsorted(shards[order], 0) :]
        self.table = take_rows(table, order)
        self.numbers, begins = np.unique(shards[order], return_index=True)
        self.bounds = np.append(begins, len(order))

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers.tolist())

    def __getitem__(self, number: int) -> list[PlannedSample]:
        begin, end = self._bounds(number)
        return read_rows(self.table.slice(begin, end - begin))

    def outline(self, number: int) -> dict[str, bool]:
        """Return the ids of a shard's rows, each with whether its row is superseded.

        Makes no objects: what asks about every shard takes a tenth of the time.
        """
        begin, end = self._bounds(number)
        ids, superseded = self._columns
        return dict(zip(ids[begin:end], superseded[begin:end], strict=True))

    @cached_property
    def _columns(self) -> tuple[list[str], list[bool]]:
        return self.table["sample_id"].to_pylist(), self.table["superseded"].to_pylist()

    def _bounds(self, number: int) -> tuple[int, int]:
        at = int(np.searchsorted(self.numbers, number))
        if at == len(self.numbers) or self.numbers[at] != number:
            raise KeyError(number)
        return int(self.bounds[at]), int(self.bounds[at + 1])


@dataclass(frozen=True)
class Plan:
    """A header and all rows, superseded ones included, in the order they were planned.

    The rows are a table (see ``plan_table``); ``rows``, ``samples`` and ``shards`` make them into
    objects, which takes microseconds each.  ``stored`` is the file that the plan was read from.
    """

    header: PlanHeader
    table: pa.Table
    stored: Stamp | None = field(default=None, compare=False)

    @classmethod
    def of(cls, header: PlanHeader, rows: Sequence[PlannedSample]) -> "Plan":
        """Return a plan of rows given as objects."""
        return cls(header, tabulate_rows(rows))

    def __len__(self) -> int:
        """Return the number of planned samples, superseded rows not counted."""
        return len(self.table) - int(np.count_nonzero(numbers(self.table, "superseded")))

    @cached_property
    def rows(self) -> tuple[PlannedSample, ...]:
        """All rows as objects."""
        return tuple(read_rows(self.table))

    @property
    def live(self) -> pa.Table:
        """The rows that count, one for each planned sample, in the order of their ids."""
        table = self.table.filter(pa.array(~numbers(self.table, "superseded")))
        return table.sort_by("sample_id")

    @property
    def samples(self) -> list[PlannedSample]:
        """The same as objects."""
        return read_rows(self.live)

    @property
    def idle(self) -> pa.Table:
        """The rows of samples that need no work: their reason is known from the listing."""
        idle = ~numbers(self.table, "superseded") & (numbers(self.table, "shard") == NO_SHARD)
        # Filtered first: mostly next to nothing is left to be sorted.
        return self.table.filter(pa.array(idle)).sort_by("sample_id")

    @property
    def ids(self) -> list[str]:
        """The ids of all samples, in order."""
        return self.live["sample_id"].to_pylist()

    def shards(self) -> Shards:
        """Return each shard's rows, superseded ones included."""
        return self._shards

    @cached_property
    def _shards(self) -> Shards:
        return Shards(self.table)

    def fingerprints(self) -> dict[int, str]:
        """Return for each shard a digest of its inputs, the parameters and the versions."""
        shards = self.shards()
        lines = write_lines(shards.table)
        return {
            number: self._digest(lines[begin:end])
            for number, begin, end in zip(
                shards, shards.bounds[:-1].tolist(), shards.bounds[1:].tolist(), strict=True
            )
        }

    @property
    def fingerprint(self) -> str:
        """A digest of the whole plan."""
        return self._digest(write_lines(self.table))

    def _digest(self, lines: pa.Array) -> str:
        digest = self._begun.copy()
        _, ends, text = lines.buffers()
        if len(lines):
            bounds = np.frombuffer(ends, np.int64)[lines.offset : lines.offset + len(lines) + 1]
            digest.update(memoryview(text)[bounds[0] : bounds[-1]])
        return digest.hexdigest()

    @cached_property
    def _begun(self) -> "hashlib._Hash":
        return hashlib.sha256(json.dumps(self.header.parameters(), sort_keys=True).encode())


def make_plan(
    data: DataSet,
    options: BuildOptions,
    earlier: Plan | None = None,
    is_usable: Callable[[PlannedSample], bool] = lambda _: False,
) -> Plan:
    """Plan a build, or extend an earlier plan by what is new; if nothing is, return that plan.

    New samples, samples whose missing files turned up, and failed samples whose files or labels
    changed get new shards behind the old ones; old shards keep their rows.  ``is_usable`` tells
    whether a row of the earlier plan has a finished, usable result: such a result is never
    planned again.  Raises ``PlanError`` naming the first difference when the earlier plan had
    other parameters, or when what lies behind a usable result is another file or label now.
    """
    header = PlanHeader(
        data.name,
        data.layout,
        data.class_names,
        data.splits,
        data.default_split,
        options,
        scaler=_scaler(options),
    )
    if earlier is not None:
        _refuse_other_parameters(earlier.header, header)
    listed = tabulate_samples(data.samples, skeleton_only=options.skeleton_only)
    if earlier is None:
        return Plan(header, _assign(listed, 0, options.samples_per_shard))
    kept, new = merge_listing(earlier.table, listed, is_usable)
    next_shard = int(numbers(kept, "shard").max(initial=NO_SHARD)) + 1
    new = _assign(new, next_shard, options.samples_per_shard)
    plan = Plan(header, join_tables([kept, new]))
    return earlier if plan == earlier else plan


def _assign(table: pa.Table, first_shard: int, per_shard: int) -> pa.Table:
    """Give every row that needs work its shard, ``per_shard`` rows each."""
    needs_work = table["reason"].to_numpy() == ""
    shard = np.full(len(table), NO_SHARD)
    shard[needs_work] = first_shard + np.arange(np.count_nonzero(needs_work)) // per_shard
    return replace_columns(table, shard=shard)


def _refuse_other_parameters(old: PlanHeader, new: PlanHeader) -> None:
    # The codec first: of what the other one needs there is nothing to compare.
    before, now = ({"codec": header.options.codec} | header.parameters() for header in (old, new))
    for name in before | now:
        if before.get(name) != now.get(name):
            raise PlanError(
                f"this output was built with {name} {_short(before.get(name))}, now it is"
                f" {_short(now.get(name))}: choose another --out, or --overwrite to build anew"
            )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
