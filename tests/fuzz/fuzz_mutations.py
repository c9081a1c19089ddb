"""Random damage to valid files: bytes, tokens, lines, and the structure of JSON."""

import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

_WORD = re.compile(rb"[-+.\w]+")
# What readers of text stumble over: not numbers, too much of one, other digits, other places.
HOSTILE_WORDS = (
    b"", b"-1", b"0", b"1", b"25", b"26", b"1e999", b"-1e999", b"1e-999", b"NaN", b"Infinity",
    b"null", b"true", b"0x10", b"1_0", b"+1", b".5", b"5.", b"-", b"9" * 19, b"9" * 30, b"9" * 5000,
    b"1000000000", b"9223372036854775808", b"18446744073709551616", b"4611686018427387904",
    b"../../x", b"/etc/passwd", b"a/b", b".", b"..", b"\0", b"\xff", b"\xef\xbb\xbf",
    b"\xd9\xa3", b"\\u0000", b"\\ud800", b"\x1b[2J", b"\r", b"\n", b"\n\n", b"\t", b'"', b",", b";",
    b"[" * 2000, b"{" * 2000, b"[" * 40 + b"]" * 40, b"a" * 300,
)  # fmt: skip
MOST_BYTES = 1 << 16
_DEEP: Any = []
for _ in range(900):
    _DEEP = [_DEEP]
HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**53, 2**63, 2**64, 10**18, 1e308, 1e-308, float("nan"),
    float("inf"), 0.5, "", "1", "a\nb", "a\0b", "../../x", "/etc/passwd", ".x", "\ud800", "\x1b[2J",
    "x" * 3000, [], {}, [[]], [{}], {"": []}, [0] * 100, ["x"] * 3, _DEEP,
)  # fmt: skip


def mutate(data: bytes, random: Random) -> bytes:
    """Return the data with one to four pieces of damage."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = random.choice(_MUTATIONS)(data, random)[:MOST_BYTES]
    return data


def _flip_bits(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 2, 8)) if data else 0):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _set_bytes(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    begin = random.randrange(len(data) + 1)
    length = random.choice((1, 2, 4, 8, 64))
    fill = random.choice((b"\0", b"\xff", b"\x7f", random.randbytes(1)))
    changed[begin : begin + length] = fill * length
    return bytes(changed[: len(data)])


def _cut_off(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _remove_span(data: bytes, random: Random) -> bytes:
    begin = random.randrange(len(data) + 1)
    return data[:begin] + data[begin + random.choice((1, 2, 16, 256)) :]


def _repeat_span(data: bytes, random: Random) -> bytes:
    begin = random.randrange(len(data) + 1)
    span = data[begin : begin + random.choice((1, 4, 64, 1024))]
    return data[:begin] + span * random.choice((2, 3, 50)) + data[begin + len(span) :]


def _swap_word(data: bytes, random: Random) -> bytes:
    words = list(_WORD.finditer(data))
    if not words:
        return data + random.choice(HOSTILE_WORDS)
    word = random.choice(words)
    other = random.choice((random.choice(HOSTILE_WORDS), random.choice(words)[0]))
    return data[: word.start()] + other + data[word.end() :]


def _insert_word(data: bytes, random: Random) -> bytes:
    place = random.randrange(len(data) + 1)
    return data[:place] + random.choice(HOSTILE_WORDS) + data[place:]


def _change_lines(data: bytes, random: Random) -> bytes:
    lines = data.split(b"\n")
    at, to = random.randrange(len(lines)), random.randrange(len(lines))
    change = random.randrange(3)
    if change == 0:
        del lines[at]
    elif change == 1:
        lines.insert(to, lines[at])
    else:
        lines[at], lines[to] = lines[to], lines[at]
    return b"\n".join(lines)


def _change_json(data: bytes, random: Random) -> bytes:
    """Replace, remove, repeat or wrap one value somewhere in the tree."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return _swap_word(data, random)
    root: Any = {"": tree}
    holder, key = root, ""
    while isinstance(holder[key], (dict, list)) and holder[key] and random.random() < 0.8:
        inner = holder[key]
        holder, key = (
            inner,
            random.choice([*inner] if isinstance(inner, dict) else range(len(inner))),
        )
    _change_value(holder, key, random)
    try:
        return json.dumps(root.get("")).encode()
    except RecursionError:
        return data


def _change_value(holder: Any, key: Any, random: Random) -> None:
    change = random.randrange(4)
    if change == 0:
        del holder[key]
    elif change == 1 and isinstance(holder, dict):
        holder[f"{random.choice(HOSTILE_VALUES)!s:.40}"] = holder[key]
    elif change == 1:
        holder.extend([holder[key]] * random.choice((1, 2, 20)))
    elif change == 2:
        holder[key] = [holder[key]]
    else:
        holder[key] = random.choice(HOSTILE_VALUES)


_MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    _flip_bits,
    _set_bytes,
    _cut_off,
    _remove_span,
    _repeat_span,
    _swap_word,
    _swap_word,
    _insert_word,
    _change_lines,
    _change_json,
    _change_json,
)
