"""The facts of a data set as lines for people to read in a terminal."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from toolkit.clips import CLIP_LENGTH

_WIDTH = 100
_N_SIZES = 3


def format_facts(facts: Mapping[str, Any]) -> str:
    """Return the plain facts of ``dataset_facts`` as text, the longest tables last."""
    sections = [
        _header(facts),
        _counts(facts["counts"], facts["notes"]),
        _splits(facts["splits"], facts["default_split"]),
        _contents(facts),
        _joints(facts["joints"]),
        _classes(facts["classes"]),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def format_sample(facts: Mapping[str, Any]) -> str:
    """Return the plain facts of ``sample_facts`` as text: a line a column, a clip and a frame."""
    row = facts["row"]
    width = max(map(len, row))
    lines = [f"{name:<{width}}  {value}" for name, value in row.items()]
    if "clips" not in facts:
        return "\n".join(lines)
    clips, frames = facts["clips"], facts["frames"]
    lines += ["", f"clips: {len(clips)} of up to {CLIP_LENGTH} frames"]
    lines += [
        f"  clip {i:>3}  frames {clip['start']} to {clip['start'] + clip['n_frames'] - 1}"
        for i, clip in enumerate(clips)
    ]
    with_video = "video_frame" in frames[0]
    lines += ["", "frame  bodies  video frame  drift ms" if with_video else "frame  bodies"]
    for t, frame in enumerate(frames):
        seen = f"  {frame['video_frame']:>11}  {frame['drift_ms']:>8.2f}" if with_video else ""
        lines.append(f"{t:>5}  {frame['bodies']:>6}{seen}")
    return "\n".join(lines)


def format_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return aligned lines: the first column to the left, all others to the right."""
    texts = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in texts
    ]


def format_bytes(n_bytes: float) -> str:
    """Return a size in the unit that leaves at most four digits before the point."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if n_bytes < 10_000:
            return f"{n_bytes:.0f} {unit}" if unit == "bytes" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} TB"


def format_counts(counts: Mapping[str, Any]) -> str:
    """Return the ledger line: planned = ok + each reason."""
    reasons = [f"{row['n']} {row['reason']}" for row in counts["reasons"]]
    return f"{counts['planned']} planned = " + " + ".join([f"{counts['ok']} ok", *reasons])


def _header(facts: Mapping[str, Any]) -> list[str]:
    layout = facts["layout"]
    told = ", ".join(
        f"{k.replace('_', ' ')} {v}" for k, v in facts["parameters"].items() if v != ""
    )
    return [
        f"{facts['name']} in {facts['folder']}",
        f"  made by ctxtool {facts['toolkit_version']}, format {facts['format_version']},"
        f" plan {facts['fingerprint'][:12]}",
        f"  skeleton {layout['name']}: {layout['joints']} joints of {' '.join(layout['channels'])}",
        *textwrap.wrap(
            f"parameters: {told}", _WIDTH, initial_indent="  ", subsequent_indent="    "
        ),
    ]


def _counts(counts: Mapping[str, Any], notes: Mapping[str, Any] | None) -> list[str]:
    lines = [format_counts(counts)]
    lines += [
        f"  {row['reason']}, for example {row['sample_id']}: {row['detail'] or 'no detail'}"
        for row in counts["reasons"]
    ]
    if notes:
        lines.append(
            f"  {notes['n']} of the ok samples carry a note, for example"
            f" {notes['sample_id']}: {notes['detail']}"
        )
    return lines


def _splits(splits: Mapping[str, Mapping[str, Mapping[str, int]]], default: str) -> list[str]:
    rows = [
        (
            f"{split} (default)" if split == default else split,
            subset,
            n["planned"],
            n["ok"],
            n["planned"] - n["ok"],
        )
        for split, subsets in splits.items()
        for subset, n in subsets.items()
    ]
    return format_table(("split", "subset", "planned", "ok", "failed"), rows) if rows else []


def _contents(facts: Mapping[str, Any]) -> list[str]:
    sizes, lengths, drift = facts["sizes"], facts["lengths"], facts["drift"]
    per_frame = sizes["bytes_per_frame"]
    told = {
        "shards": f"{sizes['shards']}, {format_bytes(sizes['bytes'])} together"
        + (f", {format_bytes(per_frame)} a frame" if per_frame else ""),
        "frames": f"{sizes['frames']} in {sizes['clips']} clips",
        "lengths": _say_lengths(lengths) if lengths else "none",
        "bodies": f"the source shows {_say_each(facts['bodies']) or 'none'}",
        "pictures": _say_pictures(facts["pictures"]),
        "drift": _say_drift(drift) if drift else "none, there is no video",
    }
    return [f"{name:<10}{text}" for name, text in told.items()]


def _say_lengths(lengths: Mapping[str, int]) -> str:
    return (
        f"{lengths['min']} to {lengths['max']} frames, median {lengths['median']};"
        f" shorter than a clip: {_say_samples(lengths['shorter_than_a_clip'])}"
    )


def _say_pictures(sizes: Mapping[str, int]) -> str:
    if not sizes:
        return "none, skeletons only"
    more = len(sizes) - _N_SIZES
    commonest = _say_each(dict(list(sizes.items())[:_N_SIZES]))
    return commonest + (f", {more} more sizes" if more > 0 else "")


def _say_each(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{value} in {_say_samples(n)}" for value, n in counts.items())


def _say_samples(n: int) -> str:
    return f"{n} sample" if n == 1 else f"{n} samples"


def _say_drift(drift: Mapping[str, Any]) -> str:
    return (
        f"worst of a sample: median {drift['median_ms']:g} ms, 95 % within {drift['p95_ms']:g} ms,"
        f" at most {drift['worst_ms']:g} ms ({drift['worst_sample']})"
    )


def _joints(joints: Mapping[str, Any]) -> list[str]:
    read, total = joints["shards_read"], joints["shards"]
    where = "every shard" if read == total else f"{read} of {total} shards, spread evenly"
    shares = " and ".join(f"{share:.1%}" for share in joints["present"])
    lines = [f"joints, from {joints['frames']} frames of {where}"]
    lines.append(f"  body slots present in {shares} of the frames")
    if joints["by_joint"]:
        lines.append(f"  {joints['quantity']} of each joint where its body is present:")
        width = max(map(len, joints["by_joint"]))
        cells = [f"{name:<{width}} {mean:.2f}" for name, mean in joints["by_joint"].items()]
        lines += _in_columns(cells)
    return lines if total else []


def _classes(classes: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [(f"{row['label']:>3} {row['name']}", row["ok"], row["failed"]) for row in classes]
    return format_table(("class", "ok", "failed"), rows) if rows else []


def _in_columns(cells: Sequence[str]) -> list[str]:
    """Lay equally wide cells out in columns, reading downwards."""
    n_columns = max(1, (_WIDTH - 4) // (len(cells[0]) + 3))
    n_lines = -(-len(cells) // n_columns)
    return ["    " + "   ".join(cells[i::n_lines]) for i in range(n_lines)]
