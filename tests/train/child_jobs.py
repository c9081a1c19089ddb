"""What processes of the tests do: ranks of one training, and a training that is killed.

All are forked from one server that has imported torch once.
"""

import json
import multiprocessing
import os
import resource
import runpy
import signal
import sys
import warnings
from pathlib import Path

import click
import torch
from tiny_runs import StoppedTrainer, differing, make_trainer, weights_of
from torch.nn.functional import cross_entropy

from toolkit.shards import files as shard_files
from train import ablate, loop, report
from train import checkpoint as checkpoint_files
from train.command_line import run_command
from train.distributed import (
    explain_lost_ranks,
    gather_over_ranks,
    keep_gradients_local,
    open_world,
    spread,
    sum_over_ranks,
)
from train.errors import Interrupted, TrainError
from train.loop import Trainer
from train.run import main

# Ranks meet at each log line only, so a stop wish waits for one.
CHANGES = {"optim.epochs": 2, "run.log_every": 2, "run.accumulate": 2}
STOP_AT = 1


HERE = Path(__file__).parent
PATHS = [str(HERE), str(HERE.parent), str(HERE.parents[1])]


def run_processes(target, places):
    """Call a function of this module once for each place at once; return the exit codes."""
    before = os.environ.get("PYTHONPATH", "")
    # The server imports by this; later processes are forked from it.
    os.environ["PYTHONPATH"] = os.pathsep.join([*PATHS, before])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["child_jobs"])
    processes = [context.Process(target=target, args=place) for place in places]
    for process in processes:
        process.start()
    os.environ["PYTHONPATH"] = before
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def run_as_module(command, streams):
    """Be ``python -m module`` with its arguments, and both output streams in files."""
    _become(command, streams)
    with warnings.catch_warnings():
        # It may have been imported with what all children share.
        warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning)
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)


def run_as_script(command, streams):
    """Be ``python path``, on a machine without a GPU."""
    _become(command, streams)
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    sys.path.insert(0, str(Path(command[0]).parent))
    runpy.run_path(command[0], run_name="__main__")


def _become(command, streams):
    torch.set_num_threads(1)
    for number, path in enumerate(streams, start=1):
        with path.open("w") as file:
            os.dup2(file.fileno(), number)
    sys.argv = command


def run_deserted(rank, port, out):
    """Lose the other rank before a sum over both; write what is said about it."""
    join_ranks(rank, 2, port)
    try:
        with open_world("cpu") as world, explain_lost_ranks(world):
            sum_over_ranks(torch.ones(1), world)
            if rank == 1:
                os._exit(7)
            sum_over_ranks(torch.ones(1), world)
    except TrainError as error:
        out.write_text(str(error))


def run_killed(number, kill_at, arguments):
    """Run the command; it sends itself a signal while a step is done, as anyone might."""
    torch.set_num_threads(1)
    finish_step = Trainer._finish_step

    def finish_and_die(self, sums):
        if self.global_step + 1 == kill_at:
            os.kill(os.getpid(), number)
        finish_step(self, sums)

    Trainer._finish_step = finish_and_die
    sys.argv = ["train.run", *arguments]
    main()


def run_full(limit, arguments, said):
    """Run the command on a disk on which no file may grow beyond ``limit`` bytes."""
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.stderr = said.open("w")
    sys.argv = ["train.run", *arguments]
    main()


def run_killed_writing(number, place, arguments):
    """Run the command; SIGKILL comes at a place of writing the ``number``-th checkpoint file."""
    torch.set_num_threads(1)
    places = {
        "before": (checkpoint_files, "_save"),
        "unflushed": (shard_files, "flush_to_disk"),
        "unnamed": (shard_files, "rename_durably"),
        "named": (shard_files, "rename_durably"),
        "unpruned": (loop, "prune_checkpoints"),
        "half": (checkpoint_files, "_save"),
    }
    module, name = places[place]
    whole, calls = getattr(module, name), []

    def die(*arguments):
        path = Path(str(arguments[-1] if name == "_save" else arguments[0]))
        is_ours = name == "prune_checkpoints" or path.name.startswith((".step", ".best"))
        calls.extend([path] * is_ours)
        dies = is_ours and len(calls) == number
        if dies and place == "half":
            path.write_bytes(b"half")
        if not dies or place == "named":
            whole(*arguments)
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(module, name, die)
    sys.argv = ["train.run", *arguments]
    main()


def run_reader_killed(arguments, said):
    """Run the command; one of its reading processes is killed in the first step."""
    torch.set_num_threads(1)
    finish_step, killed = Trainer._finish_step, []

    def kill_reader(self, sums):
        finish_step(self, sums)
        if not killed:
            killed.append(self.loader._iterator._workers[0])
            os.kill(killed[0].pid, signal.SIGKILL)
            # torch tells of it by a signal, or when the next batch is asked for.
            killed[0].join()

    Trainer._finish_step = kill_reader
    sys.stderr = said.open("w")
    sys.argv = ["train.run", *arguments]
    main()


def run_ablation_apart(arguments):
    """Run the command as the head of a process group of its own."""
    os.setsid()
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.argv = ["train.ablate", *arguments]
    run_command(ablate.ablate)


def watch_samples(trainer):
    """Note the sample numbers of real clips, epoch by epoch."""
    seen = [[] for _ in range(trainer.config.optim.epochs)]
    backward = trainer.learner.backward

    def noting(batch, *arguments, **options):
        seen[trainer.progress.epoch] += batch.sample[batch.weight > 0].tolist()
        return backward(batch, *arguments, **options)

    trainer.learner.backward = noting
    return seen


def untimed(history):
    return [{k: v for k, v in r.items() if k not in ("clips_per_s", "data_wait", "eta_s")}
            for r in history]  # fmt: skip


def resume_exactly(dataset, out, world):
    """Say whether a run that one rank was asked to stop ends as an undisturbed one."""
    whole = make_trainer(dataset, out / "whole", CHANGES, world)
    whole.run()
    stopped = make_trainer(dataset, out / "stopped", CHANGES, world, StoppedTrainer)
    stopped.stop_at = STOP_AT if world.rank == world.size - 1 else 0
    try:
        stopped.run()
    except Interrupted as interrupted:
        assert interrupted.signal_number == 15
        assert stopped.progress.epoch == 0
    resumed = make_trainer(dataset, out / "stopped", CHANGES, world)
    assert resumed.resume()
    resumed.run()
    one, other = weights_of(whole), weights_of(resumed)
    # Each rank has its own running statistics; a checkpoint holds those of rank 0.
    own = [name for name in one if "running" in name and world.rank > 0]
    same_numbers = untimed(whole.progress.history) == untimed(resumed.progress.history)
    return set(differing(one, other)) <= set(own) and same_numbers


def mean_gradient(world):
    """Return the gradient of 7 clips in two parts shared out over ranks."""
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    inputs, labels = torch.randn(7, 3), torch.arange(7) % 2
    shared = spread(model, world)
    mine = torch.arange(7)[world.rank :: world.size]
    parts = mine.tensor_split(2)
    for number, part in enumerate(parts):
        with keep_gradients_local(shared, local=number == 0):
            losses = cross_entropy(shared(inputs[part]), labels[part], reduction="none")
            (losses.sum() * world.size / 7).backward()
    return model.weight.grad.flatten().tolist()


def join_ranks(rank, size, port):
    """Be a process that torchrun started."""
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    os.environ.update({name: str(value) for name, value in places.items()})
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
    torch.set_num_threads(1)


def run_as_rank(rank, size, port, arguments, streams):
    """Run the command as one of several ranks, and tell when it draws and evaluates."""
    join_ranks(rank, size, port)
    _become(["train.run", *arguments], streams)
    write_report = report.write_report

    def tell_report(*places):
        click.echo("reports", err=True)
        return write_report(*places)

    report.write_report = tell_report
    main()


def run_mortal_rank(arguments):
    """Run the command as a rank of torchrun; rank 1 of the first start is killed in epoch 2."""
    torch.set_num_threads(1)
    finish_step = Trainer._finish_step

    def finish_and_die(self, sums):
        finish_step(self, sums)
        is_first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
        if is_first and self.world.rank == 1 and self.global_step == 4:
            os.kill(os.getpid(), signal.SIGKILL)

    Trainer._finish_step = finish_and_die
    sys.argv = ["train.run", *arguments]
    try:
        main()
    except SystemExit as ended:  # Of functions, torchrun takes returning for success.
        if ended.code:
            raise


def run_rank(rank, size, port, dataset, out):
    """Train and check as one rank; write what it saw to rank<r>.json."""
    join_ranks(rank, size, port)
    with open_world("cpu") as world:
        trainer = make_trainer(dataset, out / "run", CHANGES, world)
        seen = watch_samples(trainer)
        before = trainer._validate()
        trainer.run()
        parameters = torch.cat([p.detach().flatten() for p in trainer.learner.model.parameters()])
        facts = {
            "seen": seen,
            "before": before,
            "history": untimed(trainer.progress.history),
            "clips": trainer.progress.history[-1]["step"],
            "equal": bool((gather_over_ranks(parameters, world) == parameters).all()),
            "gradient": mean_gradient(world),
            "sum": sum_over_ranks(torch.tensor([world.rank + 1]), world).item(),
            "exact": resume_exactly(dataset, out, world),
        }
        (out / f"rank{world.rank}.json").write_text(json.dumps(facts))
