"""A plan as text, for ``--dry-run``: what would be done, by reason, split and class."""

from collections import Counter
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toolkit.build.parts import Part, select_samples
from toolkit.build.plan import Plan
from toolkit.build.plan_table import SPLIT, numbers

_NO_SUBSET = "-"


def describe_plan(plan: Plan, finished: Collection[int] = (), part: Part | None = None) -> str:
    """Return the counts of a plan: samples, shards, reasons known beforehand, splits, classes.

    ``finished`` are the shards that are done and would be left as they are.  Of a ``part`` only
    the samples of its shards count.
    """
    samples = select_samples(plan, part)
    is_done = np.isin(numbers(samples, "shard"), list(finished))
    work = samples.filter(pa.array((numbers(samples, "reason") == "") & ~is_done))
    n_done = np.count_nonzero(is_done)
    reasons = Counter(filter(None, samples["reason"].to_pylist()))
    copies = plan.header.options.source == "shards"
    verb, files = ("copy", "shards") if copies else ("extract", "raw files")
    n_bytes = sum(_count_bytes(work, file) for file in ("poses", "video"))
    head = [
        f"{plan.header.name}: {len(samples)} samples planned, {len(work)} to {verb}"
        f" ({n_bytes / 1e6:,.1f} MB of {files}) into {pc.count_distinct(work['shard'])} shards",
        *([f"  {n_done} lie in finished shards and are kept"] if n_done else []),
        *(f"  {n} {reason}" for reason, n in reasons.most_common()),
    ]
    splits = [f"by split (samples to {verb})", *_describe_splits(plan, work)]
    return "\n".join([*head, *splits, *_describe_classes(plan, work)])


def _count_bytes(work: pa.Table, file: str) -> int:
    """Return the size of the files of a kind, each once: a shard holds many recordings."""
    size = f"{file}_bytes"
    sizes = work.group_by([f"{file}_folder", f"{file}_name"]).aggregate([(size, "max")])
    return int(numbers(sizes, f"{size}_max").sum())


def _list_subsets(work: pa.Table, split: str) -> list[str]:
    name = SPLIT + split
    if name not in work.column_names:
        return [_NO_SUBSET] * len(work)
    return [subset or _NO_SUBSET for subset in work[name].to_pylist()]


def _describe_splits(plan: Plan, work: pa.Table) -> list[str]:
    lines = []
    for split in plan.header.splits:
        counts = Counter(_list_subsets(work, split))
        parts = ", ".join(f"{subset} {n}" for subset, n in sorted(counts.items(), reverse=True))
        default = " (default)" if split == plan.header.default_split else ""
        lines.append(f"  {split}{default}: {parts or 'none'}")
    return lines


def _describe_classes(plan: Plan, work: pa.Table) -> list[str]:
    split = plan.header.default_split
    labels = work["label"].to_pylist()
    counts = Counter(zip(labels, _list_subsets(work, split), strict=True))
    subsets = sorted({subset for _, subset in counts}, reverse=True)
    lines = [f"by class ({split}: {' '.join(subsets)})"]
    for label in sorted({label for label, _ in counts}):
        name = plan.header.class_names[label]
        counted = " ".join(f"{counts[label, subset]:>6}" for subset in subsets)
        lines.append(f"  {label:>3} {counted}  {name}")
    return lines
