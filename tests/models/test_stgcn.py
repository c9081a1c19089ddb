import pytest
import torch
from torch import nn

from train.model_config import unit_names
from train.models import ModelConfig, count_parameters
from train.models.stgcn import (
    GraphConvolution,
    Unit,
    UnitShape,
    build_stgcn,
    list_unit_shapes,
    pool_persons,
)


def branch_of(graph, **changes):
    adjacency = torch.tensor(graph.adjacency(), dtype=torch.float32)
    return build_stgcn(ModelConfig(system="skeleton", **changes), adjacency)


def test_graph_convolution_sums_sources_into_targets():
    adjacency = torch.rand(3, 4, 4, dtype=torch.float64)
    layer = GraphConvolution(2, 3, adjacency).double()
    nn.init.normal_(layer.edge_importance)
    x = torch.randn(2, 2, 5, 4, dtype=torch.float64)
    mixed = layer.conv(x)
    expected = torch.zeros(2, 3, 5, 4, dtype=torch.float64)
    for k in range(3):
        for w in range(4):
            for v in range(4):
                weight = adjacency[k, v, w] * layer.edge_importance[k, v, w]
                expected[..., w] += mixed[:, 3 * k : 3 * k + 3, :, v] * weight
    torch.testing.assert_close(layer(x), expected)


def test_graph_convolution_without_edge_importance_has_only_its_convolution():
    layer = GraphConvolution(2, 3, torch.eye(4).repeat(3, 1, 1), edge_importance=False)
    assert count_parameters(layer) == 2 * 9 + 9


def test_paper_layout_of_units():
    shapes = list_unit_shapes(3, 64, (3, 3, 3))
    assert [(s.in_channels, s.out_channels, s.stride) for s in shapes] == [
        (3, 64, 1), (64, 64, 1), (64, 64, 1),
        (64, 128, 2), (128, 128, 1), (128, 128, 1),
        (128, 256, 2), (256, 256, 1), (256, 256, 1),
    ]  # fmt: skip
    assert [s.residual for s in shapes] == [False] + [True] * 8


def test_release_layout_has_ten_units_with_strides_at_four_and_seven():
    strides = [s.stride for s in list_unit_shapes(3, 64, (4, 3, 3))]
    assert strides == [1, 1, 1, 1, 2, 1, 1, 2, 1, 1]


UNIT_PARAMETERS = dict(
    zip(
        unit_names((3, 3, 3)),
        (37_952, 49_664, 49_664, 181_632, 197_632, 197_632, 723_712, 788_480, 788_480),
        strict=True,
    )
)


def test_parameters_of_every_unit(openpose):
    with torch.device("meta"):
        branch = branch_of(openpose, edge_importance=False)
    assert {n: count_parameters(u) for n, u in branch.units.items()} == UNIT_PARAMETERS
    assert sum(UNIT_PARAMETERS.values()) == 3_014_848


@pytest.mark.parametrize(("name", "data_norm", "importance"), [
    ("openpose", 108, 8_748), ("ntu", 150, 16_875),
])  # fmt: skip
def test_parameters_around_the_units(request, name, data_norm, importance):
    with torch.device("meta"):
        branch = branch_of(request.getfixturevalue(name))
    assert count_parameters(branch.data_norm) == data_norm
    assert count_parameters(branch) == 3_014_848 + data_norm + importance


@pytest.mark.parametrize(("name", "n_joints"), [("openpose", 18), ("ntu", 25)])
def test_shapes_after_every_unit(request, name, n_joints):
    with torch.device("meta"):
        branch = branch_of(request.getfixturevalue(name))
        x = branch.fold_persons(torch.empty(2, 3, 16, n_joints, 2))
        shapes = []
        for unit in branch.units.values():
            x = unit(x)
            shapes.append(tuple(x.shape))
    frames_channels = [(16, 64)] * 3 + [(8, 128)] * 3 + [(4, 256)] * 3
    assert shapes == [(4, c, t, n_joints) for t, c in frames_channels]


def test_unit_without_residual_ignores_its_input_beyond_the_path():
    unit = Unit(UnitShape(2, 2, residual=False), lambda i, o: nn.Conv2d(i, o, 1)).eval()
    nn.init.zeros_(unit.time.weight)
    nn.init.ones_(unit.time.bias)
    assert torch.allclose(unit(torch.randn(1, 2, 4, 3)), torch.ones(()), atol=1e-5)


def test_identity_residual_passes_positive_input_through():
    unit = Unit(UnitShape(2, 2), lambda i, o: nn.Conv2d(i, o, 1)).eval()
    nn.init.zeros_(unit.time.weight)
    nn.init.zeros_(unit.time.bias)
    x = torch.rand(1, 2, 4, 3)
    torch.testing.assert_close(unit(x), x)


def test_temporal_convolution_sees_four_frames_each_way():
    unit = Unit(UnitShape(1, 1, residual=False), lambda i, o: nn.Identity()).eval()
    nn.init.ones_(unit.time.weight)
    nn.init.zeros_(unit.time.bias)
    x = torch.zeros(1, 1, 16, 1)
    x[0, 0, 8] = 1
    seen = unit(x)[0, 0, :, 0].nonzero().flatten().tolist()
    assert seen == list(range(4, 13))


def test_dropout_spares_the_first_unit(openpose):
    branch = branch_of(openpose, width=4, dropout=0.5)
    assert [unit.dropout.p for unit in branch.units.values()] == [0.0] + [0.5] * 8


def test_data_norm_is_joint_major_and_shared_by_persons(openpose):
    branch = branch_of(openpose, width=4).eval()
    scale = torch.arange(54, dtype=torch.float32)
    branch.data_norm.weight.data.copy_(scale)
    joints = torch.ones(1, 3, 2, 18, 2)
    folded = branch.fold_persons(joints)
    assert folded.shape == (2, 3, 2, 18)
    torch.testing.assert_close(folded[1, 2, 0, 5], torch.tensor(3.0 * 5 + 2), rtol=1e-4, atol=0)
    torch.testing.assert_close(folded[0], folded[1])


def test_absent_person_halves_the_mean_unless_masked():
    features = torch.stack([torch.full((1, 2, 3), 4.0), torch.zeros(1, 2, 3)])
    assert pool_persons(features, 2).item() == 2.0
    per_frame = torch.tensor([[[True, False], [False, False]]])
    assert pool_persons(features, 2, per_frame).item() == 4.0
    assert pool_persons(features, 2, torch.tensor([[True, False]])).item() == 4.0


def test_clip_without_anyone_keeps_the_plain_mean():
    features = torch.stack([torch.full((1, 2, 3), 4.0), torch.zeros(1, 2, 3)])
    assert pool_persons(features, 2, torch.zeros(1, 2, dtype=torch.bool)).item() == 2.0


def test_wrong_joint_count_is_refused(openpose):
    with pytest.raises(ValueError, match=r"joints must be \(N, 3, T, 18, M\)"):
        branch_of(openpose, width=2)(torch.zeros(1, 3, 4, 25, 2))


def test_branch_keeps_persons_apart(openpose):
    branch = branch_of(openpose, width=2, stages=(1, 1)).eval()
    joints = torch.randn(2, 3, 8, 18, 2)
    out = branch(joints)
    assert out.shape == (2, 2, 4, 4, 18)
    changed = joints.clone()
    changed[0, ..., 1] += 1
    moved = (branch(changed) - out).abs().amax((2, 3, 4))
    assert (moved > 0).tolist() == [[False, True], [False, False]]
