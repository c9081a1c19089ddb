"""What a model card tells of the settings that whoever calls the network must follow."""

import json

import pytest
from tiny_runs import tiny_config

from toolkit.shards import LAYOUTS
from train.checkpoint import DataFacts
from train.errors import TrainError
from train.files import RunFolder
from train.model_card import format_card
from train.saved_run import SavedRun


def card_of(folder, changes=None, layout="openpose18"):
    """Return the card of a run of these settings; nothing but its settings is read."""
    data = DataFacts("made", "f00d", LAYOUTS[layout], ("drink", "eat"))
    config = tiny_config(changes)
    run = SavedRun(RunFolder(folder), folder / "step-1.pt", 1, config, data, None, None)
    return format_card(run, {"joints": (3, 8, 18, 2)}, {})


@pytest.mark.parametrize(
    ("layout", "changes", "told"),
    [
        (
            "openpose18",
            {},
            "less 0.5, then the score; joints of score 0 and of absent bodies at 0,",
        ),
        (
            "openpose18",
            {"data.zero_score": False},
            "less 0.5, then the score; joints of absent bodies at 0, 0, those of score 0 stay",
        ),
        (
            "openpose18",
            {"data.centre_joint": True},
            "then moved so that the first place at which neck is seen is the origin of the clip;",
        ),
        ("ntu25", {}, "Joints: ntu25, metres; joints of absent bodies at 0."),
        ("ntu25", {"data.centre_joint": True}, "metres, then moved so that the first place at"),
    ],
)
def test_joints_are_told_as_they_were_normalised(tmp_path, layout, changes, told):
    (line,) = [
        line
        for line in card_of(tmp_path, changes, layout).splitlines()
        if line.startswith("Joints:")
    ]
    assert told in line
    assert ("moved" in line) == bool(changes.get("data.centre_joint"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {},
            "8 frames; a recording is tiled from its start; a last clip of fewer frames is kept;"
            " where frames are missing those there are loop",
        ),
        (
            {"data.partial": "drop", "data.short": "zero"},
            "a last clip of fewer frames is dropped unless it is the only one; where frames are"
            " missing joints are 0 and pictures (115, 108, 99)",
        ),
    ],
)
def test_clips_are_told_as_they_were_made(tmp_path, changes, told):
    assert told in card_of(tmp_path, changes)


def test_a_step_is_told_with_what_was_accumulated_and_on_how_many_ranks(tmp_path):
    changes = {"run.batch_size": 8, "run.accumulate": 2, "optim.lr": 0.25}
    starts = [{"ranks": 4, "data": {}}, {"ranks": 4, "data": {}}]
    (tmp_path / "environment.json").write_text(json.dumps({"starts": starts}))
    card = card_of(tmp_path, changes)
    assert "| clips a step | 64: batch 8, 2 accumulated, 4 ranks |" in card
    assert "| learning rate | 0.25 for 128 clips a step, 0.125 here |" in card


def test_a_rate_that_was_not_scaled_is_told_as_it_is(tmp_path):
    card = card_of(tmp_path, {"optim.scale_lr": False, "optim.lr": 0.25})
    assert "| learning rate | 0.25 |" in card
    assert "| clips a step | 2: batch 2 |" in card


def test_starts_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "environment.json").write_text('{"starts": []}')
    with pytest.raises(TrainError, match=r"environment\.json does not tell the ranks"):
        card_of(tmp_path)
