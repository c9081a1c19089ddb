"""The contract between toolkit and train: what lies on disk and how to read it.

>>> from toolkit.shards import DatasetReader, ShardReader, read_manifest
"""

from toolkit.aligned import BODIES
from toolkit.clips import CLIP_LENGTH
from toolkit.errors import ShardError
from toolkit.shards.codec import decode_picture, decode_pictures, encode_picture
from toolkit.shards.dataset import DatasetInfo, DatasetReader, read_dataset_info
from toolkit.shards.manifest import OK, SPLIT_PREFIX, read_manifest
from toolkit.shards.reader import ShardReader, Window
from toolkit.shards.schema import FORMAT_VERSION
from toolkit.skeleton import LAYOUTS, SkeletonLayout

__all__ = [
    "BODIES",
    "CLIP_LENGTH",
    "FORMAT_VERSION",
    "LAYOUTS",
    "OK",
    "SPLIT_PREFIX",
    "DatasetInfo",
    "DatasetReader",
    "ShardError",
    "ShardReader",
    "SkeletonLayout",
    "Window",
    "decode_picture",
    "decode_pictures",
    "encode_picture",
    "read_dataset_info",
    "read_manifest",
]
