import pytest
import torch

from train.model_config import AttentionConfig
from train.models.scores import SCORES, choose_form, hidden_width, sorted_relu_mean

CASES = [
    ("dot", "mean", "factored"),
    ("dot", "max", "factored"),
    ("mlp1", "mean", "factored"),
    ("mlp1", "max", "factored"),
    ("mlp2", "mean", "factored"),
    ("mlp2", "mean", "sorted"),
    ("mlp2", "max", "factored"),
    ("mlp2", "max", "argmax"),
]
B, D, M, T, R, K = 2, 5, 8, 3, 6, 11


def score_of(kind, reduce, form="auto", **config):
    return SCORES[kind](D, M, AttentionConfig(score=kind, reduce=reduce, form=form, **config))


def with_gradients(score, v, a, upstream):
    score.zero_grad()
    v, a = v.clone().requires_grad_(), a.clone().requires_grad_()
    out = score(v, a)
    (out * upstream).sum().backward()
    return [out.detach(), v.grad, a.grad, *(p.grad for p in score.parameters())]


@pytest.mark.parametrize(("kind", "reduce", "form"), CASES)
def test_forms_equal_the_naive_form_with_gradients(kind, reduce, form):
    naive = score_of(kind, reduce, "naive").double()
    fast = score_of(kind, reduce, form).double()
    fast.load_state_dict(naive.state_dict())
    v, a, upstream = (torch.randn(s).double() for s in ((B, D, T, R), (B, M, T, K), (B, T, R)))
    for ours, reference in zip(
        with_gradients(fast, v, a, upstream), with_gradients(naive, v, a, upstream), strict=True
    ):
        torch.testing.assert_close(ours, reference, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("kind", "reduce", "form"), CASES)
def test_forms_equal_the_naive_form_in_float32(kind, reduce, form):
    naive, fast = score_of(kind, reduce, "naive"), score_of(kind, reduce, form)
    fast.load_state_dict(naive.state_dict())
    v, a = torch.randn(B, D, T, R), torch.randn(B, M, T, K)
    torch.testing.assert_close(fast(v, a), naive(v, a), rtol=0, atol=1e-6)


def test_two_layer_score_by_hand():
    score = SCORES["mlp2"](1, 1, AttentionConfig(form="naive"))
    score.load_state_dict(
        {
            "hidden.weight": torch.tensor([[2.0, -1.0]]),
            "hidden.bias": torch.tensor([0.5]),
            "output.weight": torch.tensor([[3.0]]),
            "output.bias": torch.tensor([-1.0]),
        }
    )
    v, a = torch.tensor([1.0]).view(1, 1, 1, 1), torch.tensor([2.0, 4.0]).view(1, 1, 1, 2)
    # relu(2 - 2 + .5) = .5 and relu(2 - 4 + .5) = 0: the mean of 3 h - 1 is -.25.
    assert score(v, a).item() == pytest.approx(-0.25)


def test_dot_score_by_hand():
    for scale, expected in (("none", 8.0), ("sqrt_z", 8 / 2**0.5)):
        score = SCORES["dot"](1, 2, AttentionConfig(score="dot", dot_scale=scale))
        score.load_state_dict(
            {
                "theta.weight": torch.tensor([[1.0], [2.0]]),
                "theta.bias": torch.tensor([0.0, 1.0]),
                "phi.weight": torch.eye(2),
                "phi.bias": torch.zeros(2),
            }
        )
        # theta(1) = (1, 3); the mean of the two places is (2, 2).
        v, a = torch.ones(1, 1, 1, 1), torch.tensor([[1.0, 3.0], [4.0, 0.0]]).view(1, 2, 1, 2)
        assert score(v, a).item() == pytest.approx(expected)


def test_sorted_mean_by_hand():
    p, q = torch.tensor([0.0, 2.0, -5.0]), torch.tensor([-1.0, 1.0, 3.0])
    assert sorted_relu_mean(p, q).tolist() == pytest.approx([4 / 3, 3.0, 0.0])


def test_sorted_mean_has_zero_slope_at_the_kink_as_relu():
    p = torch.tensor([1.0], requires_grad=True)
    q = torch.tensor([-1.0, -1.0], requires_grad=True)
    sorted_relu_mean(p, q).sum().backward()
    assert p.grad.tolist() == [0.0]
    assert q.grad.tolist() == [0.0, 0.0]


def test_sorted_mean_of_ties_and_duplicates():
    p, q = torch.randint(-3, 4, (7, 5)).double(), torch.randint(-3, 4, (7, 9)).double()
    expected = (p[:, :, None] + q[:, None, :]).relu().mean(2)
    torch.testing.assert_close(sorted_relu_mean(p, q), expected, rtol=0, atol=1e-12)


def test_sorted_mean_gradient_is_exact():
    p, q = torch.randn(3, 4).double().requires_grad_(), torch.randn(3, 6).double().requires_grad_()
    assert torch.autograd.gradcheck(sorted_relu_mean, (p, q))


def test_sorted_mean_computes_half_precision_in_float32():
    p, q = torch.randn(4, 3).bfloat16(), torch.randn(4, 196).bfloat16()
    expected = (p.float()[:, :, None] + q.float()[:, None, :]).relu().mean(2)
    torch.testing.assert_close(sorted_relu_mean(p, q), expected, rtol=1e-5, atol=1e-6)


def test_argmax_form_agrees_when_chunked(monkeypatch):
    naive, fast = score_of("mlp2", "max", "naive"), score_of("mlp2", "max", "argmax")
    fast.load_state_dict(naive.state_dict())
    v, a = torch.randn(B, D, T, R), torch.randn(B, M, T, K)
    monkeypatch.setattr("train.models.scores.CHUNK_ELEMENTS", 1)
    torch.testing.assert_close(fast(v, a), naive(v, a), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "reduce", "device", "form"),
    [
        ("mlp2", "mean", "cpu", "sorted"),
        ("mlp2", "max", "cpu", "argmax"),
        ("mlp2", "mean", "meta", "factored"),
        ("mlp1", "mean", "cpu", "factored"),
        ("dot", "max", "cpu", "factored"),
    ],
)
def test_automatic_choice_of_form(kind, reduce, device, form):
    assert choose_form("auto", kind, reduce, torch.device(device)) == form


def test_no_form_but_the_naive_concatenates(monkeypatch):
    def refuse(*_):
        raise AssertionError("concatenated")

    monkeypatch.setattr("train.models.scores.concatenate_pairs", refuse)
    v, a = torch.randn(B, D, T, R), torch.randn(B, M, T, K)
    for kind, reduce, form in CASES:
        score_of(kind, reduce, form)(v, a)
    with pytest.raises(AssertionError, match="concatenated"):
        score_of("mlp2", "mean", "naive")(v, a)


@pytest.mark.parametrize(("d", "z"), [(64, 288), (128, 320), (256, 384), (1, 257)])
def test_hidden_width_is_half_rounded_up(d, z):
    assert hidden_width(d, 512) == z
