"""Exact totals of MODEL tables 1.5, 1.6, 2.2 to 2.5 and 3.2."""

from functools import cache

import pytest
import torch
from torch import nn

from toolkit.skeleton import NTU25, OPENPOSE18
from train.model_config import unit_names
from train.models import (
    ActionNetwork,
    AttentionConfig,
    ClipSize,
    CrossAttention,
    ModelConfig,
    SkeletonGraph,
    count_macs,
    count_parameters,
)
from train.models.counting import count_module_macs

CLIP = ClipSize()
HEADS = [(OPENPOSE18, 400), (NTU25, 60), (OPENPOSE18, 30)]
SHORTCUT_DIFFERENCE = 148_992


@pytest.fixture(autouse=True)
def _without_norms(monkeypatch):
    """They are not counted, and on meta they take as long as all the rest."""
    monkeypatch.setattr(nn.modules.batchnorm._BatchNorm, "forward", lambda norm, x: x)


def graph_of(layout):
    return SkeletonGraph(layout.n_joints, layout.bones, layout.centre)


@cache
def macs_of(config, clip=CLIP, layout=OPENPOSE18):
    return count_macs(config, graph_of(layout), 30, clip)


def cross(attach=("gcn6",), **attention):
    return ModelConfig(attach=attach, attention=AttentionConfig(**attention))


# Configuration; totals for OpenPose K=400, NTU K=60, OpenPose K=30 (MODEL 3.2).
TOTALS = {
    "rgb": (ModelConfig(system="rgb"), (3_107_408, 2_932_988, 2_917_598)),
    "skeleton": (ModelConfig(system="skeleton"), (3_126_504, 3_047_293, 3_031_414)),
    "concat": (ModelConfig(system="concat"), (6_233_512, 5_980_221, 5_948_982)),
    "self": (ModelConfig(system="self-attention"), (3_192_296, 3_113_085, 3_097_206)),
    "dot": (cross(score="dot"), (6_390_184, 6_310_973, 6_295_094)),
    "mlp1": (cross(score="mlp1"), (6_095_273, 6_016_062, 6_000_183)),
    "mlp2": (ModelConfig(), (6_390_185, 6_310_974, 6_295_095)),
    "multiplication": (cross(combine="multiplication"), (6_390_185, 6_310_974, 6_295_095)),
    "cross-only": (cross(combine="cross_only"), (6_324_393, 6_245_182, 6_229_303)),
    "gcn0": (cross(("gcn0",)), (6_199_337, 6_120_126, 6_104_247)),
    "gcn3": (cross(("gcn3",)), (6_250_665, 6_171_454, 6_155_575)),
    "gcn8": (cross(("gcn8",)), (6_390_185, 6_310_974, 6_295_095)),
    "gcn3+gcn6": (cross(("gcn3", "gcn6")), (6_612_138, 6_532_927, 6_517_048)),
    "no importance": (
        ModelConfig(system="skeleton", edge_importance=False),
        (3_117_756, 3_030_418, 3_022_666),
    ),
    "released ten units": (
        ModelConfig(system="skeleton", stages=(4, 3, 3)),
        (3_177_140, 3_098_832, 3_082_050),
    ),
    "single self gate": (cross(self_gate="single"), tuple(
        n - 65_535 for n in (6_390_185, 6_310_974, 6_295_095)
    )),
    "all nine units": (
        cross(tuple(unit_names((3, 3, 3)))),
        (8_290_865, None, None),
    ),
    "dual": (
        ModelConfig(attach=("gcn3", "gcn6"), context_align="dual"),
        (6_612_138 + 2_399_232, None, None),
    ),
}  # fmt: skip


@cache
def parameters_of(config, head):
    layout, n_classes = head
    with torch.device("meta"):
        return count_parameters(ActionNetwork(config, graph_of(layout), n_classes))


# What another graph and other classes add is the same whatever stands between the two.
ALL_HEADS = ("rgb", "skeleton", "concat", "mlp2", "no importance", "released ten units")


@pytest.mark.parametrize("name", TOTALS)
def test_total_parameters(name):
    config, totals = TOTALS[name]
    heads = HEADS if name in ALL_HEADS else HEADS[:1]
    assert [parameters_of(config, head) for head in heads] == list(totals[: len(heads)])
    if name not in ALL_HEADS and None not in totals:
        alike = TOTALS["mlp2"][1]
        assert [totals[0] - n for n in totals] == [alike[0] - n for n in alike]


@pytest.mark.parametrize("name", [n for n, (c, _) in TOTALS.items() if c.has_rgb_branch])
def test_type_a_shortcut_saves_its_projections(name):
    config, totals = TOTALS[name]
    type_a = ModelConfig(**{**vars(config), "shortcut": "A"})
    branches = 2 if config.context_align == "dual" else 1
    saved = 16_896 + branches * 132_096
    assert parameters_of(type_a, HEADS[0]) == totals[0] - saved


def test_parameters_do_not_depend_on_the_graph_variant():
    counts = {
        parameters_of(ModelConfig(graph_variant=variant), HEADS[0])
        for variant in ("spatial", "release", "v01")
    }
    assert counts == {6_390_185}


UNIT_MACS = {
    # N = 18 conv, aggregation; N = 25 conv, aggregation, in millions.
    "gcn0": (10.783, 0.995, 14.976, 1.920),
    "gcn1": (14.156, 0.995, 19.661, 1.920),
    "gcn3": (29.491, 1.991, 40.960, 3.840),
    "gcn4": (28.312, 0.995, 39.322, 1.920),
    "gcn6": (58.982, 1.991, 81.920, 3.840),
    "gcn8": (56.623, 0.995, 78.643, 1.920),
}


@pytest.mark.parametrize(
    ("layout", "column", "total"), [(OPENPOSE18, 0, 308.39), (NTU25, 2, 434.23)]
)
def test_macs_of_units_per_person(layout, column, total):
    counts = macs_of(ModelConfig(system="skeleton"), ClipSize(persons=1), layout)
    for name, table in UNIT_MACS.items():
        prefix = f"skeleton.units.{name}."
        unit = sum(n for key, n in counts.items() if key.startswith(prefix))
        assert unit / 1e6 == pytest.approx(sum(table[column : column + 2]), abs=1.1e-3)
    assert counts["skeleton"] / 1e6 == pytest.approx(total, abs=0.005)


CONTEXT_MACS = {
    "conv1": 3304.39,
    "layer1.0.conv1": 25.69, "layer1.0.conv2": 693.63, "layer1.0.conv3": 102.76,
    "layer1.0.shortcut.0": 102.76,
    "layer1.2.conv1": 102.76, "layer1.2.conv2": 693.63, "layer1.2.conv3": 102.76,
    "layer2.0.0.conv1": 205.52, "layer2.0.0.conv2": 346.82, "layer2.0.0.conv3": 51.38,
    "layer2.0.0.shortcut.0": 102.76,
    "layer2.0.3.conv1": 51.38, "layer2.0.3.conv2": 346.82, "layer2.0.3.conv3": 51.38,
}  # fmt: skip


def test_macs_of_the_context_branch_by_layer():
    counts = macs_of(ModelConfig(system="rgb"))
    for name, millions in CONTEXT_MACS.items():
        assert counts[f"context.{name}"] / 1e6 == pytest.approx(millions, abs=0.005), name


@pytest.mark.parametrize(("unit", "type_b", "type_a"), [
    ("gcn6", 8.083, 7.877), ("gcn3", 9.932, 9.624), ("gcn0", 16.560, 15.944),
])  # fmt: skip
def test_macs_of_the_context_branch_by_place(unit, type_b, type_a):
    for shortcut, expected in (("B", type_b), ("A", type_a)):
        config = ModelConfig(attach=(unit,), shortcut=shortcut)
        found = macs_of(config)["context"] / 1e9
        assert found == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(
    ("config", "giga", "tolerance"),
    [
        (ModelConfig(system="skeleton"), 0.617, 6e-4),
        (ModelConfig(system="rgb"), 8.083, 6e-4),
        (ModelConfig(system="concat"), 8.700, 6e-4),
        (ModelConfig(), 8.888, 6e-4),
        (cross(form="naive"), 17.043, 1.1e-3),
        (cross(("gcn3",)), 10.84, 0.01),
        (cross(("gcn0",)), 17.68, 0.01),
    ],
)
def test_macs_of_whole_systems(config, giga, tolerance):
    assert macs_of(config)["total"] / 1e9 == pytest.approx(giga, abs=tolerance)


@pytest.mark.parametrize(("align", "giga"), [("avgpool", 9.93), ("repeat", 8.08), ("dual", 11.99)])
def test_macs_of_the_context_shared_by_two_modules(align, giga):
    config = ModelConfig(attach=("gcn3", "gcn6"), context_align=align)
    assert macs_of(config)["context"] / 1e9 == pytest.approx(giga, abs=5e-3)


SCORE_MACS = {
    ("dot", "mean"): 384 * (144 * 256 + 4 * 512 + 144),
    ("dot", "max"): 384 * (144 * 256 + 784 * 512 + 144 * 196),
    ("mlp1", "mean"): 144 * 256 + 4 * 512,
    ("mlp1", "max"): 144 * 256 + 784 * 512,
    ("mlp2", "mean"): 384 * (144 * 256 + 784 * 512 + 144 * 196 + 144),
    ("mlp2", "max"): 384 * (144 * 256 + 784 * 512 + 2 * 144 * 196),
}


@pytest.mark.parametrize(("score", "reduce"), SCORE_MACS)
def test_macs_of_scores_by_hand(score, reduce):
    # 144 joints (2 persons, 4 frames, 18), 784 places (4 frames, 14 x 14), z = 384.
    with torch.device("meta"):
        attention = CrossAttention(256, 512, AttentionConfig(score=score, reduce=reduce))
        v, context = torch.empty(1, 256, 4, 18, 2), torch.empty(1, 512, 4, 14, 14)
    counts = count_module_macs(attention, lambda: attention(v, context))
    assert counts == {"self_gate": 144 * 256 * 256, "score": SCORE_MACS[score, reduce]}


def test_pooled_context_costs_far_less():
    spatial = macs_of(cross())["attention"]
    assert macs_of(cross(context_k="pooled"))["attention"] < spatial / 7


def test_macs_grow_with_the_clip():
    config = ModelConfig()
    once = macs_of(config, ClipSize(16, 32))
    twice = macs_of(config, ClipSize(32, 32))
    assert twice["skeleton"] == 2 * once["skeleton"]
    assert twice["context"] == 2 * once["context"]
    assert twice["head"] == once["head"] == 256 * 30


@pytest.mark.parametrize("system", ["skeleton", "cross-attention"])
def test_macs_of_the_adaptive_backbone_exceed_the_plain_one(system):
    plain, adaptive = (
        macs_of(ModelConfig(system=system, backbone=name))["skeleton"] for name in ("stgcn", "agcn")
    )
    assert plain < adaptive < 2 * plain


def test_macs_with_a_context_computed_beforehand():
    config = ModelConfig(context_channels=512)
    counts = macs_of(config, ClipSize(places=196))
    assert counts["context"] == 0
    assert counts["attention"] == macs_of(ModelConfig())["attention"]
