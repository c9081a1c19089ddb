import math
import re

import pytest
import torch
from tiny_runs import (
    StoppedTrainer,
    differing,
    make_trainer,
    records_of,
    tiny_config,
    weights_of,
    write_tiny_dataset,
)

from train.batch import Batch
from train.distributed import World
from train.errors import CheckpointError, DivergedError, Interrupted, TrainError
from train.learner import Learner
from train.prepare import prepare

# Dropout draws random numbers, the average and the momentum are state of their own, and with two
# batches of 2 a step an epoch of 8 samples has 2 steps.
ALL_STATE = {"run.accumulate": 2, "run.ema": 0.9, "optim.momentum": 0.9}


@pytest.fixture(scope="module")
def tiny_dataset(tmp_path_factory):
    return write_tiny_dataset(tmp_path_factory.mktemp("tiny") / "data")


@pytest.fixture(scope="module")
def undisturbed(tiny_dataset, tmp_path_factory):
    torch.set_num_threads(1)
    trainer = make_trainer(tiny_dataset, tmp_path_factory.mktemp("whole"), ALL_STATE)
    trainer.run()
    return trainer


@pytest.mark.parametrize("stop_at", [1, 3, 4, 5])
def test_stopped_and_resumed_is_as_undisturbed(tiny_dataset, tmp_path, undisturbed, stop_at):
    stopped = make_trainer(tiny_dataset, tmp_path, ALL_STATE, kind=StoppedTrainer)
    stopped.stop_at = stop_at
    with pytest.raises(Interrupted) as caught:
        stopped.run()
    assert (caught.value.signal_number, stopped.global_step) == (15, stop_at)
    resumed = make_trainer(tiny_dataset, tmp_path, ALL_STATE)
    assert resumed.resume()
    resumed.run()
    assert not differing(weights_of(undisturbed), weights_of(resumed))
    assert records_of(undisturbed.folder) == records_of(resumed.folder)


def test_stopped_in_validation_validates_after_resuming(tiny_dataset, tmp_path, undisturbed):
    stopped = make_trainer(tiny_dataset, tmp_path, ALL_STATE)
    validate = stopped._validate

    def validate_interrupted():
        stopped.stop.take(15, None)
        return validate()

    stopped._validate = validate_interrupted
    with pytest.raises(Interrupted):
        stopped.run()
    assert (stopped.progress.epoch, stopped.progress.step) == (0, stopped.n_steps)
    resumed = make_trainer(tiny_dataset, tmp_path, ALL_STATE)
    assert resumed.resume()
    resumed.run()
    assert not differing(weights_of(undisturbed), weights_of(resumed))
    assert records_of(undisturbed.folder) == records_of(resumed.folder)


def test_what_a_kill_undid_stands_in_the_records_once(tiny_dataset, tmp_path, undisturbed):
    killed = make_trainer(tiny_dataset, tmp_path, {**ALL_STATE, "run.checkpoint_every": 3})
    save, killed_at = killed._save, 5

    def save_until_killed(*paths):
        if killed.global_step >= killed_at:
            raise KeyboardInterrupt
        save(*paths)

    killed._save = save_until_killed
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    with killed.folder.metrics.open("a") as file:
        file.write('{"kind": "step", "ep')
    resumed = make_trainer(tiny_dataset, tmp_path, ALL_STATE)
    assert resumed.resume()
    assert resumed.global_step == 4
    resumed.run()
    assert not differing(weights_of(undisturbed), weights_of(resumed))
    assert records_of(undisturbed.folder) == records_of(resumed.folder)


def test_there_is_nothing_to_resume_in_an_empty_folder(tiny_dataset, tmp_path):
    assert not make_trainer(tiny_dataset, tmp_path).resume()


def test_a_run_is_not_resumed_with_other_settings(tiny_dataset, tmp_path, undisturbed):
    other = make_trainer(tiny_dataset, undisturbed.folder.path, {**ALL_STATE, "optim.lr": 0.2})
    with pytest.raises(CheckpointError, match=re.escape("optim.lr: 0.1, 0.2")):
        other.resume()


def test_each_epoch_trains_on_every_sample_once(undisturbed):
    history = undisturbed.progress.history
    assert [record["epoch"] for record in history] == [1, 2, 3]
    steps = [r for r in records_of(undisturbed.folder) if r["kind"] == "step"]
    # 8 samples in steps of 4: each epoch's loss is the mean over its steps.
    for epoch, record in enumerate(history, 1):
        losses = [step["loss"] for step in steps if step["epoch"] == epoch]
        assert len(losses) == 2
        assert record["loss"] == pytest.approx(sum(losses) / 2)


def test_best_is_the_epoch_with_the_highest_validation(undisturbed):
    history = undisturbed.progress.history
    best = max(history, key=lambda r: (r["val_top1"], -r["val_loss"]))
    assert undisturbed.progress.best == best
    saved = torch.load(undisturbed.folder.best, weights_only=True)
    assert saved["progress"]["history"][-1] == best


def test_the_last_checkpoints_are_kept(undisturbed):
    names = sorted(path.name for path in undisturbed.folder.checkpoints.iterdir())
    assert names == ["best.pt", "step-000000004.pt", "step-000000006.pt"]


@pytest.mark.parametrize("system", ["rgb", "skeleton", "concat", "self-attention"])
def test_every_system_trains(tiny_dataset, tmp_path, system):
    changes = {"model.system": system, "optim.epochs": 1, "run.batch_size": 8}
    trainer = make_trainer(tiny_dataset, tmp_path, changes)
    before = weights_of(trainer)
    (record,) = trainer.run().history
    assert math.isfinite(record["val_loss"])
    changed = differing(before, {n: w for n, w in weights_of(trainer).items() if n in before})
    assert set(dict(trainer.learner.model.named_parameters())) <= set(changed)


OPTIONS = {
    "bf16": {"run.amp": "bf16"},
    "onecycle with nesterov": {"optim.schedule": "onecycle", "optim.nesterov": True},
    "smoothing, clipping, warm-up": {
        "optim.label_smoothing": 0.1,
        "optim.clip": 0.1,
        "optim.warmup_epochs": 1,
    },
    "exempt, dampened": {"optim.exempt": True, "optim.dampening": 0.9},
    "two workers": {"run.workers": 2},
    "agcn": {"model.backbone": "agcn"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
def test_options_train(tiny_dataset, tmp_path, options):
    changes = {"optim.epochs": 1, "run.batch_size": 4, **options}
    trainer = make_trainer(tiny_dataset, tmp_path, changes)
    (record,) = trainer.run().history
    assert 0 < record["loss"] < 5


def test_workers_do_not_change_the_result(tiny_dataset, tmp_path):
    results = []
    for workers in (0, 1):
        changes = {"optim.epochs": 1, "run.workers": workers}
        trainer = make_trainer(tiny_dataset, tmp_path / str(workers), changes)
        trainer.run()
        results.append(weights_of(trainer))
    assert not differing(*results)


def test_clipping_bounds_the_gradient(tiny_dataset):
    learner = Learner(prepare(tiny_config({"optim.clip": 0.01}), tiny_dataset), World())
    for parameter in learner.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {name: p.detach().clone() for name, p in learner.model.named_parameters()}
    learner.optimiser.param_groups[0]["weight_decay"] = 0
    learner.update(1.0)
    moved = sum(((p - before[n]) ** 2).sum() for n, p in learner.model.named_parameters())
    assert moved.sqrt().item() == pytest.approx(0.01, rel=1e-4)


def make_batch(weights):
    generator = torch.Generator().manual_seed(1)
    n = len(weights)
    return Batch(
        joints=torch.randn(n, 3, 8, 25, 2, generator=generator),
        present=torch.ones(n, 8, 2, dtype=torch.bool),
        label=torch.arange(n) % 3,
        sample=torch.arange(n),
        clip=torch.zeros(n, dtype=torch.int64),
        weight=torch.tensor(weights),
    )


def part_of(batch, start, end):
    return batch._each(lambda tensor: tensor[start:end])


@pytest.fixture
def frozen_norms(tiny_dataset, monkeypatch):
    """A learner whose clips do not influence each other."""
    changes = {"model.system": "skeleton", "model.dropout": 0.0}
    learner = Learner(prepare(tiny_config(changes), tiny_dataset), World())
    learner.model.eval()
    monkeypatch.setattr(learner.model, "train", lambda mode=True: learner.model)
    return learner


def gradient_of(learner, *steps):
    learner.optimiser.zero_grad()
    for batch, n_clips in steps:
        learner.backward(batch, n_clips, is_last=True)
    return torch.cat([p.grad.flatten() for p in learner.model.parameters()])


def test_accumulated_batches_are_one_batch(frozen_norms):
    batch = make_batch([1.0] * 5)
    whole = gradient_of(frozen_norms, (batch, 5))
    parts = gradient_of(frozen_norms, (part_of(batch, 0, 3), 5), (part_of(batch, 3, 5), 5))
    torch.testing.assert_close(parts, whole)


def test_padding_has_no_gradient_and_no_loss(frozen_norms):
    batch = make_batch([1.0, 1.0, 0.0])
    padded = gradient_of(frozen_norms, (batch, 2))
    real = gradient_of(frozen_norms, (part_of(batch, 0, 2), 2))
    torch.testing.assert_close(padded, real)
    torch.testing.assert_close(
        frozen_norms.backward(batch, 2, is_last=True),
        frozen_norms.backward(part_of(batch, 0, 2), 2, is_last=True),
    )


def test_a_loss_that_explodes_names_step_and_rate(tiny_dataset, tmp_path):
    trainer = make_trainer(tiny_dataset, tmp_path, {"optim.lr": 1e30})
    message = r"step \d \(epoch 1\): the loss is .* at learning rate 1.56.e\+28; lower --lr"
    with pytest.raises(DivergedError, match=message):
        trainer.run()
    assert trainer.folder.latest() is None


def test_steps_between_two_log_lines_are_checked_each(tiny_dataset, tmp_path, monkeypatch):
    trainer = make_trainer(tiny_dataset, tmp_path, {"run.log_every": 100})
    backward = trainer.learner.backward

    def spoil_third(*arguments, **options):
        sums = backward(*arguments, **options)
        return sums * float("nan") if trainer.progress.step == 2 else sums

    monkeypatch.setattr(trainer.learner, "backward", spoil_third)
    with pytest.raises(DivergedError, match=r"step 3 \(epoch 1\): the loss is nan"):
        trainer.run()


def test_memory_that_runs_out_names_what_to_change(tiny_dataset, tmp_path, monkeypatch):
    trainer = make_trainer(tiny_dataset, tmp_path, {"run.batch_size": 6})

    def fail(*inputs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer.learner.model, "forward", fail)
    message = "out of memory with batches of 6 clips; use --batch-size 3 --set run.accumulate=2"
    with pytest.raises(TrainError, match=message):
        trainer.run()


def test_nothing_is_held_out_and_nothing_is_best_without_a_share(tiny_dataset, tmp_path):
    changes = {"data.validation_share": 0.0, "optim.epochs": 1}
    trainer = make_trainer(tiny_dataset, tmp_path, changes)
    progress = trainer.run()
    assert progress.best is None
    assert "val_top1" not in progress.history[0]
    assert progress.history[0]["step"] == math.ceil(11 / 2)


def test_validation_can_be_rarer_and_comes_at_the_end(tiny_dataset, tmp_path):
    changes = {"run.validate_every": 2, "run.batch_size": 8, "model.system": "skeleton"}
    history = make_trainer(tiny_dataset, tmp_path, changes).run().history
    assert ["val_top1" in record for record in history] == [False, True, True]
