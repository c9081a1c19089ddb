import re

import pytest

from train.config import (
    RunConfig,
    TrainConfig,
    choose_recipe,
    list_differences,
    list_recipes,
    parse_assignments,
    read_recipe,
)
from train.errors import TrainError


def test_recipes_are_those_of_the_paper_and_the_demo():
    assert list_recipes() == [
        "demo",
        "paper-kinetics",
        "paper-kinetics-motion",
        "paper-ntu-xsub",
        "paper-ntu-xview",
    ]


@pytest.mark.parametrize(
    ("recipe", "split", "dropout"),
    [
        ("paper-ntu-xsub", "xsub", 0.5),
        ("paper-ntu-xview", "xview", 0.5),
        ("paper-kinetics", None, 0.0),
        ("paper-kinetics-motion", None, 0.0),
    ],
)
def test_paper_recipes_say_what_the_paper_says(recipe, split, dropout):
    config = read_recipe(recipe)
    assert (config.data.split, config.model.dropout) == (split, dropout)
    assert (config.data.clip_length, config.data.frame_size) == (16, 112)
    assert (config.model.system, config.model.attach) == ("cross-attention", ("gcn6",))
    optim = config.optim
    assert (optim.lr, optim.momentum, optim.weight_decay) == (0.1, 0.9, 1e-3)
    assert (optim.epochs, optim.milestones, optim.gamma) == (260, (80, 160, 240), 0.1)
    assert (config.run.batch_size, config.run.amp, config.run.ema) == (128, "off", 0)


def test_demo_recipe_is_the_tiny_preset():
    config = read_recipe("demo")
    assert (config.model.width, config.model.context_width) == (16, 8)
    assert (config.run.batch_size, config.optim.schedule) == (32, "onecycle")


@pytest.mark.parametrize(
    ("dataset", "split", "recipe"),
    [
        ("ntu60", "xsub", "paper-ntu-xsub"),
        ("ntu60", "xview", "paper-ntu-xview"),
        ("ntu120", "xset", "paper-ntu-xsub"),
        ("kinetics", "kinetics", "paper-kinetics"),
        ("kinetics-motion", "kinetics", "paper-kinetics-motion"),
        ("my-recordings", "default", "paper-kinetics"),
    ],
)
def test_recipe_follows_the_data_set(dataset, split, recipe):
    assert choose_recipe(dataset, split) == recipe


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("optim.lr=0.03", "optim.lr", 0.03),
        ("optim.lr = 3e-2", "optim.lr", 0.03),
        ("optim.lr=.5", "optim.lr", 0.5),
        ("optim.lr=5.", "optim.lr", 5.0),
        ("data.crop_scales=[1, .5]", "data.crop_scales", [1.0, 0.5]),
        ("optim.milestones=[1, 2]", "optim.milestones", [1, 2]),
        ("optim.milestones=1,2", "optim.milestones", [1, 2]),
        ("model.attach=gcn3,gcn6", "model.attach", ["gcn3", "gcn6"]),
        ('model.attach=["gcn3"]', "model.attach", ["gcn3"]),
        ("model.attention.score=dot", "model.attention.score", "dot"),
        ("model.attention.residual=False", "model.attention.residual", False),
        ("data.split='xview'", "data.split", "xview"),
        ("data.split=none", "data.split", None),
        ("data.flip=none", "data.flip", "none"),
        ("run.workers=none", "run.workers", None),
        ("run.workers=3", "run.workers", 3),
    ],
)
def test_assignments_are_read_as_their_field_needs(text, name, value):
    assert parse_assignments([text]) == {name: value}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("optim.lr", "must read section.field=value"),
        ("optim.lrr=1", "no setting optim.lrr; did you mean optim.lr"),
        ("lr=1", "no setting lr; did you mean optim.lr?"),
        ("optim=1", "optim is a section; set one of optim.lr, "),
        ("optim.lr=fast", "'optim.lr=fast' holds no value that can be read: expected a number"),
        ("optim.epochs=1.5", "that can be read: expected a whole number, found 1.5"),
        ("run.skip_bad=yes", "that can be read: expected true or false, found yes"),
        ("model.attach=[gcn3", "holds no value that can be read"),
        ("optim.lr.x=1", "no setting optim.lr.x"),
    ],
)
def test_assignments_that_mean_nothing_are_explained(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_assignments([text])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optim.epochs": 1.5}, "optim.epochs must be int, got 1.5"),
        ({"optim.epochs": True}, "optim.epochs must be int, got True"),
        ({"optim.lr": "high"}, "optim.lr must be float"),
        ({"optim.milestones": 3}, "optim.milestones must be a list"),
        ({"optim.milestones": ["x"]}, "optim.milestones must be float"),
        ({"model.system": "both"}, "model.system must be one of"),
        ({"model.attention.score": "x"}, "model.attention.score must be one of"),
        ({"data.crop": "x"}, "data.crop must be one of"),
        ({"run.batch_size": 0}, "run.batch_size must be at least 1"),
        ({"run.seed": -1}, "run.seed must not be negative"),
        ({"run.amp": "fp16"}, "run.amp must be one of off, bf16"),
        ({"run.ema": 1.0}, "run.ema must be in"),
    ],
)
def test_values_that_do_not_fit_name_their_field(values, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        TrainConfig().replaced(values)


def test_replacing_leaves_everything_else():
    changed = TrainConfig().replaced({"optim.lr": 1, "model.attention.reduce": "max"})
    assert changed.optim.lr == 1.0
    assert isinstance(changed.optim.lr, float)
    assert list_differences(TrainConfig(), changed) == [
        "model.attention.reduce: mean, max",
        "optim.lr: 0.1, 1.0",
    ]


def test_settings_survive_json_and_back():
    config = read_recipe("demo").replaced({"data.split": "x", "model.attach": ["gcn3", "gcn6"]})
    assert TrainConfig.from_dict(config.to_dict()) == config


def test_a_recipe_file_changes_what_it_says(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[optim]\nlr = 1\n[model.attention]\nscore = 'dot'\n")
    config = read_recipe(str(path))
    assert (config.optim.lr, config.model.attention.score) == (1.0, "dot")
    assert config.run == RunConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[optim\n", "mine.toml: Expected"),
        ("[optim]\nspeed = 1\n", "no setting optim.speed"),
        ("[speed]\nx = 1\n", "no setting speed"),
        ("optim = 1\n", "optim must be a section"),
        ("[optim]\nlr = 0\n", "lr positive"),
    ],
)
def test_a_broken_recipe_is_named_with_its_fault(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(TrainError, match=re.escape(message)):
        read_recipe(str(path))


def test_an_unknown_recipe_is_answered_with_those_there_are():
    with pytest.raises(TrainError, match="neither a TOML file nor one of demo, paper-kinetics"):
        read_recipe("paper")
