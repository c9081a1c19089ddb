"""The last word of a build: what became of the recordings, what is new, if it is enough."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.build.ledger import Ledger
    from toolkit.build.plan import Plan

EXIT_NOT_ALL_OK = 3


@dataclass(frozen=True)
class Before:
    """What a run found: recordings done, those that need no work included, and default split."""

    n_done: int
    split: str | None


def report_build(
    out: Path, plan: "Plan", ledger: "Ledger", allow: tuple[str, ...], before: Before | None = None
) -> None:
    """Tell what became of a finished build; exits with 3 as ``refuse_failures`` does."""
    from toolkit.shards import read_manifest

    click.echo(f"{out}: {ledger}")
    manifest = read_manifest(out)
    _report_split(manifest, plan.header.default_split)
    if before:
        _report_news(out, plan, before)
    refuse_failures(out, ledger, allow, manifest)


def read_default_split(out: Path) -> str | None:
    """Return the default split of the data set in ``out``, None where there is none to be read."""
    from toolkit.shards import ShardError, read_dataset_info

    try:
        return read_dataset_info(out).default_split
    except ShardError:
        return None  # Written anew by every build, whatever it was.


def _report_news(out: Path, plan: "Plan", before: Before) -> None:
    """Tell what this run changed in a folder that was there before; nothing of a first run."""
    n_made, split = len(plan) - before.n_done, plan.header.default_split
    if n_made == 0:
        click.echo("nothing was left to do: every recording was done before")
    elif before.n_done > len(plan.idle):
        click.echo(f"made now: {n_made}, done before: {before.n_done}")
    if before.split not in (None, split):
        click.echo(f"the default split was {before.split} and is {split} now")
    if n_made and (out / "report.html").is_file():
        click.echo(f"{out / 'report.html'} shows earlier data; anew: ctxtool report {out}")


def refuse_failures(
    out: Path, ledger: "Ledger", allow: tuple[str, ...], manifest: "pd.DataFrame | None" = None
) -> None:
    """Exit with 3 when recordings failed for a reason that is not allowed."""
    refused = ledger.not_allowed(allow)
    if not refused:
        return
    options = " ".join(f"--allow {reason}" for reason in refused)
    click.echo(
        f"{ledger.ok} of {ledger.planned} planned recordings are stored and usable; each other one"
        f" has its reason in the manifest (ctxtool inspect {out})"
        f"{_name_first(manifest, set(refused))}. What a replaced or added file can repair is made"
        f" when the same command runs again. To accept this, add: {options}",
        err=True,
    )
    raise SystemExit(EXIT_NOT_ALL_OK)


def _name_first(manifest: "pd.DataFrame | None", refused: set[str]) -> str:
    if manifest is None:
        return ""
    first = manifest[manifest["status"].isin(refused)].iloc[0]
    return f", the first {first['sample_id']}: {first['status']}"


def _report_split(manifest: "pd.DataFrame", split: str) -> None:
    from toolkit.shards.manifest import OK, SPLIT_PREFIX, title_split

    usable = manifest[manifest["status"] == OK]
    counts = usable[SPLIT_PREFIX + split].value_counts()
    parts = ", ".join(f"{subset} {n}" for subset, n in sorted(counts.items(), reverse=True))
    click.echo(f"{title_split(split)}: {parts or 'no usable sample'}")
