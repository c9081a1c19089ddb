"""Finished tiny trainings of any system, and the real commands run on them."""

import subprocess
import sys

from running import Ran
from tiny_runs import tiny_config

from train.job import Job, run_job


def train_run(shards, out, changes=None):
    """Train a tiny network for one epoch and return its run folder."""
    config = tiny_config({"optim.epochs": 1, "optim.milestones": []} | (changes or {}))
    return run_job(Job(config, shards, out)).path


def run_module(module, *arguments):
    """Run ``python -m module``; an unexpected traceback fails the test that asked."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)
