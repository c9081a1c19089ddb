"""``python -m train.run``: train a network from shards."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from toolkit.shards import DatasetReader, read_dataset_info
from train.command_line import run_command, set_up_logging
from train.config import CHOICES as SETTINGS
from train.config import TrainConfig, choose_recipe, list_recipes, parse_assignments, read_recipe
from train.data import find_dataset, list_datasets
from train.distributed import is_main
from train.dry_run import describe_job
from train.errors import Interrupted, TrainError
from train.files import RunFolder
from train.job import Job, run_job
from train.models.config import CHOICES
from train.saved_run import find_run_dataset
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
    if dry_run:
        click.echo(describe_job(job))
        return
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


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    shards: Path | None
    recipe: str | None
    changes: dict[str, Any]
    out: Path | None
    resume: bool


def make_job(request: Request) -> Job:
    """Settle recipe, data set and folder; says the chosen recipe aloud when it was not named.

    Raises ``click.UsageError`` for settings that do not exist or do not fit each other.
    """
    saved = RunFolder(request.out) if request.resume and request.out else None
    if saved is not None and request.recipe is None and saved.config.exists():
        dataset = find_dataset(request.shards or find_run_dataset(saved))
        return Job(_change(_read_config(saved), request.changes), dataset, saved.path, resume=True)
    if request.shards is None:
        # Where the extracting commands put them.
        there = " or ".join(str(folder) for folder in list_datasets(Path("out")))
        such = f", such as {there}" if there else ""
        raise click.UsageError(f"say where the data set lies: --shards FOLDER{such}")
    dataset = find_dataset(request.shards)
    info = read_dataset_info(dataset)
    recipe = request.recipe
    if recipe is None:
        recipe = choose_recipe(info.name, request.changes.get("data.split", info.default_split))
        log.info("recipe %s, for data set %s; another by --recipe", recipe, info.name)
    config = _change(read_recipe(recipe), request.changes)
    name = f"{info.name}-{config.model.system}-seed{config.run.seed}"
    return Job(config, dataset, request.out or Path("runs") / name, request.resume)


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


def _change(config: TrainConfig, changes: dict[str, Any]) -> TrainConfig:
    try:
        return config.replaced(changes)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _read_config(folder: RunFolder) -> TrainConfig:
    try:
        return TrainConfig.from_dict(folder.read_json(folder.config))
    except ValueError as error:
        raise TrainError(f"{folder.config}: {error}") from error


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
