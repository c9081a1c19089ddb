"""What a training tells of synthetic data: how far top-1 can go, and stand-ins among genuine."""

import json
from unittest.mock import MagicMock

import pandas as pd
import pytest
from made_evaluations import make_evaluation
from shard_builders import Recording, write_dataset
from tiny_runs import RECORDINGS, tiny_config, write_tiny_dataset

from train import synthetic
from train.evaluate import EvaluationOptions, evaluate_run
from train.job import run_job
from train.prepare import prepare
from train.report import format_test
from train.request import Job
from train.results import format_evaluation, format_limits
from train.synthetic import count_stand_ins, find_beside_raw, warn_of_mixture

LIMITS = {"chance": 0.25, "ceiling": 0.75, "bound": 0.875}
SENTENCE = (
    "synthetic data: the exact ceiling of top-1 with these inputs is 75.00% (none can exceed"
    " 87.50%), chance is 25.00%"
)
CEILINGS = {
    "S": 2, "Q": 1, "A": 2, "P": 2, "distinct": False, "chance": 0.25, "rgb": 0.5,
    "skeleton": 0.375, "additive": 0.75, "both": 1.0, "additive_bound": 0.875,
}  # fmt: skip


def limited(**limits):
    return make_evaluation(source={"run": "r", "checkpoint": "c.pt", **limits})


def test_ceiling_and_bound_are_told():
    assert format_limits(limited(**LIMITS)) == [SENTENCE]
    assert format_evaluation(limited(**LIMITS)).splitlines()[-1] == SENTENCE


def test_a_bound_that_is_the_ceiling_is_told_once():
    (line,) = format_limits(limited(**LIMITS | {"bound": 0.75}))
    assert "with these inputs is 75.00%, chance" in line


def test_other_data_have_no_ceiling():
    assert format_limits(limited()) == []
    assert "ceiling" not in format_test(limited())


def test_the_summary_tells_the_ceiling_as_a_sentence():
    assert f"\nS{SENTENCE[1:]}.\n" in format_test(limited(**LIMITS))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A data set that a manifest may be made to say comes from raw/, where ceilings lie."""
    folder = tmp_path_factory.mktemp("synthetic")
    (folder / "raw").mkdir()
    (folder / "raw" / "ceilings.json").write_text(json.dumps(CEILINGS))
    (folder / "raw" / "synthesis.json").touch()
    return write_tiny_dataset(folder / "made")


def test_an_evaluation_knows_the_ceiling_of_its_own_network(shards, tmp_path, monkeypatch):
    changes = {"model.system": "skeleton", "optim.epochs": 1, "optim.milestones": []}
    run = run_job(Job(tiny_config(changes), shards, tmp_path / "run")).path
    assert "ceiling" not in evaluate_run(run, shards).source
    poses = pd.DataFrame({"poses": [str(shards.parent / "raw" / "a" / "b.json")]})
    monkeypatch.setattr(synthetic, "read_manifest", lambda folder: poses)
    found = evaluate_run(run, shards)
    limits = {name: found.source[name] for name in LIMITS}
    assert limits == {"chance": 0.25, "ceiling": 0.375, "bound": 0.375}
    # Shuffled pictures have another ceiling, which is not told.
    shuffled = evaluate_run(run, shards, EvaluationOptions(shuffle_context=1))
    assert "ceiling" not in shuffled.source


def say_poses(monkeypatch, poses_of):
    """Let the manifest of each data set folder name one file of poses."""
    manifests = {folder: pd.DataFrame({"poses": [str(p)]}) for folder, p in poses_of.items()}
    monkeypatch.setattr(synthetic, "read_manifest", manifests.__getitem__)


def say_taken_over(folder):
    """Let a data set say that its samples were copied from the shards of another."""
    facts = json.loads((folder / "dataset.json").read_text())
    facts["parameters"]["source"] = "shards"
    (folder / "dataset.json").write_text(json.dumps(facts))


def test_shards_may_lie_among_their_raw_files(tmp_path, monkeypatch):
    raw = write_dataset(tmp_path / "raw")
    (raw / "ceilings.json").touch()
    say_poses(monkeypatch, {raw: raw / "kinetics_train" / "one.json"})
    assert find_beside_raw(raw, "ceilings.json") == raw / "ceilings.json"


def test_shards_that_were_taken_over_are_followed_to_their_raw_files(tmp_path, monkeypatch):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "ceilings.json").touch()
    whole, part = write_dataset(tmp_path / "whole"), write_dataset(tmp_path / "part")
    say_taken_over(part)
    raw = tmp_path / "raw" / "kinetics_train" / "one.json"
    say_poses(monkeypatch, {part: whole / "shards" / "shard-00000.h5", whole: raw})
    assert find_beside_raw(part, "ceilings.json") == tmp_path / "raw" / "ceilings.json"


def test_shards_moved_to_where_they_were_taken_from_are_not_followed(tmp_path, monkeypatch):
    part = write_dataset(tmp_path / "part")
    say_taken_over(part)
    say_poses(monkeypatch, {part: part / "shards" / "shard-00000.h5"})
    assert find_beside_raw(part, "ceilings.json") is None


def standing_in(shards, monkeypatch, n_synthetic, n_genuine):
    """Let a data set's samples be of synthetic and genuine raw files, so many of each."""
    raw = [str(shards.parent / "raw" / "train" / f"{i}.json") for i in range(n_synthetic)]
    raw += [str(shards.parent / "camera" / f"{i}.json") for i in range(n_genuine)]
    reader = MagicMock(samples=pd.DataFrame({"poses": raw}))
    reader.__len__.return_value = len(raw)
    monkeypatch.setattr(synthetic, "DatasetReader", lambda folder: reader)
    return reader


def test_stand_ins_are_counted_by_where_their_poses_lie(shards, monkeypatch):
    assert count_stand_ins(standing_in(shards, monkeypatch, 3, 2)) == 3


def test_a_mixture_of_stand_ins_and_genuine_is_warned_of(shards, monkeypatch, caplog):
    standing_in(shards, monkeypatch, 3, 2)
    warn_of_mixture(shards)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert f"3 of 5 samples of {shards} are synthetic stand-ins" in warning
    assert "extract the genuine ones alone" in warning


@pytest.mark.parametrize(("n_synthetic", "n_genuine"), [(5, 0), (0, 5)])
def test_what_is_of_one_kind_is_not(shards, monkeypatch, caplog, n_synthetic, n_genuine):
    standing_in(shards, monkeypatch, n_synthetic, n_genuine)
    warn_of_mixture(shards)
    assert not caplog.records


def test_a_training_warns_of_a_mixture(shards, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("train.job.warn_of_mixture", told.append)
    changes = {"model.system": "skeleton", "optim.epochs": 1, "optim.milestones": []}
    run_job(Job(tiny_config(changes), shards, tmp_path / "run"))
    assert told == [shards]


@pytest.mark.parametrize(("n_stand_ins", "level"), [(4, "INFO"), (3, "WARNING"), (0, "WARNING")])
def test_stand_ins_of_few_classes_are_nothing_to_warn_of(
    tmp_path, monkeypatch, caplog, n_stand_ins, level
):
    recordings = (Recording("a"), *RECORDINGS[-3:])
    folder = write_tiny_dataset(tmp_path / "made", pictures=False, recordings=recordings)
    monkeypatch.setattr("train.prepare.count_stand_ins", lambda reader: n_stand_ins)
    changes = {"model.system": "skeleton", "run.missing_classes": "allow"}
    with caplog.at_level("INFO"):
        prepare(tiny_config(changes), folder)
    (record,) = caplog.records
    assert record.levelname == level
    assert record.getMessage().startswith("2 of 3 classes have no training sample in split xsub")
