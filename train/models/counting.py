"""Exact numbers of parameters and multiply-accumulates, without running anything."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from train.model_config import ModelConfig
from train.models.graph import SkeletonGraph
from train.models.networks import ActionNetwork

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True)
class ClipSize:
    """Sizes of one clip; ``places`` is k of a context that replaces the RGB branch."""

    frames: int = 16
    pixels: int = 112
    persons: int = 2
    places: int = 1


def count_parameters(model: nn.Module) -> int:
    """Return how many numbers training can change."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def count_macs(
    config: ModelConfig,
    graph: SkeletonGraph | None,
    n_classes: int,
    clip: ClipSize = ClipSize(),
) -> dict[str, int]:
    """Return forward multiply-accumulates per clip by module name, without biases and norms.

    Names are those of the modules; ``skeleton``, ``context``, ``attention``, ``head`` and
    ``total`` are sums.  One multiply-accumulate is two floating point operations.  ``auto``
    attention is counted in its factored form.
    """
    with torch.device("meta"), torch.no_grad():
        model = ActionNetwork(config, graph, n_classes).eval()
        counts = count_module_macs(model, lambda: model(**_empty_batch(model, config, clip)))
    for part in ("skeleton", "context", "attention", "head"):
        counts.setdefault(part, sum(n for name, n in counts.items() if name.startswith(f"{part}.")))
    counts["total"] = sum(counts[part] for part in ("skeleton", "context", "attention", "head"))
    return counts


def count_module_macs(model: nn.Module, run: Callable[[], object]) -> dict[str, int]:
    """Return multiply-accumulates by module name of what ``run`` computes with ``model``.

    Convolutions and linear layers are counted, and modules with a ``count_macs`` of their own
    instead of everything inside them.
    """
    counts: dict[str, int] = {}
    inside: tuple[str, ...] = ()
    handles = []
    for name, module in model.named_modules():
        if inside and name.startswith(inside):
            continue
        counted = hasattr(module, "count_macs")
        if counted:
            inside += (f"{name}.",)
        if counted or isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            handles.append(module.register_forward_hook(_counter(counts, name)))
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return counts


def _counter(
    counts: dict[str, int], name: str
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        counts[name] = counts.get(name, 0) + _module_macs(module, inputs, output)

    return count


def _module_macs(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> int:
    if isinstance(module, CONVOLUTIONS):
        return output.numel() * module.in_channels // module.groups * prod(module.kernel_size)
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    return module.count_macs(*inputs, output)  # type: ignore[operator]


def _empty_batch(model: ActionNetwork, config: ModelConfig, clip: ClipSize) -> dict[str, Tensor]:
    batch = {
        "rgb": torch.empty(1, 3, clip.frames, clip.pixels, clip.pixels),
        "context": torch.empty(1, clip.frames, clip.places, config.context_features),
        "present": torch.ones(1, clip.persons, dtype=torch.bool),
    }
    if model.skeleton is not None:
        n_joints = model.skeleton.n_joints
        batch["joints"] = torch.empty(1, config.in_channels, clip.frames, n_joints, clip.persons)
    return batch
