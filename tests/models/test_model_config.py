import json

import pytest

from train.model_config import CHOICES, parse_context_k
from train.models import AttentionConfig, ModelConfig


def test_defaults_are_the_proposed_model_of_the_paper():
    config = ModelConfig()
    assert config.system == "cross-attention"
    assert config.attach == ("gcn6",)
    assert config.attention == AttentionConfig("mlp2", "mean", "average", "channels", True)
    assert (config.features, config.context_features) == (256, 512)


@pytest.mark.parametrize(
    ("system", "skeleton", "context", "attention"),
    [
        ("rgb", False, True, False),
        ("skeleton", True, False, False),
        ("concat", True, True, False),
        ("self-attention", True, False, True),
        ("cross-attention", True, True, True),
    ],
)
def test_what_a_system_is_made_of(system, skeleton, context, attention):
    config = ModelConfig(system=system)
    found = (config.has_skeleton, config.has_context, config.has_attention)
    assert found == (skeleton, context, attention)


@pytest.mark.parametrize(("unit", "stage"), [("gcn0", 0), ("gcn2", 0), ("gcn3", 1), ("gcn8", 2)])
def test_stage_of_a_unit(unit, stage):
    assert ModelConfig().unit_stage(unit) == stage


def test_json_round_trip():
    config = ModelConfig(
        attach=("gcn3", "gcn6"), attention=AttentionConfig(score="dot", context_k="grid(7)")
    )
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("field", [f for f in CHOICES if f in vars(ModelConfig())])
def test_unknown_choice_of_the_model_is_refused(field):
    with pytest.raises(ValueError, match=f"{field} must be one of"):
        ModelConfig(**{field: "nonsense"})


@pytest.mark.parametrize("field", [f for f in CHOICES if f in vars(AttentionConfig())])
def test_unknown_choice_of_the_attention_is_refused(field):
    with pytest.raises(ValueError, match=f"{field} must be one of"):
        AttentionConfig(**{field: "nonsense"})


def test_every_choice_belongs_to_a_field():
    assert CHOICES.keys() <= vars(ModelConfig()).keys() | vars(AttentionConfig()).keys()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attach": ("gcn9",)}, "attach must name different units"),
        ({"attach": ()}, "attach must name different units"),
        ({"attach": ("gcn6", "gcn6")}, "attach must name different units"),
        ({"stages": ()}, "stages must be at least 1"),
        ({"stages": (3, 0)}, "stages must be at least 1"),
        ({"width": 0}, "width must be at least 1"),
        ({"context_blocks": (3,)}, "context_blocks must be two numbers"),
        ({"context_channels": -1}, "context_channels must not be negative"),
        ({"dropout": 1.0}, "dropout must be in"),
    ],
)
def test_impossible_sizes_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        ModelConfig(**changes)


@pytest.mark.parametrize(
    ("form", "score", "reduce"),
    [("sorted", "mlp2", "max"), ("sorted", "dot", "mean"), ("argmax", "mlp2", "mean")],
)
def test_form_that_does_not_exist_is_refused(form, score, reduce):
    with pytest.raises(ValueError, match=f"form '{form}' computes mlp2"):
        AttentionConfig(form=form, score=score, reduce=reduce)


@pytest.mark.parametrize(
    ("text", "side"), [("spatial", None), ("pooled", 1), ("grid(1)", 1), ("grid(14)", 14)]
)
def test_context_k_is_read(text, side):
    assert parse_context_k(text) == side


@pytest.mark.parametrize("text", ["grid(0)", "grid", "grid(2", "7", "Pooled", "grid(-1)"])
def test_context_k_that_means_nothing_is_refused(text):
    with pytest.raises(ValueError, match="context_k must be"):
        parse_context_k(text)


def test_field_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="atach"):
        ModelConfig.from_dict({"atach": ["gcn6"]})
    with pytest.raises(ValueError, match="scor"):
        ModelConfig.from_dict({"attention": {"scor": "dot"}})
