"""An ablation: each training of the wanted tables once per seed, each in a process of its own."""

import fcntl
import logging
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.shards import DatasetInfo, read_dataset_info
from train.config import FREE_ON_RESUME, TrainConfig, choose_recipe, list_differences, read_recipe
from train.errors import Interrupted, TrainError
from train.files import RunFolder
from train.signals import StopWish
from train.starting import loading
from train.tables import TRAININGS, Table, Training

log = logging.getLogger(__name__)

# What a run settles by itself from its data set.
_SETTLED = ("model.in_channels", "model.context_channels")
_SIGNAL = 128
_POLL_S = 0.2


@dataclass(frozen=True)
class AblationOptions:
    """How the trainings go; ``changes`` are settings that all of them share.

    ``recipe`` None takes the paper's for the data set.  ``launch`` begins every command: Python, or
    for example torchrun with its options.  Raises ``ValueError`` without seeds.
    """

    out: Path
    launch: tuple[str, ...]
    n_seeds: int = 1
    recipe: str | None = None
    changes: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.n_seeds < 1:
            raise ValueError(f"an ablation needs at least 1 seed, got {self.n_seeds}")


@dataclass(frozen=True)
class Planned:
    """One training with one seed: what it is, where it goes, and the command that does it."""

    training: Training
    seed: int
    config: TrainConfig
    folder: RunFolder
    command: tuple[str, ...]

    @property
    def name(self) -> str:
        """Id and seed."""
        return self.folder.path.name

    @property
    def state(self) -> str:
        """``finished``, ``begun`` or ``new``."""
        if self.folder.result.exists():
            return "finished"
        return "begun" if self.folder.config.exists() else "new"


def plan_ablation(
    tables: Sequence[Table], dataset: Path, options: AblationOptions
) -> list[Planned]:
    """Return each training of the tables once per seed, seed by seed: the first seed fills them.

    Raises ``TrainError`` when the data set lacks a split, or a finished or begun run in the folder
    has other settings; ``ValueError`` when a shared setting is one that tells trainings apart.
    """
    info = read_dataset_info(dataset)
    names = dict.fromkeys(name for table in tables for name in table.list_trainings())
    trainings = [TRAININGS[name] for name in names]
    _check_changes(trainings, options.changes or {})
    planned = [
        _plan_one(training, seed, (dataset, info), options)
        for seed in range(options.n_seeds)
        for training in trainings
    ]
    for item in planned:
        if item.state != "new":
            _check_found(item, info)
    _check_trainable(planned, dataset)
    return planned


def _check_trainable(planned: Sequence[Planned], dataset: Path) -> None:
    """Refuse at once what train.run would refuse in every training: classes, samples, pictures."""
    with loading():
        from train.prepare import prepare

    checked = []
    for item in planned:
        needs = item.config.data, item.config.model.has_rgb_branch
        if item.state == "finished" or needs in checked:
            continue
        checked.append(needs)
        try:
            prepare(item.config, dataset)
        except TrainError as error:
            raise TrainError(f"training {item.training.id} cannot begin: {error}") from error


def _check_changes(trainings: Sequence[Training], changes: Mapping[str, Any]) -> None:
    decided = {name for training in trainings for name in training.changes}
    decided |= {"run.seed"}
    decided |= {"data.split"} if any(training.split for training in trainings) else set()
    for name in changes:
        if name in decided:
            raise ValueError(f"{name} is what the trainings of these tables differ in; leave it")


def _plan_one(
    training: Training, seed: int, data: tuple[Path, DatasetInfo], options: AblationOptions
) -> Planned:
    dataset, info = data
    shared = dict(options.changes or {})
    split = training.split or shared.get("data.split") or info.default_split
    if split not in info.splits:
        raise TrainError(
            f"training {training.id} needs the split {split}; {dataset} offers"
            f" {', '.join(info.splits)}"
        )
    recipe = options.recipe or choose_recipe(info.name, split)
    changes = {**shared, **training.changes, "data.split": split, "run.seed": seed}
    folder = RunFolder(options.out / f"{training.id}-seed{seed}")
    settings = [f"--set={name}={format_value(value)}" for name, value in changes.items()]
    command = (
        *options.launch,
        *("-m", "train.run", "--shards", str(dataset), "--recipe", recipe, *settings),
        *("--out", str(folder.path), "--resume"),
    )
    return Planned(training, seed, read_recipe(recipe).replaced(changes), folder, command)


def format_value(value: Any) -> str:
    """Return a setting as ``--set`` reads it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(format_value(item) for item in value)
    return str(value)


def _check_found(planned: Planned, info: DatasetInfo) -> None:
    """Refuse results of other settings or other data under the name of this training."""
    folder = planned.folder
    try:
        found = TrainConfig.from_dict(folder.read_json(folder.config))
    except ValueError as error:
        raise TrainError(f"{folder.config}: {error}") from error
    free = tuple(f"{name}:" for name in (*FREE_ON_RESUME, *_SETTLED))
    changed = [d for d in list_differences(found, planned.config) if not d.startswith(free)]
    if changed:
        raise TrainError(
            f"{folder.path} holds a training with other settings (there, wanted): "
            + "; ".join(changed)
            + "; choose another --out, or delete that folder"
        )
    starts = (
        folder.read_json(folder.environment).get("starts") if folder.environment.exists() else []
    )
    if starts and starts[-1]["data"]["fingerprint"] != info.fingerprint:
        raise TrainError(
            f"{folder.path} holds a training on other shards (fingerprint"
            f" {starts[-1]['data']['fingerprint']}, not {info.fingerprint}); choose another --out"
        )


def run_ablation(planned: Sequence[Planned], stop: StopWish) -> list[Planned]:
    """Run what is not finished, one after the other; return what failed or is at work elsewhere.

    Raises ``Interrupted`` when a signal came: the training under way has saved its state.
    """
    left = []
    for number, item in enumerate(planned, 1):
        log.info("%d of %d, %s: %s", number, len(planned), item.name, item.state)
        if item.state != "finished" and not _run_one(item, stop):
            left.append(item)
    return left


def _run_one(item: Planned, stop: StopWish) -> bool:
    item.folder.path.mkdir(parents=True, exist_ok=True)
    with _lock(item.folder.path / ".lock") as lock:
        if lock is None:
            log.warning("%s is at work in another process already; going on", item.name)
            return False
        # Another ablation may have finished it while this one waited for its turn.
        status = 0 if item.state == "finished" else _launch(item.command, lock, stop)
    if stop.signal_number or status in (_SIGNAL + 2, _SIGNAL + 15):
        raise Interrupted(stop.signal_number or status - _SIGNAL)
    if status or item.state != "finished":
        log.error("%s failed (exit status %d, see above); going on", item.name, status)
        return False
    return True


@contextmanager
def _lock(path: Path) -> Iterator[int | None]:
    """Hold a lock, None if another process does; a process that inherits the number holds it too.

    So a training whose ablation was killed is not begun a second time beside itself, and several
    ablations may share the work.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield file.fileno()


def _launch(command: Sequence[str], lock: int, stop: StopWish) -> int:
    """Run a training to its end and return its exit status; a signal to us is handed on."""
    told = False
    # Its own output names the run folder; ours is for tables alone.
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, pass_fds=(lock,)) as process:
        while process.poll() is None:
            if stop.signal_number and not told:
                process.terminate()
                told = True
            time.sleep(_POLL_S)
    return process.returncode
