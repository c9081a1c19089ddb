"""MODEL section 3.3, one test a property."""

import math

import pytest
import torch
from torch import nn

from train.model_config import CHOICES
from train.models import AttentionConfig, CrossAttention, ModelConfig, SelfAttention, build_model

B, D, T, V, M, SIDE = 2, 6, 4, 5, 8, 14
ROOT = 1 + math.sqrt(3) / 4


def inputs(dtype=torch.float64):
    return torch.randn(B, D, T, V, dtype=dtype), torch.randn(B, M, T, SIDE, SIDE, dtype=dtype)


def module_of(**config):
    return CrossAttention(D, M, AttentionConfig(**config)).double()


def zeroed(module):
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def cross_logits(module, v, context):
    return module._cross_logits(v, context).squeeze(1)


@pytest.mark.parametrize("combine", CHOICES["combine"])
@pytest.mark.parametrize("score", CHOICES["score"])
def test_zero_parameters_give_one_and_a_half(score, combine):
    v, context = inputs()
    out = zeroed(module_of(score=score, combine=combine))(v, context)
    torch.testing.assert_close(out, 1.5 * v, rtol=1e-15, atol=1e-15)


@pytest.mark.parametrize(
    ("combine", "gain"),
    [("average", 1.5), ("multiplication", ROOT), ("self_only", 1.75), ("cross_only", 1.25)],
)
@pytest.mark.parametrize("score", ["mlp1", "mlp2"])
def test_opposite_biases_give_the_gain_of_each_combination(score, combine, gain):
    module, (v, context) = zeroed(module_of(score=score, combine=combine)), inputs()
    if module.self_gate is not None:
        nn.init.constant_(module.self_gate.bias, math.log(3))
    if module.score is not None:
        nn.init.constant_(module.score.output.bias, -math.log(3))
    torch.testing.assert_close(module(v, context), gain * v, rtol=1e-14, atol=1e-14)


def test_constant_hidden_units_give_sigmoid_of_one():
    module, (v, context) = zeroed(module_of(combine="cross_only", residual=False)), inputs()
    nn.init.ones_(module.score.hidden.bias)
    nn.init.constant_(module.score.output.weight, 1 / module.score.z)
    torch.testing.assert_close(module(v, context), 0.7310585786300049 * v)


def test_constant_projections_of_the_dot_product_give_sigmoid_of_one():
    module = zeroed(module_of(score="dot", combine="cross_only", residual=False))
    nn.init.ones_(module.score.theta.bias)
    nn.init.constant_(module.score.phi.bias, 1 / module.score.z)
    v, context = inputs()
    torch.testing.assert_close(module(v, context), 0.7310585786300049 * v)


@pytest.mark.parametrize("reduce", ["mean", "max"])
@pytest.mark.parametrize("score", CHOICES["score"])
def test_cross_gate_ignores_order_and_doubling_of_places(score, reduce):
    module, (v, context) = module_of(score=score, reduce=reduce), inputs()
    out = module(v, context)
    places = context.flatten(3).permute(0, 2, 3, 1)
    shuffled = places[:, :, torch.randperm(places.shape[2])]
    torch.testing.assert_close(module(v, shuffled), out, rtol=1e-12, atol=1e-12)
    doubled = torch.cat([places, places], 2)
    torch.testing.assert_close(module(v, doubled), out, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("system", ["skeleton", "concat", "self-attention", "cross-attention"])
def test_swapping_persons_leaves_the_scores_exactly(openpose, system):
    model = build_model(ModelConfig(system=system, width=4, context_width=4), openpose, 3).eval()
    joints, rgb = torch.randn(2, 3, 16, 18, 2), torch.randn(2, 3, 16, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(joints.flip(4), rgb), model(joints, rgb))


def test_self_only_equals_self_attention_and_ignores_the_context():
    module, (v, context) = module_of(combine="self_only"), inputs()
    alone = SelfAttention(D).double()
    alone.self_gate.load_state_dict(module.self_gate.state_dict())
    assert torch.equal(module(v, context), alone(v))
    assert torch.equal(module(v, context), module(v, context + 1))


@pytest.mark.parametrize("score", ["dot", "mlp1"])
def test_mean_over_places_equals_the_mean_place_for_linear_scores(score):
    module, (v, context) = module_of(score=score, form="naive"), inputs()
    pooled = context.mean((3, 4), keepdim=True)
    difference = cross_logits(module, v, context) - cross_logits(module, v, pooled)
    assert difference.abs().max() < 1e-13


def test_mean_over_places_differs_from_the_mean_place_for_two_layers():
    module, (v, context) = module_of(), inputs()
    pooled = context.mean((3, 4), keepdim=True)
    difference = cross_logits(module, v, context) - cross_logits(module, v, pooled)
    assert difference.abs().max() > 1e-3


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_context_shifts_all_joints_of_a_frame_alike_with_one_layer(reduce):
    module, (v, context) = module_of(score="mlp1", reduce=reduce), inputs()
    shift = cross_logits(module, v, context) - cross_logits(module, v, 3 * context + 1)
    assert (shift.amax(2) - shift.amin(2)).max() < 1e-14
    assert shift.std() > 1e-3


def test_context_can_reorder_joints_with_two_layers():
    module, (v, context) = module_of(), inputs()
    shift = cross_logits(module, v, context) - cross_logits(module, v, 3 * context + 1)
    assert (shift.amax(2) - shift.amin(2)).max() > 1e-3
