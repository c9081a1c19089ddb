"""A second skeleton backbone: adaptive graph convolution, after 2s-AGCN (Shi et al., CVPR 2019)."""

import torch
from torch import Tensor, nn

from train.model_config import ModelConfig
from train.models.stgcn import SkeletonBranch

EMBEDDING_RATIO = 4


class AdaptiveGraphConvolution(nn.Module):
    """Sum over partitions of W_k x (A_k + B_k + C_k), plus a residual (2s-AGCN eq. 3).

    A is the given partition, B is learnt freely (it starts at 0), C is the similarity of joints in
    each clip: an embedded Gaussian, softmax over the source joint.
    """

    adjacency: Tensor

    def __init__(self, in_channels: int, out_channels: int, adjacency: Tensor) -> None:
        super().__init__()
        self.register_buffer("adjacency", adjacency.clone(), persistent=False)
        partitions = len(adjacency)
        self.learnt = nn.Parameter(torch.zeros_like(adjacency))
        embedding = max(1, out_channels // EMBEDDING_RATIO)
        self.source = nn.Conv2d(in_channels, partitions * embedding, 1)
        self.target = nn.Conv2d(in_channels, partitions * embedding, 1)
        self.conv = nn.Conv2d(in_channels, out_channels * partitions, 1)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1)

    def similarity(self, x: Tensor) -> Tensor:
        """Return C (N, 3, V, V): for each target joint (column), source weights of sum 1."""
        partitions = len(self.adjacency)
        source = self.source(x).unflatten(1, (partitions, -1)).flatten(2, 3)
        target = self.target(x).unflatten(1, (partitions, -1)).flatten(2, 3)
        # Over channels and frames the products add up with T; their mean keeps softmax soft.
        products = source.transpose(2, 3) @ target / source.shape[2]
        return products.softmax(dim=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, T, V) to (N, out, T, V)."""
        weights = self.adjacency + self.learnt + self.similarity(x)
        parts = self.conv(x).unflatten(1, (len(self.adjacency), -1))
        mixed = torch.einsum("nkctv,nkvw->nctw", parts, weights.to(parts.dtype))
        return mixed + self.shortcut(x)

    def count_macs(self, x: Tensor, out: Tensor) -> int:
        """Multiply-accumulates of one forward: channels, aggregation, similarity and shortcut."""
        partitions, n_joints = self.adjacency.shape[:2]
        embedding = 2 * self.source.out_channels * x.numel()
        similarity = self.source.out_channels * x.numel() // x.shape[1] * n_joints
        shortcut = 0 if isinstance(self.shortcut, nn.Identity) else x.shape[1] * out.numel()
        return (
            partitions * out.numel() * (x.shape[1] + n_joints) + embedding + similarity + shortcut
        )


def build_agcn(config: ModelConfig, adjacency: Tensor) -> SkeletonBranch:
    """Build a branch with the units of ``config`` and adaptive graph convolutions."""

    def layer(in_channels: int, out_channels: int) -> nn.Module:
        return AdaptiveGraphConvolution(in_channels, out_channels, adjacency)

    return SkeletonBranch(config, adjacency.shape[1], layer)
