from dataclasses import replace

import pytest
import torch

from train.models import (
    AttentionConfig,
    ModelConfig,
    build_model,
    capture_attention,
    count_parameters,
    use_channels_last,
)

SMALL = ModelConfig(
    stages=(1, 1, 1), width=4, attach=("gcn2",), context_width=4, context_blocks=(1, 1)
)
SYSTEMS = ["rgb", "skeleton", "concat", "self-attention", "cross-attention"]


def batch(frames=16, pixels=32):
    return {
        "joints": torch.randn(2, 3, frames, 18, 2),
        "rgb": torch.randn(2, 3, frames, pixels, pixels),
    }


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("backbone", ["stgcn", "agcn"])
def test_every_parameter_of_every_system_learns(openpose, system, backbone):
    model = build_model(replace(SMALL, system=system, backbone=backbone), openpose, 5)
    logits = model(**batch())
    assert logits.shape == (2, 5)
    logits.square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("system", ["skeleton", "self-attention"])
def test_skeleton_systems_do_not_read_rgb(openpose, system):
    model = build_model(replace(SMALL, system=system), openpose, 5).eval()
    data = batch()
    assert model.context is None
    assert torch.equal(model(data["joints"]), model(**data))


def test_rgb_system_needs_no_graph():
    model = build_model(replace(SMALL, system="rgb"), None, 5)
    assert model(rgb=batch()["rgb"]).shape == (2, 5)


def test_self_only_cross_attention_is_built_without_a_context_branch(openpose):
    config = replace(SMALL, attention=AttentionConfig(combine="self_only"))
    twin = replace(SMALL, system="self-attention")
    first, second = build_model(config, openpose, 5), build_model(twin, openpose, 5)
    assert first.state_dict().keys() == second.state_dict().keys()


def test_rgb_enters_cross_attention_only_through_its_gate(openpose):
    model = build_model(SMALL, openpose, 5).eval()
    data = batch()
    before = model(**data)
    assert not torch.allclose(before, model(data["joints"], data["rgb"] + 1))
    for parameter in model.attention["gcn2"].score.output.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(model(**data), model(data["joints"], data["rgb"] + 1))


def test_concat_logits_are_additive_in_the_two_modalities(openpose):
    model = build_model(replace(SMALL, system="concat"), openpose, 5).eval()
    a, b = batch(), batch()
    mixed = model(a["joints"], b["rgb"]) + model(b["joints"], a["rgb"])
    torch.testing.assert_close(mixed, model(**a) + model(**b))


@pytest.mark.parametrize("frames", [8, 10, 16, 32])
@pytest.mark.parametrize("attach", [("gcn0",), ("gcn1",), ("gcn1", "gcn2")])
def test_any_number_of_frames(openpose, attach, frames):
    model = build_model(replace(SMALL, attach=attach), openpose, 5)
    assert model(**batch(frames)).shape == (2, 5)


@pytest.mark.parametrize("pixels", [16, 40, 56])
def test_any_picture_size(openpose, pixels):
    assert build_model(SMALL, openpose, 5)(**batch(pixels=pixels)).shape == (2, 5)


@pytest.mark.parametrize("align", ["avgpool", "repeat", "dual"])
def test_two_modules_share_one_branch(openpose, align):
    config = replace(SMALL, attach=("gcn1", "gcn2"), context_align=align)
    model = build_model(config, openpose, 5)
    with capture_attention(model, 2) as maps:
        model(**batch())
    frames = {name: maps[name][0].combined.shape for name in maps}
    assert frames == {"attention.gcn1": (2, 2, 8, 18), "attention.gcn2": (2, 2, 4, 18)}
    strides = {"avgpool": (2,), "repeat": (4,), "dual": (2, 4)}[align]
    assert model.context.shape.strides == strides


def test_avgpool_gives_the_later_module_means_of_frame_pairs(openpose):
    model = build_model(replace(SMALL, attach=("gcn1", "gcn2")), openpose, 5).eval()
    data, seen = batch(), {}
    for name in ("gcn1", "gcn2"):
        hook = lambda module, inputs, name=name: seen.update({name: inputs[1]})  # noqa: E731
        model.attention[name].register_forward_pre_hook(hook)
    model(**data)
    pairs = seen["gcn1"].unflatten(2, (4, 2)).mean(3)
    torch.testing.assert_close(seen["gcn2"], pairs)


@pytest.mark.parametrize("system", ["rgb", "concat", "cross-attention"])
def test_context_computed_beforehand_replaces_the_branch(openpose, system):
    model = build_model(replace(SMALL, system=system, context_channels=7), openpose, 5)
    assert model.context is None
    data = {"joints": batch()["joints"], "context": torch.randn(2, 16, 9, 7)}
    assert model(**data).shape == (2, 5)


@pytest.mark.parametrize("k", ["spatial", "pooled", "grid(2)"])
def test_number_of_places_leaves_parameters_and_changes_scores(openpose, k):
    config = replace(SMALL, attention=AttentionConfig(context_k=k))
    plain, other = build_model(SMALL, openpose, 5).eval(), build_model(config, openpose, 5).eval()
    other.load_state_dict(plain.state_dict())
    data = batch()
    assert torch.equal(plain(**data), other(**data)) == (k == "spatial")


def test_person_mask_leaves_out_absent_bodies(openpose):
    model = build_model(
        replace(SMALL, system="skeleton", person_mask=True), openpose, 5
    ).eval()  # fmt: skip
    joints = batch()["joints"]
    present = torch.ones(2, 16, 2, dtype=torch.bool)
    present[..., 1] = False
    alone = model(joints[..., :1], present=present[..., :1])
    torch.testing.assert_close(model(joints, present=present), alone)


@pytest.mark.parametrize(
    ("config", "given", "missing"),
    [
        (SMALL, ("joints",), "needs rgb"),
        (SMALL, ("rgb",), "needs joints"),
        (replace(SMALL, context_channels=7), ("joints", "rgb"), "needs context"),
        (replace(SMALL, person_mask=True), ("joints", "rgb"), "needs present"),
    ],
)
def test_missing_input_is_named(openpose, config, given, missing):
    data = batch()
    with pytest.raises(ValueError, match=missing):
        build_model(config, openpose, 5)(**{name: data[name] for name in given})


def test_skeleton_systems_need_a_graph():
    with pytest.raises(ValueError, match="needs a skeleton graph"):
        build_model(SMALL, None, 5)


def test_network_without_classes_is_refused(openpose):
    with pytest.raises(ValueError, match="at least one class"):
        build_model(SMALL, openpose, 0)


def test_same_seed_builds_the_same_network(openpose):
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(build_model(SMALL, openpose, 5).state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


def test_he_start_has_the_spread_of_its_fan_out(openpose):
    model = build_model(ModelConfig(), openpose, 5)
    for conv, fan_out in (
        (model.skeleton.units["gcn8"].time, 256 * 9),
        (model.skeleton.units["gcn8"].graph.conv, 768),
        (model.context.layer2[0][1].conv2, 128 * 27),
    ):
        assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)
    assert not model.skeleton.units["gcn8"].time.bias.any()
    assert not model.attention["gcn6"].score.output.bias.any()


def test_normal_start_of_the_later_release(openpose):
    config = ModelConfig(system="skeleton", skeleton_init="normal")
    unit = build_model(config, openpose, 5).skeleton.units["gcn8"]
    assert unit.time.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert unit.time_norm.weight.mean().item() == pytest.approx(1, abs=0.01)
    assert unit.time_norm.weight.std().item() == pytest.approx(0.02, rel=0.2)


def test_channels_last_changes_the_layout_and_not_the_scores(openpose):
    model, data = build_model(SMALL, openpose, 5).eval(), batch()
    before = model(**data)
    use_channels_last(model)
    assert model.context.conv1.weight.is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(model(**data), before)


def test_state_loads_strictly_across_attention_forms(openpose):
    naive = replace(SMALL, attention=AttentionConfig(form="naive"))
    first, second = build_model(SMALL, openpose, 5).eval(), build_model(naive, openpose, 5).eval()
    second.load_state_dict(first.state_dict())
    data = batch()
    torch.testing.assert_close(first(**data), second(**data))


def test_graph_is_not_part_of_the_state(openpose):
    names = build_model(SMALL, openpose, 5).state_dict()
    assert not [name for name in names if "adjacency" in name]
    assert count_parameters(build_model(SMALL, openpose, 5)) < sum(
        t.numel() for t in names.values()
    )
