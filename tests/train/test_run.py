import json
import signal
import sys

import pandas
import pytest
import torch
from child_jobs import run_killed, run_processes
from click.testing import CliRunner
from shard_builders import Recording
from tiny_runs import RECORDINGS, tiny_arguments, write_tiny_dataset
from trained_runs import run_module

from train.config import TrainConfig
from train.errors import TrainError
from train.files import RunFolder
from train.run import main, train

FAST = {"optim.epochs": 2, "run.batch_size": 4, "model.system": "skeleton"}


@pytest.fixture(scope="module")
def tiny_dataset(tmp_path_factory):
    return write_tiny_dataset(tmp_path_factory.mktemp("run") / "out" / "made")


def run(*arguments):
    """Call the command in this process; errors come as they were raised."""
    result = CliRunner().invoke(train, [str(a) for a in arguments], catch_exceptions=False,
                                standalone_mode=False)  # fmt: skip
    if result.exception is not None:
        raise result.exception
    return result


@pytest.fixture(scope="module")
def finished(tiny_dataset, tmp_path_factory):
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("finished") / "run"
    settings = tiny_arguments({**FAST, "run.tensorboard": True})
    run("--shards", tiny_dataset.parent, "--recipe", "demo", "--out", out, *settings)
    return RunFolder(out)


def test_a_run_leaves_everything_that_tells_of_it(finished):
    names = {path.name for path in finished.path.iterdir()}
    assert names == {
        ".training.lock",
        "checkpoints",
        "config.json",
        "confusion.png",
        "curves.png",
        "environment.json",
        "evaluation.json",
        "metrics.jsonl",
        "per_class.csv",
        "report.html",
        "result.json",
        "scores.parquet",
        "summary.md",
        "tensorboard",
    }
    assert "## Test" in finished.summary.read_text()
    assert list(finished.tensorboard.glob("events.*"))


def test_the_settled_configuration_is_saved(finished, tiny_dataset):
    config = TrainConfig.from_dict(finished.read_json(finished.config))
    assert (config.data.split, config.model.system) == ("xsub", "skeleton")
    # From the recipe, where nothing was set.
    assert (config.optim.schedule, config.optim.nesterov) == ("onecycle", True)


def test_the_environment_is_saved(finished, tiny_dataset):
    (start,) = finished.read_json(finished.environment)["starts"]
    assert start["packages"]["torch"] == torch.__version__.partition("+")[0]
    data = json.loads((tiny_dataset / "dataset.json").read_text())
    assert start["data"]["fingerprint"] == data["fingerprint"]
    assert (start["data"]["train"], start["data"]["validation"], start["data"]["test"]) == (8, 3, 3)
    assert start["git"] is None or len(start["git"]["commit"]) == 40
    assert start["machine"]["device"] == "cpu"


def test_the_result_and_its_summary_agree(finished):
    result = finished.read_json(finished.result)
    assert (result["epochs"], result["steps"]) == (2, 4)
    text = finished.summary.read_text()
    assert f"top-1 {result['last']['val_top1']:.2%}" in text
    assert f"{result['parameters']:,} parameters" in text


def test_records_are_one_a_step_and_one_an_epoch(finished):
    records = [json.loads(line) for line in finished.metrics.read_text().splitlines()]
    assert [(r["kind"], r["step"]) for r in records] == [
        ("step", 1), ("step", 2), ("epoch", 2), ("step", 3), ("step", 4), ("epoch", 4)
    ]  # fmt: skip


def test_pandas_reads_the_records(finished):
    records = pandas.read_json(finished.metrics, lines=True)
    assert records["kind"].tolist() == ["step", "step", "epoch"] * 2
    epochs = records[records.kind == "epoch"].set_index("epoch")[["loss", "val_top1"]]
    assert epochs.index.tolist() == [1, 2]
    assert epochs.notna().all(axis=None)


def test_a_finished_run_is_not_trained_again(finished, tiny_dataset):
    before = finished.latest().read_bytes()
    run("--resume", "--out", finished.path)
    assert finished.latest().read_bytes() == before
    assert len(finished.read_json(finished.environment)["starts"]) == 2


def test_a_folder_with_a_run_is_not_overwritten(finished, tiny_dataset):
    with pytest.raises(TrainError, match="holds a run already; go on with it by --resume"):
        run("--shards", tiny_dataset, "--out", finished.path, *tiny_arguments(FAST))


def test_a_run_is_not_resumed_with_another_rate(finished):
    with pytest.raises(TrainError, match=r"other settings \(then, now\): optim.lr: 0.12, 0.5"):
        run("--resume", "--out", finished.path, "--lr", "0.5")


def test_dry_run_tells_sizes_and_writes_nothing(tiny_dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    output = run("--shards", tiny_dataset, "--dry-run", *tiny_arguments()).output
    facts = dict(line.split("  ", 1) for line in output.splitlines() if "  " in line)
    facts = {name: value.strip() for name, value in facts.items()}
    assert facts["samples"] == "8 train, 3 validation, 3 test; 3 classes"
    assert facts["step"] == "2 clips: 2 x 1 batches x 1 ranks"
    assert facts["steps"] == "4 an epoch, 12 in 3 epochs"
    assert facts["learning rate"].startswith("0.0015625 at its peak")
    assert facts["out"] == "runs/made-cross-attention-seed0"
    assert not list(tmp_path.iterdir())


def test_dry_run_at_full_size_gives_the_paper_s_counts(tiny_dataset):
    output = run("--shards", tiny_dataset, "--dry-run", "--recipe", "paper-ntu-xsub").output
    # NTU skeletons, cross-attention: 57 classes fewer than 60 save 257 weights each.
    assert f"{3_047_293 + 2_902_208 + 295_681 + 65_792 - 57 * 257:,}" in output
    assert "0.1 at its peak, milestones" in output


def test_the_recipe_chosen_by_data_set_is_said(tiny_dataset, caplog):
    with caplog.at_level("INFO"):
        run("--shards", tiny_dataset, "--dry-run")
    assert "recipe paper-kinetics, for data set made; another by --recipe" in caplog.text


def run_main(monkeypatch, capsys, *arguments):
    """Call the command as the shell does; return exit status and what was said."""
    monkeypatch.setattr(sys, "argv", ["train.run", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code, capsys.readouterr().err


@pytest.fixture
def mistaken(tiny_dataset, tmp_path, monkeypatch, capsys):
    """Call the command with names of places that stand for folders."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    places = {"DATA": tiny_dataset, "EMPTY": "empty", "BROKEN": "broken"}
    return lambda arguments: run_main(monkeypatch, capsys, *[places.get(a, a) for a in arguments])


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "say where the data set lies: --shards FOLDER"),
        (["--shards", "DATA", "--set", "optim.speed=1"], 2, "there is no setting optim.speed"),
        (["--shards", "DATA", "--set", "optim.lr=0"], 2, "lr positive"),
        (["--shards", "DATA", "--recipe", "x"], 1, "x is neither a TOML file nor one of demo"),
        (["--shards", "DATA", "--split", "xset"], 1, "no split 'xset'; choose --split out of xsub"),
        (["--shards", "EMPTY"], 1, "expected a data set"),
        (["--shards", "DATA", "--device", "cuda:99"], 1, "device cuda:99"),
        (["--shards", "DATA", "--set", "model.context_channels=4"], 1, "give one by --context"),
        (["--shards", "DATA", "--context", "none.h5"], 1, "none.h5"),
        (["--shards", "DATA", "--context", "x.h5", "--system", "skeleton"], 1, "has no use for"),
        (["--shards", "DATA", "--set", "run.sync_norms=true"], 1, "sync_norms needs GPUs"),
        (["--shards", "DATA", "--resume", "--out", "BROKEN"], 1, "not the readable JSON of a run"),
    ],
)
def test_mistakes_are_one_sentence(mistaken, arguments, status, message):
    found = mistaken(arguments)
    assert found[0] == status
    assert message in found[1]
    assert "Traceback" not in found[1]


def test_a_forgotten_data_set_is_offered(tiny_dataset, tmp_path, monkeypatch, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "made").symlink_to(tiny_dataset)
    monkeypatch.chdir(tmp_path)
    status, said = run_main(monkeypatch, capsys)
    assert status == 2
    assert "--shards FOLDER, such as out/made" in said


def test_skeleton_only_shards_ask_for_another_system(tmp_path, monkeypatch, capsys):
    folder = write_tiny_dataset(tmp_path / "data", pictures=False)
    arguments = ["--shards", folder, *tiny_arguments(), "--out", tmp_path / "run"]
    status, said = run_main(monkeypatch, capsys, *arguments)
    assert status == 1
    assert "holds skeletons only, and the cross-attention system needs pictures" in said
    assert "choose --system skeleton" in said


def test_skeleton_only_shards_train_a_skeleton_system(tmp_path):
    folder = write_tiny_dataset(tmp_path / "data", pictures=False)
    settings = tiny_arguments({**FAST, "optim.epochs": 1})
    run("--shards", folder, "--out", tmp_path / "run", *settings)
    assert RunFolder(tmp_path / "run").result.exists()


def test_classes_without_samples_are_named(tmp_path):
    folder = write_tiny_dataset(tmp_path / "data", recordings=(Recording("a"), *RECORDINGS[-3:]))
    arguments = ["--shards", folder, *tiny_arguments(FAST), "--dry-run"]
    with pytest.raises(TrainError, match=r"2 of 3 classes have no training .*\(eat meal, brush"):
        run(*arguments)
    assert "1 train" in run(*arguments, "--set", "run.missing_classes=allow").output


@pytest.fixture(scope="module")
def undisturbed(tiny_dataset, tmp_path_factory):
    """The arguments of a training, but for its folder, and what it ends in."""
    folder = RunFolder(tmp_path_factory.mktemp("undisturbed") / "run")
    settings = tiny_arguments({**FAST, "run.batch_size": 2, "run.checkpoint_every": 1})
    arguments = ["--shards", str(tiny_dataset), *settings, "--out"]
    run(*arguments, folder.path)
    return arguments, folder


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
def test_a_killed_process_resumes_to_the_same_weights(undisturbed, tmp_path, number, status):
    arguments, whole = undisturbed
    killed = RunFolder(tmp_path / "killed")
    assert run_processes(run_killed, [(number, 3, [*arguments, str(killed.path)])]) == [status]
    saved_at = 2 if number == signal.SIGKILL else 3
    assert killed.latest().stem == f"step-{saved_at:09d}"
    assert not killed.result.exists()
    run("--resume", "--out", killed.path)
    one, other = (torch.load(f.latest(), weights_only=True) for f in (whole, killed))
    assert all(one["model"][name].equal(other["model"][name]) for name in one["model"])


def test_torchrun_trains(tiny_dataset, tmp_path):
    # Several ranks are forked elsewhere: each started by torchrun imports torch once more.
    torchrun = ["--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", 1, "-m"]
    arguments = ["--shards", tiny_dataset, *tiny_arguments(FAST), "--out", tmp_path / "r"]
    ran = run_module("torch.distributed.run", *torchrun, "train.run", *arguments, folder=tmp_path)
    assert ran.status == 0, ran.err
    assert ran.out.split() == [str(tmp_path / "r")]
    result = RunFolder(tmp_path / "r").read_json(RunFolder(tmp_path / "r").result)
    assert (result["epochs"], result["steps"]) == (2, 4)
