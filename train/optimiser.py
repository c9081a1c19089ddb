"""Plain SGD over a network's parameters, some of them without weight decay where asked."""

from collections.abc import Iterator

import torch
from torch import nn

from train.schedule import OptimConfig

EDGE_IMPORTANCE = "importance"


def build_optimiser(model: nn.Module, config: OptimConfig) -> torch.optim.SGD:
    """Build SGD; the rate is set before each step, see :func:`set_rate`."""
    decayed: list[nn.Parameter] = []
    exempt: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        is_exempt = config.exempt and not _has_weights(name, parameter)
        (exempt if is_exempt else decayed).append(parameter)
    groups = [{"params": decayed, "weight_decay": config.weight_decay}]
    if exempt:
        groups.append({"params": exempt, "weight_decay": 0.0})
    on_gpu = all(p.is_cuda for p in model.parameters())
    return torch.optim.SGD(
        groups,
        lr=config.lr,
        momentum=config.momentum,
        dampening=config.dampening,
        nesterov=config.nesterov,
        fused=True if on_gpu else None,
    )


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Use this learning rate from the next step on."""
    for group in optimiser.param_groups:
        group["lr"] = rate


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move a copy's weights towards a network's; running statistics are taken as they are."""
    for mean, weights in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(weights, 1 - decay)
    for kept, statistics in zip(average.buffers(), model.buffers(), strict=True):
        kept.copy_(statistics)


def list_exempt(model: nn.Module) -> Iterator[str]:
    """Yield the names of norms, biases and edge importance (docs/paper.md O25)."""
    return (name for name, p in model.named_parameters() if not _has_weights(name, p))


def _has_weights(name: str, parameter: nn.Parameter) -> bool:
    """Norms and biases are vectors; kernels and matrices are not."""
    return parameter.dim() > 1 and EDGE_IMPORTANCE not in name.rpartition(".")[2]
