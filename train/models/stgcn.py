"""The skeleton branch: spatial temporal graph convolution (ST-GCN; Table 1 of the paper).

Inside the branch features are (B * M, C, T, V): the persons of a clip are folded into the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from train.model_config import ModelConfig, unit_names

GraphLayer = Callable[[int, int], nn.Module]


class GraphConvolution(nn.Module):
    """Mix channels for each partition, then joints by its adjacency, and sum (ST-GCN eq. 10)."""

    adjacency: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, adjacency: Tensor, edge_importance: bool = True
    ) -> None:
        super().__init__()
        self.register_buffer("adjacency", adjacency.clone(), persistent=False)
        self.conv = nn.Conv2d(in_channels, out_channels * len(adjacency), 1)
        self.edge_importance: nn.Parameter | None = None
        if edge_importance:
            self.edge_importance = nn.Parameter(torch.ones_like(adjacency))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, T, V) to (N, out, T, V); column w of the adjacency is the target joint."""
        weights = self.adjacency
        if self.edge_importance is not None:
            weights = weights * self.edge_importance
        parts = self.conv(x).unflatten(1, (len(weights), -1))
        return torch.einsum("nkctv,kvw->nctw", parts, weights.to(parts.dtype))

    def count_macs(self, x: Tensor, out: Tensor) -> int:
        """Multiply-accumulates of one forward, the adjacency taken as dense."""
        partitions, n_joints = self.adjacency.shape[:2]
        return partitions * out.numel() * (x.shape[1] + n_joints)


@dataclass(frozen=True)
class UnitShape:
    """Channels, temporal stride and kind of residual connection of one unit."""

    in_channels: int
    out_channels: int
    stride: int = 1
    residual: bool = True


class Unit(nn.Module):
    """Graph convolution over joints, then convolution over time, with a residual connection."""

    def __init__(self, shape: UnitShape, graph_layer: GraphLayer, dropout: float = 0.0) -> None:
        super().__init__()
        channels = shape.out_channels
        self.graph = graph_layer(shape.in_channels, channels)
        self.graph_norm = nn.BatchNorm2d(channels)
        self.time = nn.Conv2d(channels, channels, (9, 1), (shape.stride, 1), (4, 0))
        self.time_norm = nn.BatchNorm2d(channels)
        self.dropout = nn.Dropout(dropout)
        self.has_residual = shape.residual
        self.shortcut: nn.Module = nn.Identity()
        if shape.residual and (shape.in_channels, shape.stride) != (channels, 1):
            conv = nn.Conv2d(shape.in_channels, channels, 1, (shape.stride, 1))
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, T, V) to (N, out, ceil(T / stride), V)."""
        y = torch.relu(self.graph_norm(self.graph(x)))
        y = self.dropout(self.time_norm(self.time(y)))
        if self.has_residual:
            y = y + self.shortcut(x)
        return torch.relu(y)


def list_unit_shapes(in_channels: int, width: int, stages: tuple[int, ...]) -> list[UnitShape]:
    """Return the units in order; the first of every later stage halves time, doubles channels."""
    shapes: list[UnitShape] = []
    for stage, n_units in enumerate(stages):
        for position in range(n_units):
            first = not shapes
            out_channels = width * 2**stage
            stride = 2 if position == 0 and stage > 0 else 1
            shapes.append(UnitShape(in_channels, out_channels, stride, residual=not first))
            in_channels = out_channels
    return shapes


class SkeletonBranch(nn.Module):
    """Input normalisation and the units gcn0, gcn1, ...; its pieces are called one by one.

    ``layer`` builds the graph convolution of a unit from its channels, so other backbones differ
    in nothing else.
    """

    def __init__(self, config: ModelConfig, n_joints: int, layer: GraphLayer) -> None:
        super().__init__()
        self.n_joints, self.in_channels = n_joints, config.in_channels
        self.data_norm = nn.BatchNorm1d(n_joints * config.in_channels)
        shapes = list_unit_shapes(config.in_channels, config.width, config.stages)
        self.units = nn.ModuleDict()
        for name, shape in zip(unit_names(config.stages), shapes, strict=True):
            # The first unit never drops out, as in the released code.
            dropout = config.dropout if shape.residual else 0.0
            self.units[name] = Unit(shape, layer, dropout)

    def fold_persons(self, joints: Tensor) -> Tensor:
        """Normalise joints (B, C, T, V, M) per joint and channel; return (B * M, C, T, V)."""
        channels, n_joints = self.in_channels, self.n_joints
        if joints.dim() != 5 or joints.shape[1::2] != (channels, n_joints):
            raise ValueError(
                f"joints must be (N, {channels}, T, {n_joints}, M), got {tuple(joints.shape)}"
            )
        B, C, T, V, M = joints.shape
        x = joints.permute(0, 4, 3, 1, 2).reshape(B * M, V * C, T)
        return self.data_norm(x).view(B * M, V, C, T).permute(0, 2, 3, 1).contiguous()

    def forward(self, joints: Tensor) -> Tensor:
        """Return features (B, M, C, T', V) of joints (B, C, T, V, M)."""
        x = self.fold_persons(joints)
        for unit in self.units.values():
            x = unit(x)
        return x.unflatten(0, (joints.shape[0], joints.shape[4]))


def pool_persons(features: Tensor, n_persons: int, present: Tensor | None = None) -> Tensor:
    """Average (B * M, C, T, V) over joints and frames, then over persons; return (B, C).

    With ``present`` (bool, (B, M) or (B, T, M)) only persons seen in some frame count; a clip
    without anyone keeps the plain mean.
    """
    per_person = features.mean((2, 3)).unflatten(0, (-1, n_persons))
    if present is None:
        return per_person.mean(1)
    seen = present.any(1) if present.dim() == 3 else present.bool()
    seen = seen | ~seen.any(1, keepdim=True)
    weights = seen.to(per_person.dtype) / seen.sum(1, keepdim=True)
    return (per_person * weights.unsqueeze(-1)).sum(1)


def build_stgcn(config: ModelConfig, adjacency: Tensor) -> SkeletonBranch:
    """Build the branch of Table 1 over a partition (3, V, V) of the skeleton graph."""

    def layer(in_channels: int, out_channels: int) -> nn.Module:
        return GraphConvolution(in_channels, out_channels, adjacency, config.edge_importance)

    return SkeletonBranch(config, adjacency.shape[1], layer)
