"""What is on disk: names, types and versions that writer and reader share, each said once."""

from typing import NamedTuple

from toolkit.aligned import BODIES, Codec
from toolkit.skeleton import SkeletonLayout

FORMAT_NAME = "ctxtool-shard"
FORMAT_VERSION = 1

# A reader that knows JPEG alone refuses other frames by their version.
SHARD_VERSIONS: dict[Codec, int] = {"jpeg": FORMAT_VERSION, "h264": 2}

DATASET_FILE = "dataset.json"
MANIFEST_FILE = "manifest.parquet"
PLAN_FILE = "plan.parquet"
SHARD_FOLDER = "shards"


class Table(NamedTuple):
    """One HDF5 dataset: element type, what its first axis counts, and the axes after it.

    Counts: F frames, S samples, K clips, G groups of frames, B bytes; ``+1`` marks a table of
    n + 1 boundaries.
    """

    dtype: str
    first: str
    rest: tuple[int, ...] = ()


def tables(layout: SkeletonLayout, codec: Codec = "jpeg") -> dict[str, Table]:
    """Return every dataset of a shard in the order it is written; all contiguous, none filtered."""
    V, C = layout.n_joints, len(layout.channels)
    return {
        "sample/id": Table("S", "S"),
        "sample/row": Table("<i8", "S+1"),
        "sample/label": Table("<i4", "S"),
        "clip/sample": Table("<i4", "K"),
        "clip/start": Table("<i8", "K"),
        "clip/n_valid": Table("|u1", "K"),
        "frame/video_index": Table("<i4", "F"),
        "frame/drift_s": Table("<f4", "F"),
        "skeleton/joints": Table("<f4", "F", (BODIES, V, C)),
        "skeleton/present": Table("|u1", "F", (BODIES,)),
        "skeleton/tracking": Table("|u1", "F", (BODIES, V)),
        "skeleton/pixels": Table("<f4", "F", (BODIES, V, 2)),
        **picture_tables(codec),
    }


def picture_tables(codec: Codec) -> dict[str, Table]:
    """Return the tables that a shard without pictures lacks."""
    if codec == "jpeg":
        return _CODED
    return _CODED | {"rgb/size": Table("<i4", "S", (2,)), "rgb/crc32": Table("<u4", "G")}


_CODED = {"rgb/offset": Table("<i8", "F+1"), "rgb/data": Table("|u1", "B")}


def shard_name(number: int) -> str:
    """Return the stem of a shard's two files, e.g. ``00012``."""
    return f"{number:05d}"
