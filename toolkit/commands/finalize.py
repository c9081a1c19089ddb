"""``finalize``: the end of a build that was made in parts."""

from pathlib import Path

import click

from toolkit.commands.extraction import ALLOW, EXISTING_FOLDER
from toolkit.commands.outcome import report_build


@click.command()
@click.argument("out", type=EXISTING_FOLDER)
@ALLOW
def finalize(out: Path, allow: tuple[str, ...]) -> None:
    """Make a data set of shards that several machines made with --part.

    OUT is their output folder.  Nothing is decoded: every shard of the plan must be done, else
    the missing ones and their parts are named and nothing is written.

    \b
    Examples:
      ctxtool extract-ntu --out out/ntu60 --part 1/2    # on one machine
      ctxtool extract-ntu --out out/ntu60 --part 2/2    # on another
      ctxtool finalize out/ntu60
    """
    from toolkit.build.finish import finalize_build
    from toolkit.build.lock import locked

    with locked(out):
        plan, ledger = finalize_build(out)
    report_build(out, plan, ledger, allow)
