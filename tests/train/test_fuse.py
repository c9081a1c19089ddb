import json

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_evaluations import make_evaluation

from train.errors import TrainError
from train.fuse import fuse, fuse_files, parse_weights
from train.scores_file import write_scores

# Each is right on one of two samples; together they are right on both.
RGB = [[0.9, 0.1, 0.0], [0.5, 0.4, 0.1]]
SKELETON = [[0.4, 0.6, 0.0], [0.2, 0.7, 0.1]]


@pytest.fixture
def write(tmp_path):
    def write_one(name, scores, labels=(0, 1), **changes):
        path = tmp_path / name / "scores.parquet"
        path.parent.mkdir(exist_ok=True)
        write_scores(make_evaluation(labels, scores, **changes), path)
        return path

    return write_one


def test_scores_are_averaged(write):
    fused = fuse_files([write("rgb", RGB), write("skeleton", SKELETON)])
    assert np.allclose(fused.scores, [[0.65, 0.35, 0], [0.35, 0.55, 0.1]])
    assert fused.top1 == 1


def test_weights_may_have_any_sum(write):
    fused = fuse_files([write("rgb", RGB), write("skeleton", SKELETON)], [6, 2])
    assert np.allclose(fused.scores, [[0.775, 0.225, 0], [0.425, 0.475, 0.1]])
    assert [part["weight"] for part in fused.source["fused"]] == [6, 2]


def test_a_weight_of_0_leaves_a_file_out(write):
    fused = fuse_files([write("rgb", RGB), write("skeleton", SKELETON)], [1, 0])
    assert np.array_equal(fused.scores, np.array(RGB, np.float32))


def test_rows_are_matched_by_sample(write):
    ids = ("s1", "s0")
    swapped = write("swapped", SKELETON[::-1], labels=(1, 0), sample_ids=ids)
    fused = fuse_files([write("rgb", RGB), swapped])
    straight = fuse_files([write("rgb", RGB), write("skeleton", SKELETON)])
    assert fused.sample_ids == ("s0", "s1")
    assert np.array_equal(fused.scores, straight.scores)


def test_dropped_samples_stay_counted(write):
    paths = [write(n, s, dropped=(0, 0, 2)) for n, s in (("rgb", RGB), ("skeleton", SKELETON))]
    assert fuse_files(paths).top1_with_dropped == 2 / 4


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=4))
def test_a_network_fused_with_itself_is_the_same(write, weights):
    path = write("rgb", RGB)
    fused = fuse_files([path] * len(weights), weights)
    assert np.allclose(fused.scores, RGB, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"split": "xview"}, r"differ in split \(xsub, xview\)"),
        ({"subset": "train"}, "differ in subset"),
        ({"average": "logits"}, r"differ in average \(softmax, logits\)"),
        ({"class_names": ("run", "jump", "lie")}, "differ in class_names: not to be fused"),
        ({"dropped": (1, 0, 0)}, "differ in dropped"),
        ({"sample_ids": ("s0", "s7")}, "2 are in one only, such as s1 in .*rgb"),
        ({"labels": (0, 2)}, "other.*sample s1: expected label 1 as in the first file, found 2"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(write, changes, sentence):
    other = write("other", SKELETON, **changes)
    with pytest.raises(TrainError, match=sentence):
        fuse_files([write("rgb", RGB), other])


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ([1], "1 weights are given for 2 score files"),
        ([1, -1], "must not be negative"),
        ([0, 0], "nor all 0"),
        ([1, float("nan")], "must not be negative"),
        ([1, float("inf")], "must not be negative"),
    ],
)
def test_weights_that_make_no_sense_are_refused(write, weights, sentence):
    with pytest.raises(ValueError, match=sentence):
        fuse_files([write("rgb", RGB), write("skeleton", SKELETON)], weights)


def test_weights_are_read_from_text():
    assert parse_weights("1, 2.5,0") == [1, 2.5, 0]
    with pytest.raises(ValueError, match="numbers separated by commas, got '1,x'"):
        parse_weights("1,x")


def test_the_command_fuses_run_folders(write, tmp_path):
    folders = [str(write(n, s).parent) for n, s in (("rgb", RGB), ("skeleton", SKELETON))]
    done = CliRunner().invoke(fuse, [*folders, "--weights", "1,5", "--out", str(tmp_path / "both")])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[2].split() == ["top-1", "50.00%"]
    found = json.loads((tmp_path / "both" / "evaluation.json").read_text())
    assert found["top1"] == 0.5
    assert [part["weight"] for part in found["fused"]] == [1, 5]


def test_the_command_does_not_write_over_its_inputs(write):
    rgb, skeleton = write("rgb", RGB), write("skeleton", SKELETON)
    before = rgb.read_bytes()
    done = CliRunner().invoke(fuse, [str(rgb), str(skeleton), "--out", str(rgb.parent)])
    assert done.exit_code == 2
    assert "would write over" in done.output
    assert rgb.read_bytes() == before
