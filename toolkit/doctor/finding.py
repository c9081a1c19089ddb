"""One thing that was looked at, and all of them as text or plain values."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Literal

Group = Literal["packages", "codecs", "machine", "outputs", "optional"]


@dataclass(frozen=True)
class Finding:
    """What was found, and where that is trouble, one sentence with its cure.

    ``forbids`` says that work is impossible with it; a problem that does not forbid is a warning.
    """

    group: Group
    name: str
    found: str
    problem: str = ""
    forbids: bool = False


def findings_to_dict(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return plain JSON values: ``ok``, and ``findings`` in the order of the text."""
    return {
        "ok": not any(finding.forbids for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }


def format_findings(findings: Sequence[Finding]) -> str:
    """Return the findings by group, then a sentence for each problem, then the verdict."""
    width = max((len(finding.name) for finding in findings), default=0)
    lines: list[str] = []
    for group, members in groupby(findings, lambda finding: finding.group):
        lines.append(group)
        lines += [f"  {finding.name:<{width}}  {finding.found}" for finding in members]
        lines.append("")
    troubled = [finding for finding in findings if finding.problem]
    lines += [f"{_kind(finding)}: {finding.problem}" for finding in troubled]
    return "\n".join([*lines, _verdict(troubled)])


def _kind(finding: Finding) -> str:
    return "Problem" if finding.forbids else "Warning"


def _verdict(troubled: Sequence[Finding]) -> str:
    n_forbidding = sum(finding.forbids for finding in troubled)
    n_warnings = len(troubled) - n_forbidding
    warned = "1 warning" if n_warnings == 1 else f"{n_warnings or 'no'} warnings"
    if n_forbidding:
        problems = "1 problem forbids" if n_forbidding == 1 else f"{n_forbidding} problems forbid"
        return f"{problems} work, {warned}"
    return f"nothing forbids work, {warned}"
