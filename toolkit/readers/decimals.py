"""Plain decimal numbers in rows of text, parsed all at once and exactly.

Faster than ``np.loadtxt`` (``tests/benchmarks/bench_parse.py``), and unlike a flat list of tokens
it sees a number that slid from its row to the next.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MAX_WHOLE, _MAX_DIGITS = 7, 15
# Whole numbers of 15 digits and powers of ten up to 22 are exact in a double, so that the one
# division below rounds as float() does.
_POWERS = 10.0 ** np.arange(_MAX_DIGITS + 1)
_WORD = 8
# So many rows that the arrays of a block stay below the size at which malloc asks the system for
# fresh pages each time, which cost a third of the whole parse.
_BLOCK = 500
# One step each joins neighbouring digits to pairs, pairs to fours and fours to eights.
_JOIN_DIGITS = tuple(
    (np.uint64(mask), np.uint64(factor), np.uint64(shift))
    for mask, factor, shift in (
        (0x0F0F0F0F0F0F0F0F, 10 * 2**8 + 1, 8),
        (0x00FF00FF00FF00FF, 100 * 2**16 + 1, 16),
        (0x0000FFFF0000FFFF, 10_000 * 2**32 + 1, 32),
    )
)


def parse_decimals(
    rows: Sequence[bytes], n_fields: int, kept: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the ``kept`` columns (R, K) of the rows and which rows (R,) are vouched for.

    A row is vouched for if it is ``n_fields`` numbers with single blanks between them and nothing
    else, each ``-?digits(.digits)?`` of at most 15 digits, 7 before the point.  The values of the
    other rows mean nothing; a row of another number of fields takes its neighbours with it.
    """
    columns = np.asarray(kept, np.intp)
    blocks = [
        _parse_block(rows[begin : begin + _BLOCK], n_fields, columns)
        for begin in range(0, max(len(rows), 1), _BLOCK)
    ]
    values, vouched = zip(*blocks, strict=True)
    return np.concatenate(values), np.concatenate(vouched)


def _parse_block(
    rows: Sequence[bytes], n_fields: int, columns: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    # The digits at the end belong to no row: they keep the reads of eight bytes inside the text.
    text = b"\n%b\n%b" % (b"\n".join(rows), b"0" * 3 * _WORD)
    codes = np.frombuffer(text, np.uint8)
    place = np.flatnonzero(codes - np.uint8(ord("0")) > 9)  # what is below "0" wraps around
    kind = codes[place]
    gap = np.flatnonzero(kind <= ord(" "))
    if not _is_table(kind[gap], len(rows), n_fields):
        return np.zeros((len(rows), len(columns))), np.zeros(len(rows), np.bool_)

    begin, mark = place[gap[:-1]] + 1, gap[:-1] + 1
    minus = (kind[mark] == ord("-")) & (place[mark] == begin)
    begin, mark = begin + minus, mark + minus
    point = place[mark]
    dot = kind[mark] == ord(".")
    n_whole, n_part = point - begin, place[gap[1:]] - point - dot
    plain = (mark + dot == gap[1:]) & ((n_part > 0) == dot)
    plain &= (n_whole > 0) & (n_whole <= _MAX_WHOLE) & (n_whole + n_part <= _MAX_DIGITS)
    begin, n_whole, n_part, minus = (
        of_token.reshape(-1, n_fields)[:, columns] for of_token in (begin, n_whole, n_part, minus)
    )
    values = _magnitudes(text, begin, n_whole, n_part)
    np.negative(values, out=values, where=minus)
    return values, plain.reshape(-1, n_fields).all(axis=1)


def _is_table(gaps: NDArray[np.uint8], n_rows: int, n_fields: int) -> bool:
    """Tell if the text is rows of ``n_fields`` stretches with single blanks between them."""
    newlines = np.count_nonzero(gaps == ord("\n"))
    blanks = np.count_nonzero(gaps == ord(" "))
    return (
        len(gaps) == n_rows * n_fields + 1 == newlines + blanks
        and newlines == n_rows + 1
        and bool((gaps[::n_fields] == ord("\n")).all())
    )


def _magnitudes(
    text: bytes, begin: NDArray[np.intp], n_whole: NDArray[np.intp], n_part: NDArray[np.intp]
) -> NDArray[np.float64]:
    # A token that is not plain may be longer than the table of powers: its value means nothing.
    n_part = np.minimum(n_part, _MAX_DIGITS)
    n_head = np.minimum(n_part, _WORD)
    n_tail = n_part - n_head
    scale = _POWERS[n_part]
    part = begin + n_whole + 1
    mantissa = _digits(text, begin, n_whole) * scale
    mantissa += _digits(text, part, n_head) * _POWERS[n_tail]
    mantissa += _digits(text, part + _WORD, n_tail)
    mantissa /= scale
    return mantissa


def _digits(text: bytes, begin: NDArray[np.intp], length: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the number that up to eight digits from ``begin`` on stand for, 0 for no digit."""
    at_every_byte = np.ndarray((len(text) - _WORD + 1,), "<u8", text, 0, (1,))
    word = at_every_byte[begin]
    word <<= (8 * (_WORD - length)).astype(np.uint64)  # shifting by 64 leaves 0
    for mask, factor, shift in _JOIN_DIGITS:
        word &= mask
        word *= factor
        word >>= shift
    return word.astype(np.float64)
