"""Where the data set of a command lies: named, alone in a folder, or what a run was made from."""

import os
from pathlib import Path

import click

from toolkit.shards.schema import DATASET_FILE
from train.errors import TrainError
from train.files import RunFolder

# Where the extracting commands put data sets.
_USUAL = Path("out")


def find_given_dataset(path: Path | None) -> Path:
    """Return the data set folder that ``--shards`` means.

    Raises ``click.UsageError`` offering the usual ones if the option was forgotten, and as
    :func:`find_dataset`.
    """
    if path is not None:
        return find_dataset(path)
    there = " or ".join(map(str, list_datasets(_USUAL)))
    such = f", such as {there}" if there else ""
    raise click.UsageError(f"say where the data set lies: --shards FOLDER{such}")


def find_dataset(path: str | os.PathLike[str]) -> Path:
    """Return the data set folder that ``path`` is or, if it holds exactly one, that one.

    Raises ``TrainError`` naming those it holds when there are several, or none.
    """
    folder = Path(path)
    if (folder / DATASET_FILE).is_file():
        return folder
    found = list_datasets(folder)
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(map(str, found))
        raise TrainError(f"{folder} holds several data sets, name one of them: {names}")
    what = f"no {DATASET_FILE} there or one below" if folder.is_dir() else "no such folder"
    raise TrainError(
        f"{folder}: expected a data set (a folder with {DATASET_FILE}), found {what}; build one by"
        " ctxtool (extract-ntu, ... --out), or correct --shards"
    )


def list_datasets(folder: Path) -> list[Path]:
    """Return the data set folders directly inside a folder."""
    return sorted(inner.parent for inner in folder.glob(f"*/{DATASET_FILE}"))


def find_run_dataset(folder: RunFolder) -> Path:
    """Return the data set folder that a run was last started on."""
    try:
        return Path(folder.read_json(folder.environment)["starts"][-1]["data"]["folder"])
    except (KeyError, IndexError, TypeError) as error:
        raise TrainError(f"{folder.environment} does not tell the data set: {error!r}") from error
