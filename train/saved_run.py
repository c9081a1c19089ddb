"""A finished or unfinished training opened again: its network, and what it was trained on."""

from dataclasses import dataclass
from pathlib import Path

from toolkit.shards import DatasetReader
from train.checkpoint import Checkpoint, DataFacts, check_same_data, read_checkpoint
from train.config import TrainConfig
from train.distributed import choose_device
from train.errors import CheckpointError
from train.files import RunFolder
from train.models import ActionNetwork, SkeletonGraph, build_model, use_channels_last
from train.scoring import Forward


@dataclass(frozen=True)
class SavedRun:
    """A trained network ready to be used: ``model`` in evaluation mode on ``forward.device``.

    ``forward(model, batch)`` normalises a batch and returns logits; ``config`` has no open choices;
    ``epoch`` epochs were finished when ``checkpoint`` was written.
    """

    folder: RunFolder
    checkpoint: Path
    epoch: int
    config: TrainConfig
    data: DataFacts
    model: ActionNetwork
    forward: Forward

    def open_dataset(self, dataset: Path) -> DatasetReader:
        """Open the shards to use the network on.

        Raises ``CheckpointError`` if their layout or classes are not those it was trained on.
        """
        reader = DatasetReader(dataset)
        found = DataFacts.of(reader.info)
        if (self.data.layout, self.data.class_names) != (found.layout, found.class_names):
            # Read once more, to tell what differs in the words used on resuming.
            check_same_data(read_checkpoint(self.checkpoint), found)
        return reader


def load_run(run: Path, checkpoint: str | Path = "last", device: str = "auto") -> SavedRun:
    """Load the network of a run folder.

    ``checkpoint`` is ``last`` (the paper's choice, docs/paper.md O30), ``best`` by validation, or
    a checkpoint file.  Raises ``CheckpointError`` naming what is missing or damaged.
    """
    folder = RunFolder(Path(run))
    path = find_checkpoint(folder, checkpoint)
    saved = _read(path, folder)
    config, data = _settings_of(path, saved)
    forward = Forward(choose_device(device), config.data, config.run.amp == "bf16")
    model = _build(path, saved, config, data)
    if config.run.channels_last and forward.device.type == "cuda":
        use_channels_last(model)
    model.to(forward.device).eval()
    return SavedRun(folder, path, int(saved.progress["epoch"]), config, data, model, forward)


def _read(path: Path, folder: RunFolder) -> Checkpoint:
    """Read a checkpoint; what to use instead is told, as it would give other figures."""
    try:
        return read_checkpoint(path)
    except CheckpointError as error:
        others = [str(p) for p in (*folder.list_checkpoints(), folder.best) if p.exists()]
        others = [other for other in others if other != str(path)]
        if not others:
            raise
        raise CheckpointError(f"{error}; others to choose are {', '.join(others)}") from error


def find_checkpoint(folder: RunFolder, checkpoint: str | Path) -> Path:
    """Return the file that ``last``, ``best`` or a path means; raises if there is none."""
    if not folder.path.is_dir():
        raise CheckpointError(f"{folder.path} is no run folder: there is no such folder")
    if str(checkpoint) == "last":
        path = folder.latest()
        if path is None:
            raise CheckpointError(
                f"{folder.path} holds no checkpoint: is it a run folder of train.run?"
            )
        return path
    if str(checkpoint) == "best":
        if not folder.best.is_file():
            raise CheckpointError(
                f"{folder.path} holds no best checkpoint: it was never validated; use last"
            )
        return folder.best
    if not Path(checkpoint).is_file():
        raise CheckpointError(f"checkpoint {checkpoint} does not exist; give last, best or a file")
    return Path(checkpoint)


def _settings_of(path: Path, saved: Checkpoint) -> tuple[TrainConfig, DataFacts]:
    try:
        return TrainConfig.from_dict(saved.config), DataFacts.from_dict(saved.data)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} holds settings that cannot be read: {error}") from error


def _build(path: Path, saved: Checkpoint, config: TrainConfig, data: DataFacts) -> ActionNetwork:
    layout = data.layout
    graph = SkeletonGraph(layout.n_joints, layout.bones, layout.centre)
    model = build_model(config.model, graph, len(data.class_names))
    try:
        model.load_state_dict(saved.weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} holds weights of another network than its settings describe:"
            f" {str(error).splitlines()[-1].strip()}"
        ) from error
    return model
