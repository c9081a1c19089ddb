import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from train.optimiser import build_optimiser, list_exempt, set_rate, update_average
from train.schedule import OptimConfig, rate_factor, scale_rate


@pytest.mark.parametrize(("clips", "rate"), [(128, 0.1), (64, 0.05), (1024, 0.8), (32, 0.025)])
def test_rate_grows_with_the_clips_of_a_step(clips, rate):
    assert scale_rate(OptimConfig(), clips) == pytest.approx(rate)


def test_rate_is_as_given_without_scaling():
    assert scale_rate(OptimConfig(scale_lr=False), 16) == 0.1


@pytest.mark.parametrize(
    ("epoch", "factor"),
    [(0, 1), (79, 1), (80, 0.1), (159, 0.1), (160, 0.01), (240, 1e-3), (259, 1e-3)],
)
def test_paper_divides_the_rate_by_ten_every_80_epochs(epoch, factor):
    for step in (epoch * 315, epoch * 315 + 314):
        assert rate_factor(OptimConfig(), step, 315) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("step", "factor"), [(0, 1 / 20), (9, 0.5), (19, 1), (20, 1), (29, 1), (30, 0.1)]
)
def test_warmup_grows_linearly_to_the_full_rate(step, factor):
    config = OptimConfig(warmup_epochs=2, milestones=(3,))
    assert rate_factor(config, step, 10) == pytest.approx(factor)


@pytest.mark.parametrize("n_steps", [10, 97, 500])
def test_onecycle_is_that_of_torch(n_steps):
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=0.03, total_steps=n_steps, cycle_momentum=False
    )
    config = OptimConfig(schedule="onecycle", epochs=1)
    for step in range(n_steps):
        ours = 0.03 * rate_factor(config, step, n_steps)
        assert ours == pytest.approx(optimiser.param_groups[0]["lr"], rel=1e-6, abs=1e-9)
        optimiser.step()
        if step + 1 < n_steps:
            reference.step()


@given(
    schedule=st.sampled_from(["milestones", "onecycle"]),
    epochs=st.integers(1, 20),
    n_steps=st.integers(1, 20),
    rise=st.floats(0, 0.99),
)
def test_every_rate_is_positive_and_none_above_the_peak(schedule, epochs, n_steps, rise):
    config = OptimConfig(schedule=schedule, epochs=epochs, rise_share=rise)
    factors = [rate_factor(config, step, n_steps) for step in range(epochs * n_steps)]
    assert all(0 < factor <= 1 for factor in factors)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "cosine"}, "schedule must be one of"),
        ({"lr": 0}, "lr positive"),
        ({"lr": float("nan")}, "lr positive"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"momentum": 1.0}, "momentum must be in"),
        ({"clip": -1}, "clip must not be negative"),
        ({"nesterov": True, "dampening": 0.9}, "nesterov needs momentum"),
        ({"schedule": "onecycle", "warmup_epochs": 5}, "onecycle has its own rise"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        OptimConfig(**changes)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 2, 1)
        self.norm = torch.nn.BatchNorm2d(2)
        self.edge_importance = torch.nn.Parameter(torch.ones(3, 2, 2))


def test_weight_decay_can_spare_norms_biases_and_edge_importance():
    net = Net()
    assert list(list_exempt(net)) == ["edge_importance", "conv.bias", "norm.weight", "norm.bias"]
    decayed, exempt = build_optimiser(net, OptimConfig(exempt=True)).param_groups
    assert [p is net.conv.weight for p in decayed["params"]] == [True]
    assert (decayed["weight_decay"], exempt["weight_decay"]) == (1e-3, 0)


def test_paper_decays_every_weight():
    (group,) = build_optimiser(Net(), OptimConfig()).param_groups
    assert len(group["params"]) == 5
    assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.9, 1e-3, False)


def test_a_step_is_the_rate_times_the_gradient():
    net = Net()
    optimiser = build_optimiser(net, OptimConfig(weight_decay=0))
    before = net.conv.weight.detach().clone()
    net.conv.weight.grad = torch.ones_like(before)
    set_rate(optimiser, 0.25)
    optimiser.step()
    torch.testing.assert_close(net.conv.weight.detach(), before - 0.25)


def test_average_moves_by_one_minus_decay_and_takes_statistics():
    average, net = Net(), Net()
    with torch.no_grad():
        average.conv.weight.fill_(1)
        net.conv.weight.fill_(2)
    net.norm.running_mean.fill_(7)
    update_average(average, net, 0.9)
    torch.testing.assert_close(average.conv.weight, torch.full((2, 1, 1, 1), 1.1))
    assert average.norm.running_mean.tolist() == [7, 7]
