"""Read the small text files that describe recordings, each mistake with its place in the file."""

import json
import re
from collections import Counter
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

from toolkit.bounded import find_json_excess, read_bounded
from toolkit.errors import TableError

# The label files of Kinetics have 25 MB, a line of a table some 100 bytes.
MAX_TEXT_BYTES = 128 * 2**20
# No file system takes a name of more than 255 bytes.
MAX_ID = 200
_SPACE = " \t\r\n"
# A key and its object, neither with an escape: braces and quotes are then what they seem.
_MEMBER = re.compile(rf'"([^"\\\x00-\x1f]*)"[{_SPACE}]*:[{_SPACE}]*(\{{[^{{}}\\]*\}})')


def read_text(path: Path) -> str:
    """Return a UTF-8 text (a byte order mark is dropped); raises ``TableError`` naming the byte.

    Also for a file of more than 128 MiB.
    """
    try:
        raw = read_bounded(path, MAX_TEXT_BYTES)
    except OSError as error:
        raise TableError(
            path, "file", expected="a readable file", found=str(error.strerror)
        ) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(
            path, f"byte {error.start}", expected="UTF-8 text", found=f"{raw[error.start]:#04x}"
        ) from error
    if "\0" in text:
        place = f"line {text.count(chr(10), 0, text.index(chr(0))) + 1}"
        raise TableError(path, place, expected="UTF-8 text", found="a NUL character")
    return text


def read_json_object(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return a JSON object and the keys its file repeats (the last value of such a key is kept).

    Raises ``TableError`` naming the line of a syntax error.
    """
    text = read_text(path)
    excess = find_json_excess(text)
    if excess:
        raise TableError(path, "file", expected="a description of recordings", found=excess)
    alike = _parse_alike(text)
    if alike is not None:
        return alike, []
    repeated: list[str] = []
    try:
        data = json.loads(text, object_pairs_hook=partial(_gather, repeated))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise TableError(path, place, expected="JSON", found=error.msg) from error
    except RecursionError as error:
        raise TableError(path, "file", expected="JSON", found="endless nesting") from error
    # A number of thousands of digits, which Python does not convert.
    except ValueError as error:
        raise TableError(path, "file", expected="JSON", found=str(error)) from error
    if not isinstance(data, dict):
        raise TableError(path, "line 1", expected="an object {...}", found=type(data).__name__)
    return data, repeated


def _parse_alike(text: str) -> dict[str, Any] | None:
    """Parse an object of flat objects; those with the same text are parsed once and are one object.

    Returns None for anything else and where a key is repeated.  Of 300,000 recordings in label
    files some 800 entries differ: to parse and hold each is a good part of the time of a listing.
    """
    before, *pieces = _MEMBER.split(text)
    keys, texts, behind = pieces[0::3], pieces[1::3], [mark.strip(_SPACE) for mark in pieces[2::3]]
    if before.strip(_SPACE) != "{" or behind != [","] * (len(keys) - 1) + ["}"]:
        return None
    repeated: list[str] = []
    try:
        gather = partial(_gather, repeated)
        known = {one: json.loads(one, object_pairs_hook=gather) for one in {*texts}}
    except (ValueError, RecursionError):
        return None
    table = {key: known[one] for key, one in zip(keys, texts, strict=True)}
    return None if repeated or len(table) < len(keys) else table


def _gather(repeated: list[str], pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        repeated.extend(name for name, count in counts.items() if count > 1)
    return table


def show_json(value: Any) -> str:
    """Return a short text for a JSON value; what is inside a list may be too deep to print."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return f"{value!r:.60}"


def list_bad_ids(ids: Collection[str]) -> list[str]:
    """Return the ids that :func:`find_id_fault` finds fault with; quick where there are none."""
    text = " ".join(ids)
    separated = "/" in text or "\\" in text
    dotted = text.startswith(".") or " ." in text
    plain = text.isprintable() and not separated and not dotted
    if plain and "" not in ids and max(map(len, ids), default=0) <= MAX_ID:
        return []
    return [sample_id for sample_id in ids if find_id_fault(sample_id)]


def find_id_fault(sample_id: str) -> str:
    """Return what is wrong with a sample id (``""`` when nothing is).

    Ids become file names of pictures and lines of tables.
    """
    if not sample_id:
        return "an empty id"
    if len(sample_id) > MAX_ID:
        return f"one of {len(sample_id)} characters, more than {MAX_ID}"
    if not sample_id.isprintable():
        return f"a line break or another unprintable character in {sample_id!a}"
    if sample_id[0] == "." or "/" in sample_id or "\\" in sample_id:
        return f"{sample_id!r}, which begins with a dot or contains a path separator"
    return ""
