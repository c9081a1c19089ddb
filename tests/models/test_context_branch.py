import pytest
import torch
from torch import nn

from train.models import count_parameters
from train.models.context import ContextBranch, ContextShape, ZeroPadShortcut, choose_strides


def meta_branch(**shape):
    with torch.device("meta"):
        return ContextBranch(ContextShape(**shape))


@pytest.mark.parametrize(
    ("shortcut", "layer1", "layer2", "total"),
    [
        ("B", (148_736, 144_128, 144_128), (674_304, 574_976, 574_976, 574_976), 2_902_208),
        ("A", (131_840, 144_128, 144_128), (542_208, 574_976, 574_976, 574_976), 2_753_216),
    ],
)
def test_parameters_by_block(shortcut, layer1, layer2, total):
    branch = meta_branch(shortcut=shortcut)
    assert (count_parameters(branch.conv1), count_parameters(branch.norm1)) == (65_856, 128)
    assert tuple(count_parameters(block) for block in branch.layer1) == layer1
    assert tuple(count_parameters(block) for block in branch.layer2[0]) == layer2
    assert count_parameters(branch) == total


@pytest.mark.parametrize(("stride", "frames"), [(4, 4), (2, 8), (1, 16)])
def test_temporal_stride_leaves_parameters_and_changes_frames(stride, frames):
    branch = meta_branch(strides=(stride,))
    assert count_parameters(branch) == 2_902_208
    (out,) = branch(torch.empty(1, 3, 16, 112, 112, device="meta"))
    assert out.shape == (1, 512, frames, 14, 14)


@pytest.mark.parametrize(("pixels", "side"), [(64, 8), (56, 7), (48, 6), (32, 4), (16, 2)])
def test_other_picture_sizes(pixels, side):
    (out,) = meta_branch()(torch.empty(2, 3, 32, pixels, pixels, device="meta"))
    assert out.shape == (2, 512, 8, side, side)


def test_shapes_inside_the_branch():
    branch = meta_branch()
    shapes = {}
    for name in ("conv1", "pool", "layer1"):
        module = getattr(branch, name)
        module.register_forward_hook(lambda m, i, o, name=name: shapes.update({name: o.shape[1:]}))
    branch(torch.empty(1, 3, 16, 112, 112, device="meta"))
    assert shapes == {
        "conv1": (64, 16, 56, 56),
        "pool": (64, 8, 28, 28),
        "layer1": (256, 8, 28, 28),
    }


def test_dual_shares_the_trunk_and_doubles_layer2():
    branch = meta_branch(strides=(2, 4))
    assert count_parameters(branch) == 2_902_208 + 2_399_232
    outs = branch(torch.empty(1, 3, 16, 112, 112, device="meta"))
    assert [out.shape[2] for out in outs] == [8, 4]


def test_zero_pad_shortcut_keeps_every_second_and_pads_channels():
    x = torch.arange(2 * 4 * 2 * 2, dtype=torch.float32).reshape(1, 2, 4, 2, 2)
    out = ZeroPadShortcut(3, (2, 2, 2))(x)
    assert out.shape == (1, 3, 2, 1, 1)
    assert out[0, :, :, 0, 0].tolist() == [[0.0, 8.0], [16.0, 24.0], [0.0, 0.0]]


def test_gradient_flows_through_the_type_a_shortcut():
    x = torch.randn(1, 2, 2, 2, 2, requires_grad=True)
    ZeroPadShortcut(4, (1, 1, 1))(x).sum().backward()
    assert torch.equal(x.grad, torch.ones_like(x))


def test_stride_sits_on_the_middle_convolution_and_the_shortcut():
    block = meta_branch().layer2[0][0]
    assert block.conv1.stride == (1, 1, 1)
    assert block.conv2.stride == block.shortcut[0].stride == (2, 2, 2)


def test_convolutions_have_no_bias():
    convs = [m for m in meta_branch().modules() if isinstance(m, nn.Conv3d)]
    assert len(convs) == 24
    assert all(conv.bias is None for conv in convs)


def test_scaling_the_picture_changes_nothing_in_training():
    branch = ContextBranch(ContextShape(width=4, blocks=(1, 1)))
    rgb = torch.randn(2, 3, 8, 32, 32)
    (small,), (large,) = branch(rgb), branch(255 * rgb)
    # Only the epsilon of the batch norm after conv1 tells them apart.
    torch.testing.assert_close(small, large, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("wanted", "align", "strides"),
    [
        ({4}, "avgpool", (4,)),
        ({1}, "repeat", (1,)),
        ({2, 4}, "avgpool", (2,)),
        ({2, 4}, "repeat", (4,)),
        ({2, 4}, "dual", (2, 4)),
        ({8}, "avgpool", (4,)),
    ],
)
def test_choice_of_strides(wanted, align, strides):
    assert choose_strides(wanted, align) == strides


@pytest.mark.parametrize("strides", [(), (1, 4), (3,), (2, 2)])
def test_impossible_strides_are_refused(strides):
    with pytest.raises(ValueError, match="temporal strides"):
        ContextShape(strides=strides)
