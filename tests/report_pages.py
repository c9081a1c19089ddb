"""Takes apart what a report carries, as the page itself does."""

import base64
import gzip
import json
import re

import numpy as np

KINDS = {
    "Float32Array": np.float32,
    "Uint16Array": np.uint16,
    "Int16Array": np.int16,
    "Uint8Array": np.uint8,
}
CARRIED = re.compile(r'<script type="text/plain" id="([^"]+)">([^<]*)</script>')


def unpack(text):
    """Return the header of a pack and a function from a reference to its array."""
    whole = gzip.decompress(base64.b64decode(text))
    end = 4 + int.from_bytes(whole[:4], "little")
    header = json.loads(whole[4:end])

    def array(reference):
        at = end + reference["at"]
        return np.frombuffer(whole, KINDS[reference["kind"]], reference["n"], at)

    return header, array


def carried(page):
    """Return name -> unpacked of everything that a page carries."""
    return {name: unpack(text) for name, text in CARRIED.findall(page.read_text("utf-8"))}
