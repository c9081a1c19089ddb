"""A plan as text, for ``--dry-run``: what would be done, by reason, split and class."""

from collections import Counter
from collections.abc import Collection, Sequence

from toolkit.build.parts import Part, list_samples
from toolkit.build.plan import Plan, PlannedSample

_NO_SUBSET = "-"


def describe_plan(plan: Plan, finished: Collection[int] = (), part: Part | None = None) -> str:
    """Return the counts of a plan: samples, shards, reasons known beforehand, splits, classes.

    ``finished`` are the shards that are done and would be left as they are.  Of a ``part`` only
    the samples of its shards count.
    """
    samples = list_samples(plan, part)
    work = [s for s in samples if not s.reason and s.shard not in finished]
    n_done = sum(s.shard in finished for s in samples)
    reasons = Counter(sample.reason for sample in samples if sample.reason)
    n_bytes = sum(sample.poses.n_bytes + sample.video.n_bytes for sample in work)
    head = [
        f"{plan.header.name}: {len(samples)} samples planned, {len(work)} to extract"
        f" ({n_bytes / 1e6:,.1f} MB of raw files) into {len({s.shard for s in work})} shards",
        *([f"  {n_done} lie in finished shards and are kept"] if n_done else []),
        *(f"  {n} {reason}" for reason, n in reasons.most_common()),
    ]
    return "\n".join([*head, *_describe_splits(plan, work), *_describe_classes(plan, work)])


def _describe_splits(plan: Plan, work: Sequence[PlannedSample]) -> list[str]:
    lines = ["by split (samples to extract)"]
    for split in plan.header.splits:
        counts = Counter(sample.subsets.get(split, _NO_SUBSET) for sample in work)
        parts = ", ".join(f"{subset} {n}" for subset, n in sorted(counts.items(), reverse=True))
        default = " (default)" if split == plan.header.default_split else ""
        lines.append(f"  {split}{default}: {parts or 'none'}")
    return lines


def _describe_classes(plan: Plan, work: Sequence[PlannedSample]) -> list[str]:
    split = plan.header.default_split
    counts = Counter((s.label, s.subsets.get(split, _NO_SUBSET)) for s in work)
    subsets = sorted({subset for _, subset in counts}, reverse=True)
    lines = [f"by class ({split}: {' '.join(subsets)})"]
    for label in sorted({label for label, _ in counts}):
        name = plan.header.class_names[label]
        numbers = " ".join(f"{counts[label, subset]:>6}" for subset in subsets)
        lines.append(f"  {label:>3} {numbers}  {name}")
    return lines
