import torch
from torch import nn

from train.models import ModelConfig, build_model
from train.models.agcn import AdaptiveGraphConvolution


def layer_of(in_channels=4, out_channels=8, joints=5):
    return AdaptiveGraphConvolution(in_channels, out_channels, torch.rand(3, joints, joints))


def test_similarity_weights_sum_to_one_over_the_sources():
    weights = layer_of().similarity(torch.randn(2, 4, 6, 5))
    assert weights.shape == (2, 3, 5, 5)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 3, 5))


def test_similarity_by_hand():
    layer = AdaptiveGraphConvolution(1, 4, torch.zeros(1, 2, 2))
    for conv in (layer.source, layer.target):
        nn.init.ones_(conv.weight)
        nn.init.zeros_(conv.bias)
    x = torch.tensor([1.0, 2.0]).view(1, 1, 1, 2)
    # Products x_v x_w: column 0 is (1, 2), column 1 is (2, 4).
    expected = torch.stack([torch.tensor([1.0, 2.0]), torch.tensor([2.0, 4.0])], 1).softmax(0)
    torch.testing.assert_close(layer.similarity(x)[0, 0], expected)


def test_output_is_the_sum_over_given_learnt_and_similar_edges():
    layer = layer_of().double()
    nn.init.normal_(layer.learnt)
    x = torch.randn(2, 4, 6, 5).double()
    weights = layer.adjacency + layer.learnt + layer.similarity(x)
    parts = layer.conv(x).view(2, 3, 8, 6, 5)
    expected = layer.shortcut(x)
    for k in range(3):
        expected = expected + parts[:, k] @ weights[:, k].unsqueeze(1)
    torch.testing.assert_close(layer(x), expected)


def test_equal_channels_pass_the_input_through():
    layer = layer_of(4, 4)
    nn.init.zeros_(layer.conv.weight)
    nn.init.zeros_(layer.conv.bias)
    x = torch.randn(1, 4, 2, 5)
    torch.testing.assert_close(layer(x), x)


def test_free_edges_start_at_zero(openpose):
    config = ModelConfig(system="skeleton", backbone="agcn", width=4)
    model = build_model(config, openpose, 3)
    learnt = [p for name, p in model.named_parameters() if name.endswith("learnt")]
    assert len(learnt) == 9
    assert not any(p.any() for p in learnt)
