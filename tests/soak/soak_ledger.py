"""What a soak threw at the commands and what survived, as Markdown and as JSON."""

import json
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class SoakLedger:
    """Counts; ``violations`` holds a sentence for everything that was not as promised."""

    seed: int
    kills: Counter = field(default_factory=Counter)
    ended_before: int = 0
    damage: Counter = field(default_factory=Counter)
    builds_compared: int = 0
    builds_identical: int = 0
    trainings_resumed: int = 0
    trainings_equal: int = 0
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)

    @property
    def n_kills(self) -> int:
        """How many commands or their processes were hit while they ran."""
        return sum(self.kills.values())

    def write(self, folder) -> None:
        """Write ``ledger.json`` and ``ledger.md``."""
        text = json.dumps(vars(self) | {"n_kills": self.n_kills}, indent=1)
        (folder / "ledger.json").write_text(text + "\n")
        (folder / "ledger.md").write_text(self.table())

    def table(self) -> str:
        """Return the ledger as a Markdown table and a list of violations."""
        rows = [
            ("seed", self.seed),
            ("minutes", round(self.seconds / 60, 1)),
            ("kills", self.n_kills),
            *((f"- {name}", n) for name, n in sorted(self.kills.items())),
            ("commands that ended before they were hit", self.ended_before),
            ("finished files damaged", sum(self.damage.values())),
            *((f"- {name}", n) for name, n in sorted(self.damage.items())),
            ("builds gone on with and compared", self.builds_compared),
            ("- of these identical", self.builds_identical),
            ("trainings resumed and compared", self.trainings_resumed),
            ("- of these bitwise equal", self.trainings_equal),
            ("violations", len(self.violations)),
        ]
        lines = ["| what | number |", "| --- | --- |", *(f"| {name} | {n} |" for name, n in rows)]
        return "\n".join([*lines, "", *(f"- {text}" for text in self.violations)]).strip() + "\n"
