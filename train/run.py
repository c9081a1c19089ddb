"""``python -m train.run``: train a network from shards."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from toolkit.shards import DatasetReader
from train.command_line import is_main, run_command, set_up_logging
from train.config import CHOICES as SETTINGS
from train.config import list_recipes, parse_assignments
from train.errors import Interrupted
from train.files import RunFolder
from train.model_config import CHOICES
from train.request import Job, Request, make_job
from train.starting import loading
from train.subsets import select_subsets

log = logging.getLogger(__name__)

Command = Callable[..., Any]

_EPILOG = """
\b
Exit status: 0 done, 1 failed (one sentence says why), 2 wrong usage,
130 stopped by Ctrl-C and 143 by SIGTERM, in both cases after saving.
"""

# Named options and the settings they change.
SHORTCUTS = {
    "system": "model.system",
    "backbone": "model.backbone",
    "split": "data.split",
    "context": "data.context_file",
    "epochs": "optim.epochs",
    "lr": "optim.lr",
    "batch_size": "run.batch_size",
    "seed": "run.seed",
    "workers": "run.workers",
    "device": "run.device",
    "amp": "run.amp",
    "compiled": "run.compile",
    "skip_bad": "run.skip_bad",
    "cache": "run.cache",
}


_INTEGER = click.IntRange
_PATH = click.Path(path_type=Path)
_OPTIONS = [
    click.option("--shards", type=_PATH, help="Data set folder, or the folder that holds"
                 " exactly one.  [default with --resume: as before]"),
    click.option("--recipe", metavar="NAME|FILE", help="Settings to begin with: a TOML file or"
                 f" one of {', '.join(list_recipes())}.  [default: the paper's for the data]"),
    click.option("--system", type=click.Choice(CHOICES["system"]), help="Which network."),
    click.option("--backbone", type=click.Choice(CHOICES["backbone"]),
                 help="Which graph convolution."),
    click.option("--split", help="Benchmark split.  [default: the data set's]"),
    click.option("--context", help="HDF5 file of features in place of pictures."),
    click.option("--epochs", type=_INTEGER(1), help="Passes over the training samples."),
    click.option("--batch-size", type=_INTEGER(1), help="Clips a rank holds at a time."),
    click.option("--lr", type=float, help="Learning rate for 128 clips a step."),
    click.option("--seed", type=_INTEGER(0), help="Same seed, same training."),
    click.option("--workers", type=_INTEGER(0), help="Reading processes a rank."),
    click.option("--device", help="auto, cpu, cuda or cuda:N."),
    click.option("--amp/--no-amp", default=None, help="Compute in bfloat16 where safe."),
    click.option("--compile/--no-compile", "compiled", default=None, help="Use torch.compile."),
    click.option("--skip-bad/--no-skip-bad", default=None, help="Leave out samples that cannot be"
                 " read, told and counted, instead of stopping."),
    click.option("--cache", type=click.Choice(SETTINGS["cache"]), help="raw keeps all pictures"
                 " decoded, where they fit into memory."),
    click.option("--set", "assignments", multiple=True, metavar="SECTION.FIELD=VALUE",
                 help="Change any setting, e.g. model.attention.score=dot; may be repeated."),
    click.option("--out", type=_PATH, help="Run folder.  [default: runs/DATA-SYSTEM-seedN]"),
    click.option("--resume", is_flag=True, help="Go on with the run in --out, exactly."),
]  # fmt: skip


def _add_options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@_add_options
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Tell more.")
def train(*, dry_run: bool, verbose: bool, **options: Any) -> None:
    """Train the context-aware cross-attention network, or one it is compared with, from shards.

    \b
    Examples:
      python -m train.run --shards out/ --recipe demo
      python -m train.run --shards out/ntu60 --system skeleton --dry-run
      torchrun --nproc-per-node 8 -m train.run --shards out/ --batch-size 16
    """
    set_up_logging(verbose=verbose)
    if not is_main():
        logging.getLogger().setLevel(logging.WARNING)
    job = make_job(_make_request(options))
    # Torch, which takes seconds: what is wrong with the options was told before.
    if dry_run:
        with loading():
            from train.dry_run import describe_job
        click.echo(describe_job(job))
        return
    with loading():
        from train.job import run_job
    folder = run_job(job)
    if is_main():
        _report(job, folder)
        click.echo(folder.path)


def _report(job: Job, folder: RunFolder) -> None:
    """Draw the curves and, where there is a test subset, evaluate on it."""
    from train.report import write_report

    with DatasetReader(job.dataset) as reader:
        has_test = len(select_subsets(reader, job.config.data, job.config.run.seed).test) > 0
    evaluation = write_report(folder.path, job.dataset if has_test else None)
    if evaluation is not None:
        log.info("test: top-1 %.2f%% of %d samples", 100 * evaluation.top1, evaluation.n_samples)


def _make_request(options: dict[str, Any]) -> Request:
    modes = {"amp": {True: "bf16", False: "off"}, "compiled": {True: "default", False: "off"}}
    named = {}
    for name, setting in SHORTCUTS.items():
        value = options[name]
        if value is not None:
            named[setting] = modes[name][value] if name in modes else value
    try:
        changes = parse_assignments(options["assignments"]) | named
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    kept = {name: options[name] for name in ("shards", "recipe", "out", "resume")}
    return Request(changes=changes, **kept)


def main() -> None:
    """Run the command; a signal ends it with the status that shells expect of one."""
    try:
        run_command(train)
    except Interrupted as interrupted:
        if is_main():
            click.echo("stopped and saved; the same command with --resume goes on", err=True)
        sys.exit(128 + interrupted.signal_number)


if __name__ == "__main__":
    main()
