"""An ablation that is killed in the middle of a training: the real command, then once more."""

import shlex
import shutil
import signal
import sys

import pytest
import torch
from child_jobs import run_ablation_apart, run_processes
from click.testing import CliRunner
from made_evaluations import write_finished
from shard_builders import Recording
from tiny_runs import write_tiny_dataset

from toolkit.shards import read_dataset_info
from train.ablate import ablate
from train.ablation import AblationOptions, format_value, plan_ablation
from train.files import RunFolder
from train.run import train
from train.tables import TABLES

# 10 training samples in 3 steps an epoch, saved after the second of each and at its end.
RECORDINGS = [Recording(f"train{i}", i % 3, n_frames=9 + i) for i in range(10)]
RECORDINGS += [Recording(f"test{i}", i % 3, n_frames=20, subset="test") for i in range(3)]
SETTINGS = {
    "data.clip_length": 8, "data.frame_size": 16, "data.validation_share": 0.0, "model.width": 4,
    "model.context_width": 2, "model.context_blocks": (1, 1), "optim.epochs": 1,
    "optim.milestones": (), "run.batch_size": 4, "run.workers": 0, "run.checkpoint_every": 2,
    "run.keep_last": 9, "run.device": "cpu", "run.tensorboard": False,
}  # fmt: skip
KILLED = "KM-mlp2-seed0"

# Stands in for "python": kills its whole process group, the ablation too, after the third step.
MORTAL = f"""
import os, signal, sys
from train.loop import Trainer
from train.run import main

finish_step = Trainer._finish_step

def finish_and_die(self, sums):
    finish_step(self, sums)
    if self.folder.path.name == {KILLED!r} and self.global_step == 3:
        os.killpg(os.getpgrp(), signal.SIGKILL)

Trainer._finish_step = finish_and_die
assert sys.argv[1:3] == ["-m", "train.run"]
del sys.argv[1:3]
main()
"""


def arguments_of(shards, out, *more):
    settings = [f"--set={name}={format_value(value)}" for name, value in SETTINGS.items()]
    table = ["--shards", str(shards), "--table", "6", "--recipe", "demo"]
    return [*table, *settings, "--out", str(out), *more]


def call(command, arguments):
    return CliRunner().invoke(command, arguments, catch_exceptions=False, standalone_mode=False)


def plan(shards, out):
    options = AblationOptions(out, (sys.executable,), recipe="demo", changes=SETTINGS)
    return plan_ablation([TABLES["6"]], shards, options)


@pytest.fixture(scope="module")
def died(tmp_path_factory):
    """A data set, and the folder of an ablation killed in its last training."""
    folder = tmp_path_factory.mktemp("killed")
    shards = write_tiny_dataset(folder / "made", recordings=RECORDINGS)
    mortal = folder / "mortal.py"
    mortal.write_text(MORTAL)
    out = folder / "died"
    *before, last = plan(shards, out)
    assert last.name == KILLED
    for item in before:
        write_finished(item.folder.path, item.config, 0.5, read_dataset_info(shards).fingerprint)
    launch = shlex.join([sys.executable, str(mortal)])
    arguments = arguments_of(shards, out, "--launch", launch)
    assert run_processes(run_ablation_apart, [(arguments,)]) == [-signal.SIGKILL]
    return shards, out


@pytest.mark.slow
def test_a_killed_ablation_goes_on_inside_the_training_and_ends_in_the_same_table(
    died, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shards, out = died
    run, other = RunFolder(out / KILLED), RunFolder(tmp_path / KILLED)
    assert run.latest().name == "step-000000002.pt"
    # The trainings before are the same; only the last one is made once more, undisturbed.
    for path in sorted(out.glob("*/result.json")):
        shutil.copytree(path.parent, tmp_path / path.parent.name)
    assert len(list(tmp_path.iterdir())) == 3
    torch.set_num_threads(1)
    call(train, list(plan(shards, tmp_path)[-1].command[3:]))
    assert call(ablate, arguments_of(shards, tmp_path)).return_value == 0
    assert "resuming" not in capfd.readouterr().err

    assert call(ablate, arguments_of(shards, out)).return_value == 0
    assert f"resuming {run.path} at epoch 1, step 2 of 3" in capfd.readouterr().err
    assert "–" not in (out / "table-6.md").read_text()
    for name in ("table-6.csv", "table-6.md"):
        assert (out / name).read_text() == (tmp_path / name).read_text()
    theirs = weights_of(other)
    assert all(tensor.equal(theirs[name]) for name, tensor in weights_of(run).items())


def weights_of(run):
    return torch.load(run.latest(), weights_only=True)["model"]
