"""What became of every planned sample: planned = ok + sum over reasons, always."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from toolkit.shards.manifest import OK


@dataclass
class Ledger:
    """Counts outcomes as they come in; ``planned`` is fixed by the plan."""

    planned: int
    outcomes: Counter[str] = field(default_factory=Counter)

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count finished manifest rows by their status."""
        self.outcomes.update(row["status"] for row in rows)

    def add_counts(self, counts: Mapping[str, int]) -> None:
        """Count finished samples, so many of each status."""
        self.outcomes.update(counts)

    @property
    def ok(self) -> int:
        """How many samples are usable."""
        return self.outcomes[OK]

    @property
    def reasons(self) -> dict[str, int]:
        """How many samples each reason took, the most frequent first."""
        return {r: n for r, n in self.outcomes.most_common() if r != OK}

    def check(self) -> None:
        """Raise ``ValueError`` unless every planned sample is accounted for exactly once."""
        if self.outcomes.total() != self.planned:
            raise ValueError(
                f"{self.planned} samples planned but {self.outcomes.total()} accounted for"
            )

    def not_allowed(self, allowed: Iterable[str]) -> dict[str, int]:
        """Return the reasons that the user did not allow; ``all`` allows every one."""
        names = set(allowed)
        return {} if "all" in names else {r: n for r, n in self.reasons.items() if r not in names}

    def __str__(self) -> str:
        parts = [f"{self.ok} ok", *(f"{n} {reason}" for reason, n in self.reasons.items())]
        return f"{self.planned} planned = {' + '.join(parts)}"
