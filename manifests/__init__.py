"""Curated facts of the published data sets: classes, splits, missing recordings, one CSV each."""

import csv
from importlib import resources


def read_facts(name: str) -> list[dict[str, str]]:
    """Return the rows of ``{name}.csv``, all values as text; ``ValueError`` on an unknown name."""
    folder = resources.files(__name__)
    known = sorted(f.name[:-4] for f in folder.iterdir() if f.name.endswith(".csv"))
    if name not in known:
        raise ValueError(f"there are no facts called {name!r}, only {', '.join(known)}")
    text = folder.joinpath(f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
