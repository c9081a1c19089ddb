"""What a training does when files, disks and processes fail it."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
import torch
from child_jobs import (
    run_as_rank,
    run_full,
    run_killed_writing,
    run_mortal_rank,
    run_processes,
    run_reader_killed,
)
from click.testing import CliRunner
from test_distributed import free_port
from tiny_runs import tiny_arguments, write_tiny_dataset
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from toolkit.shards import ShardError, read_manifest
from train import evaluate as evaluation
from train import run as training
from train.checkpoint import read_checkpoint
from train.errors import CheckpointError, TrainError
from train.files import RunFolder
from train.lock import hold_folder

ROOT = Path(__file__).resolve().parents[2]
# 8 training samples in 2 steps an epoch, without pictures.
FAST = {"optim.epochs": 2, "run.batch_size": 4, "model.system": "skeleton"}
LATEST = "step-000000004.pt"


@pytest.fixture(scope="module")
def tiny_dataset(tmp_path_factory):
    return write_tiny_dataset(tmp_path_factory.mktemp("faults") / "made")


def call(command, *arguments):
    """Call a command in this process; errors come as they were raised."""
    texts = [str(argument) for argument in arguments]
    return CliRunner().invoke(command, texts, catch_exceptions=False, standalone_mode=False)


def train(*arguments):
    return call(training.train, *arguments)


def arguments_of(dataset, out, changes=None):
    settings = tiny_arguments(FAST | (changes or {}))
    return ["--shards", str(dataset), *settings, "--out", str(out)]


def weights_of(folder):
    return torch.load(folder.latest(), weights_only=True)["model"]


def assert_equal_runs(one, other):
    theirs = weights_of(other)
    assert one.latest().name == other.latest().name
    assert all(tensor.equal(theirs[name]) for name, tensor in weights_of(one).items())


@pytest.fixture(scope="module")
def undisturbed(tiny_dataset, tmp_path_factory):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    train(*arguments_of(tiny_dataset, out))
    return RunFolder(out)


@pytest.fixture
def copied(undisturbed, tmp_path):
    """A finished run that a test may spoil."""
    out = tmp_path / "run"
    subprocess.run(["cp", "-r", undisturbed.path, out], check=True)
    (out / "result.json").unlink()
    return RunFolder(out)


def flip_bit(path, share):
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 16
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [lambda p: flip_bit(p, 0.5), lambda p: os.truncate(p, 4000)])
def test_the_checkpoint_before_stands_in_for_a_damaged_one(copied, undisturbed, caplog, damage):
    damage(copied.latest())
    train("--resume", "--out", copied.path)
    (warning,) = [r.getMessage() for r in caplog.records if "going on from" in r.getMessage()]
    assert f"{copied.checkpoints / LATEST} is not a readable checkpoint" in warning
    assert f"the one before, {copied.checkpoints / 'step-000000002.pt'}" in warning
    assert_equal_runs(copied, undisturbed)
    assert (copied.checkpoints / f"{LATEST}.damaged").exists()


def test_a_flipped_bit_is_refused_or_lies_between_the_tensors(copied):
    whole, weights = copied.latest().read_bytes(), weights_of(copied)
    n_refused = 0
    for place in range(0, len(whole), 997):
        copied.latest().write_bytes(whole)
        flip_bit(copied.latest(), place / len(whole))
        try:
            found = read_checkpoint(copied.latest()).model
        except CheckpointError:
            n_refused += 1
        else:
            assert all(found[name].equal(tensor) for name, tensor in weights.items())
    assert n_refused > 10


def test_the_best_is_the_last_resort(copied, undisturbed, caplog):
    for path in copied.list_checkpoints():
        path.write_bytes(b"")
    train("--resume", "--out", copied.path)
    assert f"the one before, {copied.best}" in caplog.text
    assert_equal_runs(copied, undisturbed)


def test_nothing_but_damaged_checkpoints_is_one_sentence(copied):
    for path in (*copied.list_checkpoints(), copied.best):
        path.write_bytes(b"PK")
    with pytest.raises(CheckpointError, match=r"none of the 3 checkpoints .* can be read, the new"):
        train("--resume", "--out", copied.path)


def test_evaluation_names_a_damaged_best_and_the_others(copied):
    copied.best.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"best\.pt is not .*others to choose are .*step-"):
        call(evaluation.evaluate, copied.path, "--checkpoint", "best")


def test_a_folder_is_one_training_s(copied):
    code = (
        "import sys; from pathlib import Path; from train.files import RunFolder\n"
        "from train.lock import hold_folder\n"
        "with hold_folder(RunFolder(Path(sys.argv[1]))): print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, copied.path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        other.stdout.readline()
        with pytest.raises(TrainError, match="another process is training in"):
            train("--resume", "--out", copied.path)
        other.kill()
    with hold_folder(copied):
        assert copied.lock.exists()


def test_a_full_disk_keeps_the_checkpoint_before(tiny_dataset, tmp_path, undisturbed):
    run = RunFolder(tmp_path / "run")
    # The second checkpoint is larger than the first: it holds one epoch's record more.
    first, second = (path.stat().st_size for path in undisturbed.list_checkpoints())
    arguments = arguments_of(tiny_dataset, run.path, {"data.validation_share": 0.3})
    said = tmp_path / "said"
    assert run_processes(run_full, [((first + second) // 2, arguments, said)]) == [1]
    (line,) = [line for line in said.read_text().splitlines() if line.startswith("Error")]
    # Whether the second epoch is the best, and so that file the first, is the data's business.
    assert re.search(r"checkpoint \S+/(best|step-000000004)\.pt cannot be written: File too", line)
    assert [path.name for path in run.list_checkpoints()] == ["step-000000002.pt"]
    assert not list(run.checkpoints.glob(".*"))
    train("--resume", "--out", run.path)
    assert_equal_runs(run, undisturbed)


PLACES = ["before", "half", "unflushed", "unnamed", "named", "unpruned"]


def test_a_kill_at_any_place_of_a_checkpoint_s_writing(tiny_dataset, tmp_path, undisturbed):
    runs = {place: RunFolder(tmp_path / place) for place in PLACES}
    jobs = [
        # The third file is the second epoch's first one: there is a state to keep by then.
        (2 if place == "unpruned" else 3, place, arguments_of(tiny_dataset, run.path))
        for place, run in runs.items()
    ]
    assert run_processes(run_killed_writing, jobs) == [-signal.SIGKILL] * len(jobs)
    for run in runs.values():
        assert not run.result.exists()
        train("--resume", "--out", run.path)
        assert_equal_runs(run, undisturbed)
        names = {path.name for path in run.checkpoints.iterdir()}
        assert names == {path.name for path in undisturbed.checkpoints.iterdir()}


def test_a_reading_process_that_is_killed_is_told(tiny_dataset, tmp_path, undisturbed):
    run, said = RunFolder(tmp_path / "run"), tmp_path / "said"
    arguments = arguments_of(tiny_dataset, run.path, {"run.workers": 1})
    assert run_processes(run_reader_killed, [(arguments, said)]) == [1]
    (line,) = [line for line in said.read_text().splitlines() if line.startswith("Error")]
    assert "a process that reads clips (pid " in line
    assert "--set run.workers=1, or none by 0" in line
    train("--resume", "--out", run.path, "--workers", 0)
    assert_equal_runs(run, undisturbed)


@pytest.fixture
def damaged(tmp_path):
    """A data set, and the name of one of its training samples, of which the joints are spoilt."""
    folder = write_tiny_dataset(tmp_path / "damaged")
    path = folder / "shards" / "00001.h5"
    with h5py.File(path, "r") as shard:
        names = [name.decode() for name in shard["sample/id"]]
        # Samples whose names are test... test, and train6 validates.
        row = next(i for i, name in enumerate(names) if name in ("train2", "train3", "train5"))
        joints = shard["skeleton/joints"]
        place = joints.id.get_offset() + int(shard["sample/row"][row]) * joints[0].nbytes
    spoil_joints(path, place)
    return folder, names[row]


def spoil_joints(path, offset):
    """Put numbers that are none where a sample begins."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 400)


def test_a_damaged_sample_is_named_with_its_shard(damaged, tmp_path):
    folder, name = damaged
    with pytest.raises(ShardError, match=rf"00001\.h5: sample {name}: .*no finite numbers"):
        train(*arguments_of(folder, tmp_path / "run"))


def skip_bad(folder, out, changes=None):
    train(*arguments_of(folder, out, changes), "--skip-bad")
    return RunFolder(out)


def test_skipped_samples_are_told_and_counted(damaged, tmp_path, caplog):
    folder, name = damaged
    run = skip_bad(folder, tmp_path / "run")
    told = [r.getMessage() for r in caplog.records if "the sample is left out" in r.getMessage()]
    assert len(told) == 1
    assert f"00001.h5: sample {name}" in told[0]
    records = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    epochs = [record for record in records if record["kind"] == "epoch"]
    assert [(r["skipped"], r["val_skipped"]) for r in epochs] == [(1, 0), (1, 0)]
    assert "| left out in the last epoch, unreadable | 1 of 8 train, 0 of 3 vali" in (
        run.summary.read_text()
    )


def test_workers_skip_alike(damaged, tmp_path):
    folder, _ = damaged
    runs = [skip_bad(folder, tmp_path / str(n), {"run.workers": n}) for n in (0, 2)]
    assert_equal_runs(*runs)


def test_a_run_that_met_a_damaged_sample_goes_on_without_it(damaged, tmp_path):
    folder, _ = damaged
    arguments = arguments_of(folder, tmp_path / "run")
    with pytest.raises(ShardError):
        train(*arguments)
    train("--resume", "--skip-bad", "--out", tmp_path / "run")
    assert RunFolder(tmp_path / "run").result.exists()


def test_a_shard_that_is_gone_is_named(damaged, tmp_path):
    folder, _ = damaged
    (folder / "shards" / "00001.h5").unlink()
    with pytest.raises(ShardError, match=r"00001\.h5: sample train\d+, file: .*found none"):
        train(*arguments_of(folder, tmp_path / "run"))
    skip_bad(folder, tmp_path / "other")


def test_unreadable_test_samples_count_as_dropped(undisturbed, tmp_path):
    folder = write_tiny_dataset(tmp_path / "damaged")
    rows = read_manifest(folder).query("split_xsub == 'test'")
    path = folder / "shards" / f"{rows['shard'].iloc[0]:05}.h5"
    n_lost = int((rows["shard"] == rows["shard"].iloc[0]).sum())
    path.unlink()
    arguments = [undisturbed.path, "--shards", folder, "--out", tmp_path / "found"]
    with pytest.raises(ShardError, match=rf"{path.name}: sample test"):
        call(evaluation.evaluate, *arguments)
    if n_lost < len(rows):
        call(evaluation.evaluate, *arguments, "--skip-bad")
        found = json.loads((tmp_path / "found" / "evaluation.json").read_text())
        assert (found["n_samples"], found["n_dropped"]) == (len(rows) - n_lost, n_lost)


@pytest.fixture
def own_signals():
    """Give the handlers of signals back that torchrun replaces."""
    handlers = {number: signal.getsignal(number) for number in TORCHRUN_STOPS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


TORCHRUN_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def torchrun(folder, function, *arguments):
    """Do what the command torchrun does, with ranks that need not import torch."""
    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=2, run_id="faults", max_restarts=1,
        rdzv_backend="c10d", rdzv_endpoint="localhost:0", local_addr="127.0.0.1",
        start_method="forkserver", logs_specs=DefaultLogsSpecs(log_dir=str(folder)),
    )  # fmt: skip
    elastic_launch(config, function)(*arguments)


# Three steps an epoch on two ranks; saved at the end of the first.
TWO_RANKS = {"run.batch_size": 2, "data.validation_share": 0.0}


@pytest.fixture(scope="module")
def shared_out(tiny_dataset, tmp_path_factory):
    """A training on two ranks, and what each said: both streams of each."""
    folder = tmp_path_factory.mktemp("ranks")
    run = RunFolder(folder / "run")
    arguments = arguments_of(tiny_dataset, run.path, TWO_RANKS)
    streams = [[folder / f"rank{rank}.{name}" for name in ("out", "err")] for rank in range(2)]
    port = free_port()
    places = [(rank, 2, port, arguments, streams[rank]) for rank in range(2)]
    assert run_processes(run_as_rank, places) == [0, 0]
    return run, [[path.read_text() for path in paths] for paths in streams]


def test_of_several_ranks_the_first_alone_reports_and_names_the_folder(shared_out):
    run, [(out, err), (other_out, other_err)] = shared_out
    assert (out, other_out) == (f"{run.path}\n", "")
    assert [err.splitlines().count("reports"), other_err.splitlines().count("reports")] == [1, 0]
    assert "INFO: test: top-1" in err


def test_torchrun_starts_a_killed_rank_again_and_the_run_goes_on(
    tiny_dataset, tmp_path, shared_out, own_signals
):
    whole, killed = shared_out[0], RunFolder(tmp_path / "killed")
    arguments = arguments_of(tiny_dataset, killed.path, TWO_RANKS)
    torchrun(tmp_path / "logs", run_mortal_rank, [*arguments, "--resume"])
    assert len(killed.read_json(killed.environment)["starts"]) == 2
    assert_equal_runs(killed, whole)
