"""``doctor``: can this machine do the work, and if not, why."""

from pathlib import Path

import click

from toolkit.commands.extraction import FOLDER
from toolkit.commands.look import json_option, to_json

EXIT_FORBIDDEN = 1


@click.command()
@click.option(
    "--out", type=FOLDER, default=Path("out"), help="Where outputs shall go; it is not made."
)
@json_option
def doctor(out: Path, *, as_json: bool) -> None:
    """Tell versions, codecs, cores, memory, disk and GPU; a sentence for each problem.

    Exits with 1 if something forbids work; warnings forbid nothing.  Changes nothing.

    \b
    Examples:
      ctxtool doctor
      ctxtool doctor --out /data/out --json
    """
    from toolkit.doctor import examine, findings_to_dict, format_findings

    findings = examine(out)
    told = to_json(findings_to_dict(findings)) if as_json else format_findings(findings)
    click.echo(told)
    if any(finding.forbids for finding in findings):
        raise SystemExit(EXIT_FORBIDDEN)
