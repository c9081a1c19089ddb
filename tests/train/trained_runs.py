"""Finished tiny trainings of any system, and the real commands run on them."""

from child_jobs import run_as_module, run_as_script, run_processes
from running import Ran
from tiny_runs import tiny_config

from train.job import Job, run_job


def train_run(shards, out, changes=None):
    """Train a tiny network for one epoch and return its run folder."""
    config = tiny_config({"optim.epochs": 1, "optim.milestones": []} | (changes or {}))
    return run_job(Job(config, shards, out)).path


def run_module(module, *arguments, folder):
    """Run ``python -m module``; an unexpected traceback fails the test that asked.

    The process is forked from one that has imported torch; its streams lie in ``folder``.
    """
    return _run_forked(run_as_module, module, arguments, folder)


def run_script(path, *arguments, folder):
    """Run ``python path`` likewise, where there is no GPU."""
    return _run_forked(run_as_script, str(path), arguments, folder)


def _run_forked(function, program, arguments, folder):
    streams = [folder / f"streams.{name}" for name in ("out", "err")]
    [status] = run_processes(function, [([program, *map(str, arguments)], streams)])
    out, err = (path.read_text() for path in streams)
    assert "Traceback" not in err, err
    return Ran(status, out, err)
