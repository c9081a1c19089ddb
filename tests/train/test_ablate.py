import csv
import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_evaluations import make_evaluation, write_finished
from report_pages import carried
from tiny_runs import write_tiny_dataset

from toolkit.shards import read_dataset_info
from train import ablate as command
from train import ablation, ablation_report
from train.ablation import AblationOptions, format_value, plan_ablation, run_ablation
from train.ablation_report import (
    Cell,
    Source,
    fill_table,
    format_csv,
    format_table,
    measure_finished,
)
from train.config import TrainConfig, parse_assignments, read_recipe
from train.errors import Interrupted, TrainError
from train.signals import StopWish
from train.synthetic import Ceilings
from train.tables import TABLES, Column

DEMO = Ceilings(2, 1, 2, 2, False, 0.25, 0.5, 0.375, 0.75, 1.0, 0.875)
# Nothing of these decides what tells the trainings apart.
SHARED = {"model.width": 4, "optim.epochs": 1, "optim.milestones": (), "run.workers": 0}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = write_tiny_dataset(tmp_path_factory.mktemp("ablate") / "ntu60")
    facts = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(facts | {"name": "ntu60"}))
    return folder


def make_options(out, **changes):
    return AblationOptions(out, (sys.executable,), recipe="demo", changes=SHARED, **changes)


class FakeTrainings:
    """Stands in for processes: does what a command says as train.run would, without training."""

    def __init__(self, statuses=(), top1=0.5):
        self.commands, self.statuses, self.top1 = [], dict(statuses), top1

    def __call__(self, command, lock, stop):
        self.commands.append(command)
        options = dict(pairwise(command))
        settings = [part.removeprefix("--set=") for part in command if part.startswith("--set=")]
        config = read_recipe(options["--recipe"]).replaced(parse_assignments(settings))
        out = command[-2]
        status = self.statuses.get(out.rpartition("/")[2], 0)
        if status == 0:
            fingerprint = read_dataset_info(options["--shards"]).fingerprint
            write_finished(out, config, self.top1 + 0.1 * config.run.seed, fingerprint)
        return status


@pytest.fixture
def trainings(monkeypatch):
    fake = FakeTrainings()
    monkeypatch.setattr(ablation, "_launch", fake)
    return fake


def test_each_distinct_training_is_planned_once_a_seed(shards, tmp_path):
    planned = plan_ablation([TABLES["3"], TABLES["6"]], shards, make_options(tmp_path, n_seeds=2))
    names = [item.name for item in planned]
    assert len(names) == len(set(names)) == 2 * 7
    assert names[0] == "KM-base-seed0"
    assert names[7] == "KM-base-seed1"


def test_the_command_says_all_that_the_plan_means(shards, tmp_path, trainings):
    planned = plan_ablation([TABLES["5"]], shards, make_options(tmp_path))
    run_ablation(planned, StopWish())
    for item in planned:
        found = TrainConfig.from_dict(json.loads(item.folder.config.read_text()))
        assert found == item.config
        assert found.model.width == 4


def test_ntu_trainings_have_the_split_of_their_column(shards, tmp_path):
    planned = plan_ablation([TABLES["7"]], shards, make_options(tmp_path))
    splits = {item.training.id: item.config.data.split for item in planned}
    assert splits["NTU-cross-xsub"] == "xsub"
    assert splits["NTU-cross-xview"] == "xview"


def test_the_papers_recipe_follows_the_split(shards, tmp_path):
    options = AblationOptions(tmp_path, (sys.executable,))
    planned = plan_ablation([TABLES["7"]], shards, options)
    recipes = {item.command[item.command.index("--recipe") + 1] for item in planned}
    assert recipes == {"paper-ntu-xsub", "paper-ntu-xview"}


def test_a_setting_that_tells_trainings_apart_is_refused(shards, tmp_path):
    options = replace(make_options(tmp_path), changes={"model.attention.score": "dot"})
    with pytest.raises(ValueError, match=r"model\.attention\.score is what the trainings"):
        plan_ablation([TABLES["3"]], shards, options)


def test_finished_trainings_are_skipped(shards, tmp_path, trainings):
    run_ablation(plan_ablation([TABLES["6"]], shards, make_options(tmp_path)), StopWish())
    trainings.commands.clear()
    assert (
        run_ablation(plan_ablation([TABLES["3"]], shards, make_options(tmp_path)), StopWish()) == []
    )
    outs = [command[-2].rpartition("/")[2] for command in trainings.commands]
    assert outs == ["KM-self-seed0", "KM-dot-seed0", "KM-mlp1-seed0"]


def test_results_of_other_settings_are_refused(shards, tmp_path, trainings):
    run_ablation(plan_ablation([TABLES["6"]], shards, make_options(tmp_path)), StopWish())
    other = replace(make_options(tmp_path), changes=SHARED | {"optim.epochs": 2})
    with pytest.raises(TrainError, match=r"other settings \(there, wanted\): optim\.epochs: 1, 2"):
        plan_ablation([TABLES["6"]], shards, other)


def test_settings_that_change_nothing_may_differ(shards, tmp_path, trainings):
    run_ablation(plan_ablation([TABLES["6"]], shards, make_options(tmp_path)), StopWish())
    other = replace(make_options(tmp_path), changes=SHARED | {"run.workers": 2})
    assert {p.state for p in plan_ablation([TABLES["6"]], shards, other)} == {"finished"}


@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_data_that_cannot_be_trained_on_is_refused_before_anything_begins(tmp_path, trainings, dry):
    shards = write_tiny_dataset(tmp_path / "made", pictures=False)
    with pytest.raises(TrainError, match=r"^training KM-dot cannot begin: .* holds skeletons only"):
        call_command(shards, tmp_path / "out", "--table=3", *dry)
    assert not trainings.commands
    assert not (tmp_path / "out").exists()


def test_finished_trainings_need_no_trainable_data(shards, tmp_path, trainings, monkeypatch):
    run_ablation(plan_ablation([TABLES["6"]], shards, make_options(tmp_path)), StopWish())
    checked = []
    monkeypatch.setattr("train.prepare.prepare", lambda config, dataset: checked.append(config))
    plan_ablation([TABLES["6"]], shards, make_options(tmp_path))
    assert checked == []
    plan_ablation([TABLES["3"]], shards, make_options(tmp_path))
    # Self-attention without pictures, and one of the two that are left with them.
    assert [config.model.has_rgb_branch for config in checked] == [False, True]


def test_results_on_other_shards_are_refused(shards, tmp_path, trainings):
    planned = plan_ablation([TABLES["6"]], shards, make_options(tmp_path))
    run_ablation(planned, StopWish())
    starts = [{"data": {"fingerprint": "of old"}}]
    planned[0].folder.environment.write_text(json.dumps({"starts": starts}))
    with pytest.raises(TrainError, match="training on other shards"):
        plan_ablation([TABLES["6"]], shards, make_options(tmp_path))


def test_a_failing_training_is_told_and_the_rest_goes_on(shards, tmp_path, trainings):
    trainings.statuses = {"KM-base-seed0": 1}
    left = run_ablation(plan_ablation([TABLES["6"]], shards, make_options(tmp_path)), StopWish())
    assert [item.name for item in left] == ["KM-base-seed0"]
    assert len(trainings.commands) == 4


def test_a_training_stopped_by_a_signal_stops_the_ablation(shards, tmp_path, trainings):
    trainings.statuses = {"KM-rgb-seed0": 143}
    with pytest.raises(Interrupted) as caught:
        run_ablation(plan_ablation([TABLES["6"]], shards, make_options(tmp_path)), StopWish())
    assert caught.value.signal_number == signal.SIGTERM
    assert len(trainings.commands) == 1


def test_a_training_at_work_in_another_process_is_left_alone(shards, tmp_path, trainings):
    planned = plan_ablation([TABLES["6"]], shards, make_options(tmp_path))
    planned[0].folder.path.mkdir(parents=True)
    waiting = "import sys; sys.stdin.read()"
    with ablation._lock(planned[0].folder.path / ".lock") as lock:
        orphan = subprocess.Popen(
            [sys.executable, "-c", waiting], stdin=subprocess.PIPE, pass_fds=(lock,)
        )
    left = run_ablation(planned, StopWish())
    orphan.communicate()
    assert [item.name for item in left] == ["KM-rgb-seed0"]
    assert run_ablation(planned, StopWish()) == []


def test_a_signal_is_handed_on_to_the_training():
    stop = StopWish()
    stop.take(signal.SIGTERM, None)
    with Path(__file__).open(encoding="utf-8") as file:
        status = ablation._launch(
            [sys.executable, "-c", "import signal; signal.pause()"], file.fileno(), stop
        )
    assert status == -signal.SIGTERM


@pytest.mark.parametrize(
    "value", [0.03, 1e-4, True, None, "gcn6", ("gcn3", "gcn6"), (80, 160.5), 7, ()]
)
def test_values_are_written_as_set_reads_them(value):
    names = {
        float: "optim.lr", bool: "run.tensorboard", type(None): "data.split", int: "run.seed",
        str: "data.split",
    }  # fmt: skip
    name = names.get(type(value))
    if name is None:
        name = "model.attach" if "gcn3" in value else "optim.milestones"
    read = parse_assignments([f"{name}={format_value(value)}"])[name]
    assert (tuple(read) if isinstance(read, list) else read) == value


def make_cell(**changes):
    cell = Cell("3", "a row", "KM-mlp2", Column("top-1"), (97.0, 99.0), 512, 88.16, 100.0, 100.0)
    return replace(cell, **changes)


def test_a_cell_tells_mean_spread_and_difference():
    cell = make_cell()
    assert cell.mean == 98.0
    assert cell.spread == pytest.approx(2**0.5)
    assert cell.difference == pytest.approx(9.84)
    assert make_cell(values=(97.0,)).spread is None
    assert make_cell(values=()).difference is None


@pytest.mark.parametrize(("mean", "leaks"), [(43.9, False), (44.0, True)])
def test_a_score_above_its_bound_by_three_errors_leaks(mean, leaks):
    # 37.5 + 3 * sqrt(.375 * .625 / 512) = 43.92 percent.
    assert make_cell(values=(mean,), bound=37.5).leaks == leaks


def fill_demo(shards, out, trainings, n_seeds=1):
    planned = plan_ablation([TABLES["6"]], shards, make_options(out, n_seeds=n_seeds))
    run_ablation(planned, StopWish())
    by_id = {item.training.id: item for item in planned}
    return fill_table(TABLES["6"], Source(measure_finished(planned, shards), by_id, DEMO))


@pytest.mark.parametrize(
    "changed", [{"fingerprint": "of other shards"}, {"subset": "train"}, {"average": "logits"}]
)
def test_figures_of_something_else_are_made_anew(shards, tmp_path, trainings, monkeypatch, changed):
    planned = plan_ablation([TABLES["6"]], shards, make_options(tmp_path))
    run_ablation(planned, StopWish())
    path = planned[0].folder.path / "evaluation.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    asked = []
    monkeypatch.setattr(
        ablation_report, "evaluate_run", lambda run, *_: asked.append(run) or make_evaluation()
    )
    found = measure_finished(planned, shards)
    assert asked == [planned[0].folder.path]
    assert found["KM-rgb"][0] == json.loads(path.read_text()) == make_evaluation().to_dict()


def test_the_table_shows_ours_the_papers_and_the_ceiling(shards, tmp_path, trainings):
    trainings.top1 = 0.25
    text = format_table(TABLES["6"], fill_demo(shards, tmp_path, trainings, 2), "A note.")
    lines = text.splitlines()
    assert lines[0] == "## Table 6: Systems, Kinetics-Motion"
    assert lines[2] == "A note."
    assert re.fullmatch(r"\| -+ (\| -+: )+\|", lines[5])
    assert len({len(line) for line in lines[4:]}) == 1
    cells = [cell.strip() for cell in lines[8].split("|")[1:-1]]
    assert cells == [
        "RGB+skeleton, concatenated", "30.00 ± 7.07", "86.00", "-56.00",
        "75.00 (bound 87.50)", "100.00 ± 0.00", "97.51", "+2.49",
    ]  # fmt: skip


def test_csv_holds_every_number_of_a_table(shards, tmp_path, trainings):
    text = format_csv(fill_demo(shards, tmp_path, trainings, 2))
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) == 4 * 2
    assert rows[0]["training"] == "KM-rgb"
    assert json.loads(rows[0]["values"]) == [50.0, 60.0]
    assert float(rows[0]["difference"]) == pytest.approx(55 - 82.77)
    assert rows[1]["ceiling"] == ""


def call_command(shards, out, *arguments):
    """Call the command in this process; errors come as they were raised."""
    settings = [f"--set={name}={format_value(value)}" for name, value in SHARED.items()]
    return CliRunner().invoke(
        command.ablate,
        ["--shards", str(shards), "--out", str(out), "--recipe=demo", *settings, *arguments],
        catch_exceptions=False,
        standalone_mode=False,
    )


def test_the_command_writes_tables_and_flags_a_leak(shards, tmp_path, trainings):
    ceilings = tmp_path / "ceilings.json"
    ceilings.write_text(json.dumps(vars(DEMO)))
    trainings.top1 = 0.7
    result = call_command(shards, tmp_path, "--table=6", "--ceilings", str(ceilings))
    assert result.return_value == 1
    assert "70.00 LEAK" in result.stdout
    assert (tmp_path / "table-6.md").read_text() in result.stdout
    assert (tmp_path / "table-6.csv").exists()
    header = carried(tmp_path / "report.html")["page"][0]
    (table,) = header["tables"]
    assert table["title"] == "Table 6: Systems, Kinetics-Motion"
    assert table["rows"][0][:3] == ["RGB-only", "70.00 LEAK", "82.77"]
    assert header["runs"][0] == ["KM-rgb-seed0", "finished", ""]


def test_the_command_prints_what_there_is_when_one_failed(shards, tmp_path, trainings):
    trainings.statuses = {"KM-rgb-seed0": 1}
    result = call_command(shards, tmp_path, "--table=6")
    assert result.return_value == 1
    row = next(line for line in result.stdout.splitlines() if line.startswith("| RGB-only"))
    assert row.split("|")[2].strip() == "–"


def test_a_dry_run_prints_commands_and_does_nothing(shards, tmp_path, trainings):
    result = call_command(shards, tmp_path / "none", "--table=3", "--dry-run")
    assert result.return_value == 0
    assert len(result.stdout.splitlines()) == 5
    assert not trainings.commands
    assert not (tmp_path / "none").exists()
