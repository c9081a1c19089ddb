"""What lies beside synthetic raw data: the exact ceilings and the latents of each recording."""

import json
import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toolkit.shards import DatasetReader, read_dataset_info, read_manifest
from toolkit.shards.schema import DATASET_FILE
from train.errors import TrainError
from train.model_config import ModelConfig

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

CEILINGS_FILE = "ceilings.json"
LATENTS_FILE = "latents.csv"
# Lies in every folder that ctxtool synthesize has written.
MARKER_FILE = "synthesis.json"
# A score so many standard errors above its ceiling is no accident.
N_ERRORS = 3.0


@dataclass(frozen=True)
class Ceilings:
    """The best accuracies possible, shares of 1, and the sizes of the latents.

    See docs/synthetic-data.md.  ``additive`` is where training an additive classifier leads,
    ``additive_bound`` what none can exceed, None where that is not known.
    """

    S: int
    Q: int
    A: int
    P: int
    distinct: bool
    chance: float
    rgb: float
    skeleton: float
    additive: float
    both: float
    additive_bound: float | None = None

    def expected(self, model: ModelConfig) -> float:
        """Return the accuracy that a system should come near to."""
        if model.system == "concat":
            return self.additive
        return self.both if model.has_context and model.has_skeleton else self.bound(model)

    def bound(self, model: ModelConfig) -> float:
        """Return the accuracy that a system cannot exceed but by chance, or by a leak."""
        if model.system == "concat":
            return self.both if self.additive_bound is None else self.additive_bound
        if not model.has_context:
            return self.skeleton
        return self.both if model.has_skeleton else self.rgb

    @property
    def shuffled(self) -> float:
        """Return what a perfect classifier keeps when p is random and all else is as it was."""
        same_motion = 0.0 if self.distinct else 1 / self.A
        return 1 / self.P + (1 - 1 / self.P) * same_motion


@dataclass(frozen=True)
class LatentTable:
    """The latents of a data set's usable samples, by their numbers in the reader.

    ``s``, ``p``, ``q`` int64 (S,), ``a`` int64 (S, P); ``label_of`` gives the label of (s, q, a_p).
    """

    s: NDArray[np.int64]
    p: NDArray[np.int64]
    q: NDArray[np.int64]
    a: NDArray[np.int64]
    label_of: Mapping[tuple[int, int, int], int]

    def moved(self, skeletons: NDArray[np.int64], scenes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the motion of each skeleton's part that counts in each scene."""
        return self.a[skeletons, self.p[scenes]]

    def labels(self, skeletons: NDArray[np.int64], scenes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the right labels of skeletons in the scenes of other samples, -1 if never seen."""
        keys = zip(self.s[scenes], self.q[skeletons], self.moved(skeletons, scenes), strict=True)
        return np.array([self.label_of.get(key, -1) for key in keys])


def standard_error(share: float, n: int) -> float:
    """Return the standard error of a share of n samples."""
    return math.sqrt(share * (1 - share) / n)


def is_above(score: float, bound: float, n: int) -> bool:
    """Say whether a score of n samples is significantly above a bound."""
    return score > bound + N_ERRORS * standard_error(bound, n) + 1e-9


def find_beside_raw(dataset: Path, name: str) -> Path | None:
    """Return a file that synthesis left above the raw files of a data set, None if there is none.

    Shards taken from another extraction are followed to where those came from.
    """
    poses = read_manifest(dataset)["poses"].dropna()
    if poses.empty:
        return None
    path = Path(str(poses.iloc[0]))
    source = path.parent.parent
    is_taken_over = read_dataset_info(dataset).parameters.get("source") == "shards"
    # Moved shards may lie where those lay that they were taken from.
    if is_taken_over and (source / DATASET_FILE).is_file() and not source.samefile(dataset):
        return find_beside_raw(source, name)
    return next((above / name for above in path.parents if (above / name).is_file()), None)


def count_stand_ins(reader: DatasetReader) -> int:
    """Count the usable samples whose poses lie below a folder of synthetic raw data."""
    poses = reader.samples["poses"].dropna().astype(str)
    folders = poses.map(os.path.dirname)
    is_synthetic = {
        folder: any((above / MARKER_FILE).is_file() for above in (Path(folder) / "_").parents)
        for folder in folders.unique()
    }
    return int(folders.map(is_synthetic).sum())


def warn_of_mixture(dataset: Path) -> None:
    """Say so when a data set mixes synthetic stand-ins with genuine recordings."""
    reader = DatasetReader(dataset)
    n = count_stand_ins(reader)
    if 0 < n < len(reader):
        log.warning(
            "%d of %d samples of %s are synthetic stand-ins, the others are not: a network trained"
            " on both learns to tell them apart; extract the genuine ones alone",
            n,
            len(reader),
            dataset,
        )


def find_limits(dataset: Path, model: ModelConfig) -> dict[str, float]:
    """Return chance, ceiling and bound of a network on synthetic data; empty on any other."""
    path = find_beside_raw(dataset, CEILINGS_FILE)
    if path is None:
        return {}
    ceilings = read_ceilings(path)
    expected, bound = ceilings.expected(model), ceilings.bound(model)
    return {"chance": ceilings.chance, "ceiling": expected, "bound": bound}


def read_ceilings(path: Path) -> Ceilings:
    """Read ceilings.json; raises ``TrainError`` naming the file and what it lacks."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        values = {field.name: data[field.name] for field in fields(Ceilings)}
        return Ceilings(**values)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TrainError(
            f"{path} does not hold the ceilings of synthetic data: {error!r}"
        ) from error


def read_latents(path: Path, reader: DatasetReader) -> LatentTable:
    """Read latents.csv for the samples of a data set.

    Raises ``TrainError`` if columns or samples are missing, or if the labels of the data set do not
    follow from these latents.
    """
    names = reader.samples["sample_id"].astype(str)
    rows = _read_csv(path).reindex(names)
    missing = rows["s"].isna()
    if missing.any():
        raise TrainError(
            f"{path} knows nothing of {missing.sum()} of {len(names)} samples of {reader.folder},"
            f" such as {names[missing.to_numpy()].iloc[0]}: it belongs to other raw data"
        )
    numbers = rows.astype(np.int64)
    s, p, q = (numbers[name].to_numpy() for name in ("s", "p", "q"))
    a = numbers.filter(like="a_").to_numpy()
    keys = list(zip(s, q, a[np.arange(len(p)), p], strict=True))
    label_of: dict[tuple[int, int, int], int] = {}
    for key, label, name in zip(keys, reader.labels.tolist(), names, strict=True):
        if label_of.setdefault(key, label) != label:
            raise TrainError(
                f"{path}: the label of sample {name} in {reader.folder} does not follow from its"
                " latents as others' do: it belongs to other raw data"
            )
    return LatentTable(s, p, q, a, label_of)


def _read_csv(path: Path) -> "pd.DataFrame":
    """Return the latents as read, by sample id."""
    import pandas as pd

    try:
        # Ids such as 12345678e05 are no numbers.
        frame = pd.read_csv(path, dtype={"id": str}, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise TrainError(f"{path} is no readable table of latents: {error}") from error
    missing = {"id", "s", "p", "q", "a_1", "a_2"} - set(frame.columns)
    if missing:
        raise TrainError(f"{path} lacks the columns {', '.join(sorted(missing))} of latents")
    parts = [name for name in frame.columns if name.startswith("a_")]
    return frame.drop_duplicates("id").set_index("id")[["s", "p", "q", *parts]]
