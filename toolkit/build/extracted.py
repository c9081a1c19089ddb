"""What extracting one recording yields, wherever the recording comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from toolkit.aligned import AlignedSample

AddPicture = Callable[[bytes], None]


@dataclass(frozen=True)
class Extracted:
    """A sample ready for the shard, and what its manifest row tells of it."""

    sample: AlignedSample
    columns: dict[str, Any]
    notes: list[str]
