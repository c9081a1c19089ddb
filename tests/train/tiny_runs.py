"""The smallest data set and network that a training can be shown with."""

import json

from shard_builders import MadeDataset, Recording, write_dataset

from train.config import TrainConfig
from train.distributed import World
from train.files import RunFolder
from train.loop import Trainer
from train.prepare import prepare
from train.signals import StopWish

# 11 training samples in 3 classes: no number of ranks or batch size used here divides them.
RECORDINGS = tuple(
    Recording(f"train{i}", label=i % 3, n_frames=8 + i, n_bodies=1 + i % 2) for i in range(11)
) + tuple(Recording(f"test{i}", label=i, n_frames=20, subset="test") for i in range(3))

SETTINGS = {
    "data.clip_length": 8,
    "data.frame_size": 16,
    "data.validation_share": 0.3,
    "model.stages": [1, 1],
    "model.width": 4,
    "model.attach": ["gcn1"],
    "model.context_width": 2,
    "model.context_blocks": [1, 1],
    "model.dropout": 0.5,
    "optim.epochs": 3,
    "optim.milestones": [1, 2],
    "run.batch_size": 2,
    "run.workers": 0,
    "run.device": "cpu",
    "run.log_every": 1,
    "run.tensorboard": False,
}


def write_tiny_dataset(folder, *, pictures=True, recordings=RECORDINGS):
    """Write a data set whose split xsub has 3 test samples and the rest for training."""
    return write_dataset(folder, recordings, MadeDataset(pictures=pictures, samples_per_shard=5))


def tiny_config(changes=None):
    """Return settings of a network with a few thousand weights."""
    return TrainConfig().replaced(SETTINGS | (changes or {}))


def tiny_arguments(changes=None):
    """Return the same settings as command line arguments."""
    arguments = []
    for name, value in (SETTINGS | (changes or {})).items():
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        arguments += ["--set", f"{name}={text}"]
    return arguments


def make_trainer(dataset, out, changes=None, world=None, kind=Trainer):
    """Return a trainer that writes to ``out``."""
    prepared = prepare(tiny_config(changes), dataset)
    folder = RunFolder(out)
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    return kind(prepared, world or World(), folder, StopWish())


class StoppedTrainer(Trainer):
    """Gets a SIGTERM while step ``stop_at`` (from 1 on) is done."""

    stop_at = 0

    def _finish_step(self, sums):
        if self.global_step + 1 == self.stop_at:
            self.stop.take(15, None)
        super()._finish_step(sums)


def weights_of(trainer):
    """Return a copy of everything that training changes."""
    state = dict(trainer.learner.model.state_dict())
    momenta = trainer.learner.optimiser.state_dict()["state"].items()
    state |= {f"momentum {i}": values["momentum_buffer"] for i, values in momenta}
    if trainer.learner.average is not None:
        averages = trainer.learner.average.state_dict().items()
        state |= {f"average {name}": value for name, value in averages}
    return {name: value.clone() for name, value in state.items()}


def differing(one, other):
    """Name the tensors that are not equal to the last bit."""
    assert one.keys() == other.keys()
    return [name for name in one if not one[name].equal(other[name])]


def records_of(folder):
    """Return the records of a run without what depends on the clock."""
    timed = ("clips_per_s", "data_wait", "eta_s")
    records = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    return [{k: v for k, v in record.items() if k not in timed} for record in records]
