import pytest
import torch

from train.models import (
    AttentionConfig,
    CrossAttention,
    SelfAttention,
    align_time,
    capture_attention,
    count_parameters,
)
from train.models.attention import flatten_places

B, D, T, V, PERSONS, M = 2, 6, 4, 5, 2, 8


def inputs(persons=PERSONS):
    return torch.randn(B, D, T, V, persons), torch.randn(B, M, T, 3, 4)


@pytest.mark.parametrize("score", ["dot", "mlp1", "mlp2"])
@pytest.mark.parametrize("combine", ["average", "multiplication", "self_only", "cross_only"])
def test_output_has_the_shape_of_the_first_input(score, combine):
    attention = CrossAttention(D, M, AttentionConfig(score=score, combine=combine))
    v, context = inputs()
    assert attention(v, context).shape == v.shape
    assert attention(v[..., 0], context).shape == (B, D, T, V)


def test_folded_persons_give_the_same_as_a_person_axis():
    attention, (v, context) = CrossAttention(D, M), inputs()
    folded = v.permute(0, 4, 1, 2, 3).flatten(0, 1)
    out = attention(v, context).permute(0, 4, 1, 2, 3).flatten(0, 1)
    torch.testing.assert_close(attention(folded, context), out)


def test_each_person_is_gated_alone():
    attention, (v, context) = CrossAttention(D, M), inputs()
    both = attention(v, context)
    for person in range(PERSONS):
        torch.testing.assert_close(attention(v[..., person], context), both[..., person])


def test_flat_context_equals_the_same_context_with_rows_and_columns():
    attention, (v, context) = CrossAttention(D, M), inputs()
    flat = context.flatten(3).permute(0, 2, 3, 1)
    torch.testing.assert_close(attention(v, flat), attention(v, context))


@pytest.mark.parametrize(
    ("residual", "low", "high"), [(True, 1.0, 2.0), (False, 0.0, 1.0)]
)  # fmt: skip
def test_gain_stays_in_its_range(residual, low, high):
    v, context = inputs()
    for combine in ("average", "multiplication", "self_only", "cross_only"):
        config = AttentionConfig(combine=combine, residual=residual)
        gain = CrossAttention(D, M, config)(v, context) / v
        assert (gain > low).all(), combine
        assert (gain < high).all(), combine


def test_start_gain_is_near_one_and_a_half():
    gain = CrossAttention(256, 512)(torch.ones(1, 256, 4, 18), torch.rand(1, 512, 4, 2, 2)) / 1
    assert gain.mean().item() == pytest.approx(1.5, abs=0.1)


def test_multiplication_is_the_root_of_the_product():
    attention = CrossAttention(D, M, AttentionConfig(combine="multiplication")).double()
    v, context = (x.double() for x in inputs())
    with capture_attention(attention, PERSONS) as maps:
        out = attention(v, context)
    cross = maps[""][0].cross_gate.double()
    own = torch.sigmoid(attention.self_gate(v.permute(0, 4, 1, 2, 3).flatten(0, 1)))
    own = own.unflatten(0, (B, PERSONS)).permute(0, 2, 3, 4, 1)
    gain = (own * cross.permute(0, 2, 3, 1)[:, None]).sqrt()
    torch.testing.assert_close(out, v * (1 + gain), rtol=1e-6, atol=1e-6)


def test_multiplication_has_finite_slope_at_zero_gates():
    attention = CrossAttention(D, M, AttentionConfig(combine="multiplication"))
    torch.nn.init.constant_(attention.self_gate.bias, -200.0)
    v, context = inputs()
    attention(v.requires_grad_(), context).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in attention.parameters())


@pytest.mark.parametrize(("kind", "parameters"), [("channels", 65_792), ("single", 257)])
def test_parameters_of_the_self_gate(kind, parameters):
    assert count_parameters(SelfAttention(256, kind)) == parameters


SCORE_PARAMETERS = [
    (64, "dot", 166_464), (64, "mlp1", 577), (64, "mlp2", 166_465),
    (128, "dot", 205_440), (128, "mlp1", 641), (128, "mlp2", 205_441),
    (256, "dot", 295_680), (256, "mlp1", 769), (256, "mlp2", 295_681),
]  # fmt: skip


@pytest.mark.parametrize(("d", "score", "parameters"), SCORE_PARAMETERS)
def test_parameters_of_the_scores(d, score, parameters):
    with torch.device("meta"):
        alone = CrossAttention(d, 512, AttentionConfig(score=score, combine="cross_only"))
        both = CrossAttention(d, 512, AttentionConfig(score=score))
        single = CrossAttention(d, 512, AttentionConfig(score=score, self_gate="single"))
    assert count_parameters(alone) == parameters
    assert count_parameters(both) == parameters + d * d + d
    assert count_parameters(single) == parameters + d + 1


def test_capture_gives_maps_per_person_and_nothing_outside():
    attention, (v, context) = CrossAttention(D, M), inputs()
    with capture_attention(attention, PERSONS) as maps:
        attention(v, context)
        attention(v, context)
    attention(v, context)
    assert len(maps[""]) == 2
    seen = maps[""][0]
    assert seen.combined.shape == seen.cross_gate.shape == (B, PERSONS, T, V)
    torch.testing.assert_close(seen.combined, (seen.self_gate + seen.cross_gate) / 2)
    assert attention.capture is None


def test_capture_of_self_attention_has_no_cross_gate():
    attention = SelfAttention(D)
    with capture_attention(attention, 1) as maps:
        attention(torch.randn(3, D, T, V))
    assert maps[""][0].cross_gate is None
    assert maps[""][0].self_gate.shape == (3, 1, T, V)


def test_pooled_context_is_one_place():
    context = torch.randn(B, M, T, 6, 6)
    torch.testing.assert_close(flatten_places(context, 1)[..., 0], context.mean((3, 4)))
    flat = context.flatten(3).permute(0, 2, 3, 1)
    torch.testing.assert_close(flatten_places(flat, 1), flatten_places(context, 1))


def test_grid_averages_blocks():
    context = torch.arange(16.0).view(1, 1, 1, 4, 4)
    expected = [2.5, 4.5, 10.5, 12.5]
    assert flatten_places(context, 2).flatten().tolist() == expected
    assert flatten_places(context.view(1, 1, 16, 1), 2).flatten().tolist() == expected


@pytest.mark.parametrize(
    ("context", "words"),
    [
        (torch.zeros(1, 4, 10, M), "square of locations"),
        (torch.zeros(1, M, 4, 1, 1), "finer than the context"),
    ],
)
def test_impossible_grid_is_refused(context, words):
    with pytest.raises(ValueError, match=words):
        flatten_places(context, 2)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [(4, [0, 1, 2, 3]), (2, [0.5, 2.5]), (1, [1.5]), (8, [0, 0, 1, 1, 2, 2, 3, 3])],
)
def test_time_is_averaged_in_groups_or_repeated(frames, expected):
    flat = torch.arange(4.0).view(1, 4, 1, 1)
    assert align_time(flat, frames).flatten().tolist() == expected
    assert align_time(flat.view(1, 1, 4, 1, 1), frames).flatten().tolist() == expected


def test_uneven_time_lets_every_frame_take_part():
    # Three groups of five frames overlap: 0-1, 1-3, 3-4.
    out = align_time(torch.arange(5.0).view(1, 5, 1, 1), 3)
    assert out.flatten().tolist() == pytest.approx([0.5, 2.0, 3.5])


@pytest.mark.parametrize(
    ("v", "context", "words"),
    [
        ((2, D, T), (2, M, T, 2, 2), "cross-attention needs v"),
        ((2, D + 1, T, V), (2, M, T, 2, 2), "built for d=6 and m=8"),
        ((2, D, T, V), (2, M + 1, T, 2, 2), "built for d=6 and m=8"),
        ((2, D, T, V), (2, M, T + 1, 2, 2), "does not fit a context of 2 clips of 5 frames"),
        ((3, D, T, V), (2, M, T, 2, 2), "3 clips or persons"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(v, context, words):
    with pytest.raises(ValueError, match=words):
        CrossAttention(D, M)(torch.zeros(v), torch.zeros(context))


def test_module_runs_under_bfloat16_autocast():
    attention, (v, context) = CrossAttention(D, M), inputs()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = attention(v, context)
    torch.testing.assert_close(mixed.float(), attention(v, context), rtol=0.02, atol=0.02)
