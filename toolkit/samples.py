"""What a data set hands to the builder, known before any file is decoded."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.skeleton import SkeletonLayout


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
    poses: str | os.PathLike[str] | None = None
    video: str | os.PathLike[str] | None = None
    facts: Mapping[str, int | str] = field(default_factory=dict)
    reason: str | None = None
    detail: str = ""


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
    samples: tuple[Sample, ...]
    notices: tuple[str, ...] = ()
