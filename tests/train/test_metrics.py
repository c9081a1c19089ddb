import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from train.batch import Batch
from train.data_config import DataConfig
from train.distributed import World
from train.metrics import Tally, measure_batch, rank_labels
from train.scoring import Forward, SampleScores, score_samples, tally_scores


@pytest.mark.parametrize(
    ("scores", "label", "place"),
    [
        ([0.1, 0.9, 0.5], 1, 1),
        ([0.1, 0.9, 0.5], 2, 2),
        ([0.1, 0.9, 0.5], 0, 3),
        ([0.5, 0.5, 0.5], 0, 3),
        ([0.5, 0.5, 0.1], 0, 2),
        ([float("nan")] * 3, 0, 3),
        ([1.0, float("nan"), 0.0], 0, 2),
    ],
)
def test_place_of_the_true_class(scores, label, place):
    assert rank_labels(torch.tensor([scores]), torch.tensor([label])).tolist() == [place]


@given(st.integers(1, 12), st.integers(0, 10_000))
def test_places_agree_with_topk(n_classes, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(8, n_classes, generator=generator)
    labels = torch.randint(n_classes, (8,), generator=generator)
    k = min(5, n_classes)
    expected = (scores.topk(k).indices == labels[:, None]).any(1)
    assert torch.equal(rank_labels(scores, labels) <= k, expected)


def test_padding_adds_nothing_even_when_it_is_no_number():
    scores = torch.tensor([[2.0, 1, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5]])
    losses = torch.tensor([0.5, float("nan")])
    sums = measure_batch(scores, torch.tensor([1, 5]), torch.tensor([1.0, 0]), losses)
    assert sums.tolist() == [1, 0.5, 0, 1]


def test_tally_adds_up_to_means():
    tally = Tally()
    tally.add([3, 6.0, 1, 2], planned=3)
    tally.add([1, 2.0, 1, 1], planned=2)
    assert tally.skipped == 1
    assert tally.means() == {"loss": 2.0, "top1": 0.5, "top5": 0.75}
    assert Tally().means() == {}


def test_speed_counts_clips_and_waiting():
    tally = Tally(weight=64)
    tally.spend(3.0, 1.0)
    tally.spend(1.0, 0.0)
    assert tally.speed() == {"clips_per_s": 16, "data_wait": 0.25}


class Echo(torch.nn.Module):
    """Takes the joints for logits."""

    def forward(self, joints, rgb, context, present):
        return joints


def batch_of(logits, samples, labels):
    n = len(samples)
    return Batch(
        joints=torch.tensor(logits),
        present=torch.ones(n, 1, 1, dtype=torch.bool),
        label=torch.tensor(labels),
        sample=torch.tensor(samples),
        clip=torch.zeros(n, dtype=torch.int64),
        weight=torch.ones(n),
    )


BATCHES = (
    batch_of([[0.0, 0.0], [2.0, 0.0]], [7, 3], [1, 0]),
    batch_of([[0.0, 4.0]], [7], [1]),
)
FORWARD = Forward(torch.device("cpu"), DataConfig())


def test_clips_of_a_sample_are_averaged_over_batches():
    scored = score_samples(FORWARD, Echo(), BATCHES, "logits")
    assert scored.sample.tolist() == [3, 7]
    assert scored.label.tolist() == [0, 1]
    assert scored.scores.tolist() == [[2.0, 0.0], [0.0, 2.0]]


def test_probabilities_are_averaged_by_default():
    scored = score_samples(FORWARD, Echo(), BATCHES)
    share = 1 / (1 + torch.tensor(4.0).exp())
    torch.testing.assert_close(scored.scores[1, 0], (0.5 + share) / 2)


def test_scoring_leaves_the_network_in_its_mode():
    model = Echo().train()
    score_samples(FORWARD, model, BATCHES)
    assert model.training


def test_an_unknown_average_is_refused():
    with pytest.raises(ValueError, match="average must be one of softmax, logits"):
        score_samples(FORWARD, Echo(), BATCHES, "median")


def test_scores_are_measured_once_a_sample():
    scored = SampleScores(
        torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([[0.5, 0.25, 0.25], [1.0, 0, 0]])
    )
    means = tally_scores(scored, World()).means()
    assert (means["top1"], means["top5"]) == (0.5, 1.0)
    tiny = torch.finfo(torch.float32).tiny
    expected = (torch.tensor([0.5, tiny]).log().mean() * -1).item()
    assert means["loss"] == pytest.approx(expected)


def test_no_samples_give_no_means():
    assert tally_scores(score_samples(FORWARD, Echo(), ()), World()).means() == {}
