"""``python -m train.ablate``: the tables of the paper, our numbers beside the paper's."""

import logging
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from toolkit.shards import read_dataset_info
from train.ablation import AblationOptions, plan_ablation
from train.command_line import run_command, set_up_logging
from train.config import list_recipes, parse_assignments
from train.dataset_folder import find_given_dataset
from train.starting import loading
from train.synthetic import CEILINGS_FILE, Ceilings, find_beside_raw, read_ceilings
from train.tables import PAPER_TABLES, select_tables

log = logging.getLogger(__name__)

_EPILOG = """
\b
Exit status: 0 done; 1 a training failed or is at work elsewhere, or a score is
above its ceiling; 2 wrong usage; 130 stopped by Ctrl-C and 143 by SIGTERM, in
both cases after saving.
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.option("--shards", type=click.Path(path_type=Path),
              help="Data set folder, or the folder that holds exactly one.")  # fmt: skip
@click.option("--table", "wanted", required=True, multiple=True,
              type=click.Choice([*PAPER_TABLES, "extra", "all"]),
              help="Table of the paper; may be repeated. All takes those about the"
              " data set.")  # fmt: skip
@click.option("--extra", is_flag=True, help="Also what the paper leaves open (Tables 3 to 6).")
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True,
              help="Trainings of each kind, with seeds 0, 1, ...")  # fmt: skip
@click.option("--recipe", metavar="NAME|FILE", help="Settings all trainings share: a TOML"
              f" file or one of {', '.join(list_recipes())}.  [default: the paper's]")  # fmt: skip
@click.option("--set", "assignments", multiple=True, metavar="SECTION.FIELD=VALUE",
              help="Change a setting of all trainings; may be repeated.")  # fmt: skip
@click.option("--launch", default=shlex.quote(sys.executable), metavar="COMMAND",
              help="What begins each training's command, for example"
              " 'torchrun --nproc-per-node 8'.  [default: this Python]")  # fmt: skip
@click.option("--ceilings", "ceilings_file", type=click.Path(path_type=Path, dir_okay=False),
              help="ceilings.json of synthetic data.  [default: beside the raw data]")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Folder of all results.  [default: runs/ablation-DATA]")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print each training's command, and run none.")
def ablate(
    *,
    shards: Path | None,
    wanted: tuple[str, ...],
    extra: bool,
    ceilings_file: Path | None,
    dry_run: bool,
    **settings: Any,
) -> int:
    """Train every network of a table of the paper and print the table with our numbers.

    Each distinct training runs once per seed, whatever the number of tables it is in. The same
    command again goes on where it was: finished trainings are skipped, the one under way is
    resumed from its checkpoint. Started a second time beside itself, it shares the work.

    \b
    Examples:
      python -m train.ablate --shards out/ --table 3 --recipe demo --seeds 3
      python -m train.ablate --shards out/ntu60 --table 7 --launch 'torchrun --nproc-per-node 8'
      python -m train.ablate --shards out/kinetics-motion --table all --extra --dry-run
    """
    set_up_logging()
    dataset = find_given_dataset(shards)
    name = read_dataset_info(dataset).name
    try:
        tables = select_tables(wanted, name, extra=extra)
        options = _make_options(name, **settings)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    planned = plan_ablation(tables, dataset, options)
    if dry_run:
        click.echo("\n".join(f"{p.state:8}  {shlex.join(p.command)}" for p in planned))
        return 0
    with loading():
        from train.ablation_outcome import Outcome, run_and_tell
    outcome = Outcome(tables, dataset, options, _find_ceilings(ceilings_file, dataset))
    return run_and_tell(planned, outcome)


def _make_options(
    name: str,
    *,
    seeds: int,
    recipe: str | None,
    assignments: tuple[str, ...],
    launch: str,
    out: Path | None,
) -> AblationOptions:
    folder = out or Path("runs") / f"ablation-{name}"
    changes = parse_assignments(assignments)
    return AblationOptions(folder, tuple(shlex.split(launch)), seeds, recipe, changes)


def _find_ceilings(file: Path | None, dataset: Path) -> Ceilings | None:
    path = file or find_beside_raw(dataset, CEILINGS_FILE)
    if path is None:
        return None
    log.info("synthetic data, exact ceilings in %s", path)
    return read_ceilings(path)


if __name__ == "__main__":
    run_command(ablate)
