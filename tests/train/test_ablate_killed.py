"""An ablation that is killed in the middle of a training: the real command, then once more."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from shard_builders import Recording
from tiny_runs import write_tiny_dataset

from train.files import RunFolder

# 10 training samples in 3 steps an epoch, saved after the second of each and at its end.
RECORDINGS = [Recording(f"train{i}", i % 3, n_frames=9 + i) for i in range(10)]
RECORDINGS += [Recording(f"test{i}", i % 3, n_frames=20, subset="test") for i in range(9)]
SETTINGS = {
    "model.width": 4, "data.clip_length": 8, "data.validation_share": 0.0, "optim.epochs": 1,
    "run.batch_size": 4, "run.workers": 0, "run.checkpoint_every": 2, "run.keep_last": 9,
    "run.device": "cpu", "run.tensorboard": "false",
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


def ablate(shards, out, *arguments):
    settings = [f"--set={name}={value}" for name, value in SETTINGS.items()]
    return subprocess.run(
        [sys.executable, "-m", "train.ablate", "--shards", shards, "--table", "6",
         "--recipe", "demo", *settings, "--out", out, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
        start_new_session=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def died(tmp_path_factory):
    """A data set, and the folder of an ablation killed in its last training."""
    folder = tmp_path_factory.mktemp("killed")
    shards = write_tiny_dataset(folder / "made", recordings=RECORDINGS)
    mortal = folder / "mortal.py"
    mortal.write_text(MORTAL)
    out = folder / "died"
    done = ablate(shards, out, "--launch", f"{sys.executable} {mortal}")
    assert done.returncode == -signal.SIGKILL, done.stderr
    return shards, out


@pytest.mark.slow
def test_a_killed_ablation_goes_on_inside_the_training_and_ends_in_the_same_table(died, tmp_path):
    shards, out = died
    run, other = RunFolder(out / KILLED), RunFolder(tmp_path / KILLED)
    assert run.latest().name == "step-000000002.pt"
    finished = sorted(path.parent for path in out.glob("*/result.json"))
    assert [path.name for path in finished] == ["KM-base-seed0", "KM-concat-seed0", "KM-rgb-seed0"]
    # The trainings before are the same; only the last one is made once more, undisturbed.
    for path in finished:
        shutil.copytree(path, tmp_path / path.name)
    whole = ablate(shards, tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert "resuming" not in whole.stderr

    again = ablate(shards, out)
    assert again.returncode == 0, again.stderr
    assert f"{KILLED}: begun" in again.stderr
    assert f"resuming {run.path} at epoch 1, step 2 of 3" in again.stderr
    assert again.stderr.count(": finished") == len(finished)
    for name in ("table-6.csv", "table-6.md"):
        assert (out / name).read_text() == (tmp_path / name).read_text()
    theirs = weights_of(other)
    assert all(tensor.equal(theirs[name]) for name, tensor in weights_of(run).items())


def weights_of(run):
    return torch.load(run.latest(), weights_only=True)["model"]
