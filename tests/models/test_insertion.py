import pytest
import torch
from torch import nn

from train.models import CrossAttention, ModelConfig, build_model, insert_after

AGCN = ModelConfig(system="skeleton", backbone="agcn", stages=(1, 1, 1), width=4)


class ForeignNetwork(nn.Module):
    """Somebody's network: no graph, no names of ours, persons on the last axis."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv3d(2, 6, (3, 1, 1), padding=(1, 0, 0))
        self.blocks = nn.Sequential(nn.Conv3d(6, 6, 1), nn.Tanh())
        self.classify = nn.Linear(6, 3)

    def forward(self, x):
        return self.classify(self.blocks(self.stem(x)).mean((2, 3, 4)))


class PairNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.recurrent = nn.GRU(2, 3)

    def forward(self, x):
        return self.recurrent(x)[0]


def test_attention_behind_a_unit_of_the_adaptive_backbone(openpose):
    model = build_model(AGCN, openpose, 5)
    insertion = insert_after(model, "skeleton.units.gcn2", CrossAttention(16, 7))
    joints, context = torch.randn(2, 3, 16, 18, 2), torch.randn(2, 7, 4, 3, 3)
    with insertion.use(context):
        logits = model(joints)
    logits.sum().backward()
    assert logits.shape == (2, 5)
    assert all(p.grad is not None for p in insertion.attention.parameters())


def test_insertion_equals_the_attention_built_into_the_network(openpose):
    built = build_model(
        ModelConfig(stages=(1, 1, 1), width=4, attach=("gcn1",), context_channels=7), openpose, 5
    ).eval()
    bare = build_model(
        ModelConfig(system="skeleton", stages=(1, 1, 1), width=4), openpose, 5
    ).eval()  # fmt: skip
    bare.skeleton.load_state_dict(built.skeleton.state_dict())
    bare.head.load_state_dict(built.head.state_dict())
    insertion = insert_after(bare, "skeleton.units.gcn1", built.attention["gcn1"])
    joints, context = torch.randn(2, 3, 16, 18, 2), torch.randn(2, 16, 5, 7)
    with insertion.use(context):
        assert torch.equal(bare(joints), built(joints, context=context))


@pytest.mark.parametrize("layer", ["stem", "blocks", "blocks.0", "blocks.1"])
def test_attention_in_a_foreign_network(layer):
    network = ForeignNetwork()
    x, context = torch.randn(2, 2, 8, 5, 2), torch.randn(2, 4, 8, 3, 3)
    before = network(x)
    insertion = insert_after(network, layer, CrossAttention(6, 4))
    with insertion.use(context):
        after = network(x)
    assert after.shape == before.shape
    assert not torch.allclose(after, before)


def test_inserted_parameters_are_trained_and_saved_with_the_network():
    network, attention = ForeignNetwork(), CrossAttention(6, 4)
    insert_after(network, "blocks", attention)
    held = {id(p) for p in network.parameters()}
    assert {id(p) for p in attention.parameters()} <= held
    assert "attention_after_blocks.score.hidden.weight" in network.state_dict()


def test_context_is_brought_to_the_frames_of_the_layer():
    network, x = ForeignNetwork(), torch.randn(2, 2, 8, 5, 2)
    insertion = insert_after(network, "blocks", CrossAttention(6, 4))
    context = torch.randn(2, 4, 16, 3, 3)
    with insertion.use(context):
        long = network(x)
    with insertion.use(context.unflatten(2, (8, 2)).mean(3)):
        torch.testing.assert_close(network(x), long)


def test_removing_leaves_the_network_as_before():
    network, x = ForeignNetwork(), torch.randn(2, 2, 8, 5, 2)
    before, names = network(x), list(network.state_dict())
    insert_after(network, "blocks", CrossAttention(6, 4)).remove()
    assert torch.equal(network(x), before)
    assert list(network.state_dict()) == names


def test_two_insertions_stand_beside_each_other():
    network, x = ForeignNetwork(), torch.randn(2, 2, 8, 5, 2)
    insertions = [insert_after(network, n, CrossAttention(6, 4)) for n in ("stem", "blocks")]
    context = torch.randn(2, 4, 8, 3, 3)
    with insertions[0].use(context), insertions[1].use(context):
        assert network(x).shape == (2, 3)


def test_forward_without_context_names_the_layer():
    network = ForeignNetwork()
    insertion = insert_after(network, "blocks", CrossAttention(6, 4))
    x = torch.randn(2, 2, 8, 5, 2)
    with insertion.use(torch.randn(2, 4, 8, 1, 1)):
        network(x)
    with pytest.raises(ValueError, match="no context for the attention after layer 'blocks'"):
        network(x)


def test_unknown_layer_is_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match=r"no layer is called 'block'; there are: stem, blocks"):
        insert_after(ForeignNetwork(), "block", CrossAttention(6, 4))


def test_second_attention_after_the_same_layer_is_refused():
    network = ForeignNetwork()
    insert_after(network, "blocks", CrossAttention(6, 4))
    with pytest.raises(ValueError, match="already follows layer 'blocks'"):
        insert_after(network, "blocks", CrossAttention(6, 4))


def test_layer_that_yields_no_tensor_is_refused():
    network = PairNetwork()
    insertion = insert_after(network, "recurrent", CrossAttention(3, 4))
    with (
        insertion.use(torch.zeros(1, 4, 1, 1, 1)),
        pytest.raises(ValueError, match="yields a tuple"),
    ):
        network(torch.zeros(1, 1, 2))
