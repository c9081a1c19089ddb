"""The systems of Tables 6, 7 and 9 from one configuration: rgb, skeleton, concat, attention."""

import torch
from torch import Tensor, nn

from train.model_config import ModelConfig
from train.models.agcn import build_agcn
from train.models.attention import CrossAttention, SelfAttention, align_time
from train.models.context import ContextBranch, ContextShape, choose_strides
from train.models.graph import SkeletonGraph
from train.models.initialise import initialise_context, initialise_skeleton
from train.models.stgcn import SkeletonBranch, build_stgcn, pool_persons


class ActionNetwork(nn.Module):
    """Joints, RGB clips or both to class logits; see :class:`ModelConfig` for what is inside.

    Batches: joints (N, C, T, V, M) and rgb (N, 3, T, H, W), both float and normalised; a context
    (N, T', k, m) replaces rgb where ``config.context_channels`` is set; present is bool (N, T, M)
    or (N, M), read only with ``config.person_mask``.  Inputs that a system has no use for may be
    given and are ignored, so one training loop serves all systems.
    """

    def __init__(self, config: ModelConfig, graph: SkeletonGraph | None, n_classes: int) -> None:
        super().__init__()
        self.config = config
        self.skeleton = _build_skeleton(config, graph) if config.has_skeleton else None
        self.context = _build_context(config) if config.has_rgb_branch else None
        self.attention = nn.ModuleDict(
            {name: _build_attention(config, name) for name in _attended_units(config)}
        )
        features = config.features if config.has_skeleton else 0
        if config.system in ("rgb", "concat"):
            features += config.context_features
        self.head = nn.Linear(features, n_classes)

    def forward(
        self,
        joints: Tensor | None = None,
        rgb: Tensor | None = None,
        context: Tensor | None = None,
        present: Tensor | None = None,
    ) -> Tensor:
        """Return logits (N, K); raises ``ValueError`` naming an input the system lacks."""
        contexts = self._contexts(rgb, context)
        features = []
        if self.skeleton is not None:
            joints = _require(joints, "joints", self.config)
            x = self._attended(self.skeleton, joints, contexts)
            mask = _require(present, "present", self.config) if self.config.person_mask else None
            features.append(pool_persons(x, joints.shape[4], mask))
        if self.config.system in ("rgb", "concat"):
            features.append(_pool_context(contexts[0]))
        return self.head(torch.cat(features, 1))

    def _attended(self, branch: SkeletonBranch, joints: Tensor, contexts: list[Tensor]) -> Tensor:
        """Run the skeleton branch with attention after its units; return (N * M, C, T', V)."""
        x = branch.fold_persons(joints)
        for name, unit in branch.units.items():
            x = unit(x)
            if name in self.attention:
                x = self.attention[name](x, _pick_context(contexts, x.shape[2]))
        return x

    def _contexts(self, rgb: Tensor | None, context: Tensor | None) -> list[Tensor]:
        if not self.config.has_context:
            return []
        if self.context is None:
            return [_require(context, "context", self.config)]
        return self.context(_require(rgb, "rgb", self.config))


def build_model(config: ModelConfig, graph: SkeletonGraph | None, n_classes: int) -> ActionNetwork:
    """Build and initialise the network that ``config`` describes.

    ``graph`` may be None for the rgb system.  Random numbers come from torch's global generator:
    call ``torch.manual_seed`` before for a repeatable start.
    """
    if n_classes < 1:
        raise ValueError(f"a network needs at least one class, got {n_classes}")
    model = ActionNetwork(config, graph, n_classes)
    if model.skeleton is not None:
        initialise_skeleton(model.skeleton, config.skeleton_init)
    if model.context is not None:
        initialise_context(model.context)
    return model


def use_channels_last(model: nn.Module) -> nn.Module:
    """Store the weights of 3D and 2D convolutions channels last, which their kernels prefer."""
    for parameter in model.parameters():
        if parameter.dim() == 5:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last_3d)
        elif parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return model


def _build_skeleton(config: ModelConfig, graph: SkeletonGraph | None) -> SkeletonBranch:
    if graph is None:
        raise ValueError(f"the {config.system} system needs a skeleton graph")
    adjacency = torch.as_tensor(
        graph.adjacency(config.graph_variant), dtype=torch.get_default_dtype()
    )
    build = build_agcn if config.backbone == "agcn" else build_stgcn
    return build(config, adjacency)


def _attended_units(config: ModelConfig) -> tuple[str, ...]:
    return config.attach if config.has_attention else ()


def _build_attention(config: ModelConfig, name: str) -> nn.Module:
    d = config.width * 2 ** config.unit_stage(name)
    attention = config.attention
    if not config.has_context:
        return SelfAttention(d, attention.self_gate, attention.residual)
    return CrossAttention(d, config.context_features, attention)


def _build_context(config: ModelConfig) -> ContextBranch:
    wanted = {2 ** config.unit_stage(name) for name in _attended_units(config)} or {4}
    strides = choose_strides(wanted, config.context_align)
    shape = ContextShape(config.context_width, config.context_blocks, config.shortcut, strides)
    return ContextBranch(shape)


def _pick_context(contexts: list[Tensor], n_frames: int) -> Tensor | None:
    """Return the context whose frames come nearest, brought to ``n_frames``."""
    if not contexts:
        return None
    axis = 2 if contexts[0].dim() == 5 else 1
    nearest = min(contexts, key=lambda c: abs(c.shape[axis] - n_frames))
    return align_time(nearest, n_frames)


def _pool_context(context: Tensor) -> Tensor:
    """Average (N, m, T, H, W) or (N, T, k, m) over frames and locations."""
    return context.mean((2, 3, 4)) if context.dim() == 5 else context.mean((1, 2))


def _require(value: Tensor | None, name: str, config: ModelConfig) -> Tensor:
    if value is None:
        raise ValueError(f"the {config.system} system needs {name} in its batch")
    return value
