import ast
import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from made_evaluations import LABELS, SCORES, make_evaluation
from made_runs import write_run, write_shards
from tiny_runs import tiny_config, write_tiny_dataset

import train
from train.errors import TrainError
from train.job import run_job
from train.pictures import draw_confusion, draw_curves
from train.report import format_test, read_epochs, report, write_report
from train.request import Job
from train.results import format_evaluation, list_classes, write_evaluation

EPOCHS = [
    {"epoch": 1, "loss": 2.0, "top1": 0.1, "val_loss": 2.5, "val_top1": 0.05},
    {"epoch": 2, "loss": 1.0, "top1": 0.6},
    {"epoch": 3, "loss": 0.5, "top1": 0.9, "val_loss": 1.5, "val_top1": 0.5},
]


def test_classes_by_hand():
    evaluation = make_evaluation([0, 0, 0, 0, 1], np.eye(3)[[0, 1, 2, 1, 1]])
    rows = [tuple(row.values()) for row in list_classes(evaluation)]
    assert rows == [
        ("run", 4, 1, "0.2500", "jump", 2),
        ("jump", 1, 1, "1.0000", "", 0),
        ("sit", 0, 0, "", "", 0),
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written") / "new"
    names = ("push, other person", 'say "no"', "é")
    evaluation = make_evaluation(LABELS, SCORES, dropped=(0, 0, 1), class_names=names)
    write_evaluation(evaluation, folder)
    return evaluation, folder


def test_the_command_replaces_an_earlier_page_and_nothing_else(tmp_path):
    run = write_run(tmp_path / "mine", write_shards(tmp_path / "made"))
    for _ in range(2):
        ran = CliRunner().invoke(report, [str(run), "--out", str(tmp_path / "r.html")])
        assert ran.exit_code == 0, ran.output
    notes = tmp_path / "notes.md"
    notes.write_text("mine")
    ran = CliRunner().invoke(report, [str(run), "--out", str(notes)])
    assert "notes.md is there and is no report: name another file with --out" in str(ran.exception)
    assert notes.read_text() == "mine"


def test_a_page_in_a_folder_that_is_not_there_is_told_before_any_work(tmp_path):
    out = tmp_path / "nodir" / "r.html"
    ran = CliRunner().invoke(report, [str(tmp_path / "norun"), "--out", str(out)])
    assert ran.exit_code == 2
    assert "there is no folder" in ran.output
    assert ".writing" not in ran.output


def test_the_table_of_classes_is_a_csv(written):
    evaluation, folder = written
    with (folder / "per_class.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["class", "n", "correct", "accuracy", "most_confused_with", "n_confused"]
    assert rows[1] == ["push, other person", "3", "2", "0.6667", 'say "no"', "1"]
    assert [row[0] for row in rows[1:]] == list(evaluation.class_names)


def test_the_json_is_whole_and_has_a_line_for_every_class(written):
    evaluation, folder = written
    text = (folder / "evaluation.json").read_text(encoding="utf-8")
    assert json.loads(text) == evaluation.to_dict()
    assert "\n  [2, 1, 0],\n  [0, 1, 0],\n  [0, 0, 0]\n" in text


def test_dropped_samples_are_told_only_where_there_are_any():
    assert "dropped" not in format_evaluation(make_evaluation(LABELS, SCORES))
    text = format_evaluation(make_evaluation(LABELS, SCORES, dropped=(0, 0, 4)))
    assert text.splitlines()[1].split("  ")[-2:] == ["4 samples", "with 4 dropped as wrong"]
    assert text.splitlines()[2].split() == ["top-1", "75.00%", "37.50%"]


def test_the_section_of_the_summary():
    source = {"checkpoint": "step-000000008.pt"}
    text = format_test(make_evaluation(LABELS, SCORES, dropped=(0, 0, 4), source=source))
    assert "Split xsub, step-000000008.pt: softmax averaged over all clips" in text
    assert "|  | 4 samples | with 4 dropped as wrong |\n| - | - | - |\n" in text
    assert "| top-1 | 75.00% | 37.50% |" in text


@pytest.mark.parametrize("n_classes", [1, 45, 400])
def test_any_number_of_classes_can_be_drawn(tmp_path, n_classes):
    rng = np.random.default_rng(n_classes)
    evaluation = make_evaluation(
        np.arange(n_classes),
        rng.normal(size=(n_classes, n_classes)),
        np.zeros(n_classes),
        class_names=tuple(f"class number {i}" for i in range(n_classes)),
    )
    draw_confusion(evaluation, tmp_path / "confusion.png")
    height, width = cv2.imread(str(tmp_path / "confusion.png")).shape[:2]
    assert 500 < height < 3000
    assert 500 < width < 3000


def dark_share(path):
    """How much of a picture is as dark as a cell of share 1."""
    blue, _, red = cv2.imread(str(path)).astype(int).transpose(2, 0, 1)
    return ((red < 40) & (blue > 90)).mean()


def test_the_diagonal_of_a_perfect_network_is_dark(tmp_path):
    names = tuple(f"c{i}" for i in range(4))
    for name, scores in (("right", np.eye(4)), ("guessing", np.eye(4)[[0, 0, 0, 0]])):
        evaluation = make_evaluation(range(4), scores, [0] * 4, class_names=names)
        draw_confusion(evaluation, tmp_path / f"{name}.png")
        # Both have four dark cells of sixteen, in other places.
        assert dark_share(tmp_path / f"{name}.png") > 0.05
    right, guessing = (cv2.imread(str(tmp_path / f"{n}.png")) for n in ("right", "guessing"))
    assert (right != guessing).any()


def test_curves_are_drawn_where_there_was_no_validation(tmp_path):
    draw_curves([{k: v for k, v in e.items() if "val" not in k} for e in EPOCHS], tmp_path / "a")
    draw_curves(EPOCHS, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_drawing_twice_gives_the_same_file(tmp_path):
    for name in "ab":
        draw_curves(EPOCHS, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_pictures_are_drawn_by_late_imports_only():
    for path in Path(train.__file__).parent.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in getattr(node, "names", [])]
            assert "matplotlib" not in f"{getattr(node, 'module', '')} {names}", path


def write_metrics(path, epochs, rest=""):
    records = [{"kind": "step", "step": 1}] + [{"kind": "epoch", **epoch} for epoch in epochs]
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records) + rest)


def test_epochs_are_read_without_a_line_cut_short(tmp_path):
    write_metrics(tmp_path / "metrics.jsonl", EPOCHS, rest='{"kind": "epo')
    found = read_epochs(tmp_path / "metrics.jsonl")
    assert [epoch["loss"] for epoch in found] == [2, 1, 0.5]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"kind": "step"}\n{"kind"\n', "line 2: expected a JSON object with a kind, found '{\"ki"),
        ("[1]\n", "line 1: expected a JSON object with a kind"),
        ('{"epoch": 1}\n', "line 1: expected a JSON object with a kind"),
        ('{"kind": "step"}\n', "tells of no finished epoch yet"),
        ("", "tells of no finished epoch yet"),
    ],
)
def test_metrics_that_cannot_be_drawn_are_named(tmp_path, text, sentence):
    (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(TrainError, match=rf"metrics\.jsonl:? .*{sentence}"):
        read_epochs(tmp_path / "metrics.jsonl")


def test_missing_metrics_are_named(tmp_path):
    with pytest.raises(TrainError, match=r"metrics\.jsonl cannot be read"):
        write_report(tmp_path, None)


def test_without_shards_only_curves_are_drawn(tmp_path):
    write_metrics(tmp_path / "metrics.jsonl", EPOCHS)
    assert write_report(tmp_path, None) is None
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.jsonl", "curves.png"}


def test_a_report_tells_the_test_figures_once(tmp_path):
    shards = write_tiny_dataset(tmp_path / "made")
    config = tiny_config({"optim.epochs": 1, "model.system": "skeleton"})
    folder = run_job(Job(config, shards, tmp_path / "run"))
    reports = []
    for _ in range(2):
        evaluation = write_report(folder.path, shards)
        reports.append(folder.summary.read_text())
    assert reports[0] == reports[1]
    assert reports[0].startswith("# skeleton on made")
    assert reports[0].count("## Test") == 1
    assert f"| top-1 | {evaluation.top1:.2%} |" in reports[0]
    written = {path.name for path in folder.path.iterdir()}
    assert written >= {"curves.png", "confusion.png", "per_class.csv", "scores.parquet"}
    assert json.loads((folder.path / "evaluation.json").read_text()) == evaluation.to_dict()
