"""What is to be trained on what: all that was asked for, settled before torch is loaded."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from toolkit.shards import read_dataset_info
from train.config import TrainConfig, choose_recipe, read_recipe
from train.dataset_folder import find_dataset, find_given_dataset, find_run_dataset
from train.errors import TrainError
from train.files import RunFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    shards: Path | None
    recipe: str | None
    changes: dict[str, Any]
    out: Path | None
    resume: bool


@dataclass(frozen=True)
class Job:
    """What to train on what, and where the results go.

    ``resume`` goes on where an earlier start of the same run stopped, or begins if there was none.
    """

    config: TrainConfig
    dataset: Path
    out: Path
    resume: bool = False


def make_job(request: Request) -> Job:
    """Settle recipe, data set and folder; says the chosen recipe aloud when it was not named.

    Raises ``click.UsageError`` for settings that do not exist or do not fit each other.
    """
    saved = RunFolder(request.out) if request.resume and request.out else None
    if saved is not None and request.recipe is None and saved.config.exists():
        dataset = find_dataset(request.shards or find_run_dataset(saved))
        return Job(_change(_read_config(saved), request.changes), dataset, saved.path, resume=True)
    dataset = find_given_dataset(request.shards)
    info = read_dataset_info(dataset)
    recipe = request.recipe
    if recipe is None:
        recipe = choose_recipe(info.name, request.changes.get("data.split", info.default_split))
        log.info("recipe %s, for data set %s; another by --recipe", recipe, info.name)
    config = _change(read_recipe(recipe), request.changes)
    name = f"{info.name}-{config.model.system}-seed{config.run.seed}"
    return Job(config, dataset, request.out or Path("runs") / name, request.resume)


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
