"""Class names of one's own table that look like slips of the pen: rare, and nearly another's."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable

from toolkit.datasets.discover import say_some

# 0.8 is two letters of five exchanged: sqaut, squat.
_ALIKE = 0.8
# Comparing is slow: only the rarest are, no name of a page's length, and none where nobody can have
# typed them all.
_MOST_COMPARED = 20
_MOST_CLASSES = 2000
_LONGEST = 60
_DIGITS = re.compile(r"\d")


def find_slips(named: Iterable[tuple[str, str]]) -> list[str]:
    """Return a phrase for each class that is probably another one, mistyped.

    ``named`` has class and subset of each recording.  Doubtful is a class of one subset whose name
    is nearly that of a commoner class; names that differ in digits alone are meant so.
    """
    pairs = Counter(named)
    counts, n_subsets = Counter[str](), Counter(name for name, _ in pairs)
    for (name, _), n in pairs.items():
        counts[name] += n
    if len(counts) > _MOST_CLASSES:
        return []
    names = [name for name in counts if len(name) <= _LONGEST]
    doubtful = sorted((n for n in names if n_subsets[n] == 1), key=lambda n: (counts[n], n))
    phrases = []
    for name in doubtful[:_MOST_COMPARED]:
        commoner = {_fold(n): n for n in names if counts[n] > counts[name] and _differ(n, name)}
        alike = difflib.get_close_matches(_fold(name), commoner, 1, _ALIKE)
        phrases += [f"{name!r} (in {counts[name]}) like {commoner[n]!r}" for n in alike]
    return phrases


def notice_slips(source: object, named: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the warning of a table's doubtful class names, if it has any."""
    slips = find_slips(named)
    if not slips:
        return ()
    return (
        f"{source}: classes of one subset, named nearly as others; mistyped? {say_some(slips)}",
    )


def _fold(name: str) -> str:
    return name.casefold()


def _differ(one: str, other: str) -> bool:
    return _DIGITS.sub("", one) != _DIGITS.sub("", other)
