"""Tables and pictures as text that an HTML page can carry: packed, compressed, base64."""

import base64
import gzip
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What the page's typed arrays are called there; little-endian, as every browser is.
_KINDS = {"<f4": "Float32Array", "<u2": "Uint16Array", "<i2": "Int16Array", "|u1": "Uint8Array"}
_ALIGNMENT = 4
_LEVEL = 6


@dataclass
class Pack:
    """A JSON header and the arrays that it refers to, as one compressed text.

    Unpacked: the header's length as uint32, the header, then the arrays, each aligned to four
    bytes.  The same content gives the same text.
    """

    _arrays: list[bytes] = field(default_factory=list)
    _size: int = 0

    def add(self, array: NDArray[Any] | bytes | memoryview) -> dict[str, Any]:
        """Take an array, or bytes as uint8, and return what the header is to say of it.

        Raises ``ValueError`` on a type that the page cannot read.
        """
        values = array if isinstance(array, np.ndarray) else np.frombuffer(array, np.uint8)
        kind = _KINDS.get(values.dtype.newbyteorder("<").str)
        if kind is None:
            raise ValueError(f"a page has no array of {values.dtype}")
        data = values.astype(values.dtype.newbyteorder("<")).tobytes()
        reference = {"kind": kind, "at": self._size, "n": values.size}
        padded = data + bytes(-len(data) % _ALIGNMENT)
        self._arrays.append(padded)
        self._size += len(padded)
        return reference

    def to_text(self, header: dict[str, Any]) -> str:
        """Return header and arrays as base64 of gzip; safe between any HTML tags."""
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        head = text.encode()
        head += b" " * (-len(head) % _ALIGNMENT)
        whole = b"".join([len(head).to_bytes(4, "little"), head, *self._arrays])
        return base64.b64encode(gzip.compress(whole, _LEVEL, mtime=0)).decode("ascii")
