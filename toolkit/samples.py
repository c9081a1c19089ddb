"""What a data set hands to the builder, known before any file is decoded."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, overload

from toolkit.skeleton import SkeletonLayout

FilePath = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Sample:
    """One planned recording.

    ``poses`` is a file, or a folder of OpenPose files (listings of 300,000 name files by plain
    text: a ``Path`` takes five times as long to make); ``subsets`` maps each split of the data set
    to ``"train"``, ``"val"`` or ``"test"`` (a split the sample is not part of is left out);
    ``facts`` holds what the name tells (setup, camera, youtube_id, ...).  A recording that is known
    to be unusable before any file is opened carries its ``reason`` code and ``detail`` sentence.
    ``label`` is -1 where no class is known (the reason then says why).
    """

    sample_id: str
    label: int
    label_name: str
    subsets: Mapping[str, str]
    poses: FilePath | None = None
    video: FilePath | None = None
    facts: Mapping[str, int | str] = field(default_factory=dict)
    reason: str | None = None
    detail: str = ""


@dataclass(frozen=True, eq=False)
class SampleColumns(Sequence[Sample]):
    """Samples held as columns; one is made an object when it is asked for.

    Of 300,000 every object takes microseconds and half a kilobyte.  ``subsets`` has a column for
    each split and ``facts`` one for each fact, ``None`` where a sample has none.
    """

    sample_id: Sequence[str]
    label: Sequence[int]
    label_name: Sequence[str]
    subsets: Mapping[str, Sequence[str | None]]
    poses: Sequence[FilePath | None]
    video: Sequence[FilePath | None]
    facts: Mapping[str, Sequence[int | str | None]]
    reason: Sequence[str | None]
    detail: Sequence[str]

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> "SampleColumns":
        """Return samples as columns, as they are where they are columns already."""
        if isinstance(samples, cls):
            return samples
        columns: dict[str, Any] = {
            one.name: [getattr(sample, one.name) for sample in samples] for one in fields(cls)
        }
        spread = {name: spread_keys(columns[name]) for name in ("subsets", "facts")}
        return cls(**columns | spread)

    def __len__(self) -> int:
        return len(self.sample_id)

    @overload
    def __getitem__(self, at: int) -> Sample: ...
    @overload
    def __getitem__(self, at: slice) -> "SampleColumns": ...
    def __getitem__(self, at: int | slice) -> "Sample | SampleColumns":
        columns = {one.name: _pick(getattr(self, one.name), at) for one in fields(self)}
        if isinstance(at, slice):
            return SampleColumns(**columns)
        for name in ("subsets", "facts"):
            columns[name] = {k: v for k, v in columns[name].items() if v is not None}
        return Sample(**columns)


def spread_keys(dicts: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return one column for each key, in their order, ``None`` where a mapping lacks it."""
    names = sorted({name for one in dicts for name in one})
    return {name: [one.get(name) for one in dicts] for name in names}


def _pick(column: Any, at: int | slice) -> Any:
    if isinstance(column, Mapping):
        return {name: values[at] for name, values in column.items()}
    return column[at]


@dataclass(frozen=True)
class DataSet:
    """All samples found, in the order of their ids, and what they have in common.

    ``notices`` are sentences to tell the user once (a recording found twice, names left out).
    """

    name: str
    layout: SkeletonLayout
    class_names: tuple[str, ...]
    splits: tuple[str, ...]
    default_split: str
    samples: Sequence[Sample]
    notices: tuple[str, ...] = ()
