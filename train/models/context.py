"""The context branch: the first stages of a 3D-ResNet-50 (Hara et al. 2018; paper, Table 2)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EXPANSION = 4
MAX_STRIDE = 4


class ZeroPadShortcut(nn.Module):
    """Type A: every stride-th element, and zero channels up to the width of the block."""

    def __init__(self, channels: int, stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """Return x (B, c, T, H, W) thinned out and padded to ``channels``."""
        t, h, w = self.stride
        kept = x[:, :, ::t, ::h, ::w]
        return F.pad(kept, (0, 0, 0, 0, 0, 0, 0, self.channels - x.shape[1]))


def build_shortcut(
    kind: str, in_channels: int, channels: int, stride: tuple[int, int, int]
) -> nn.Module:
    """Return what carries a block's input to its output: nothing to do, type A or type B."""
    if in_channels == channels and stride == (1, 1, 1):
        return nn.Identity()
    if kind == "A":
        return ZeroPadShortcut(channels, stride)
    conv = nn.Conv3d(in_channels, channels, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(channels))


class Bottleneck(nn.Module):
    """Convolutions 1x1x1, 3x3x3 (with the stride), 1x1x1, each normalised; ReLU after the sum."""

    def __init__(
        self, in_channels: int, planes: int, stride: tuple[int, int, int], shortcut: str
    ) -> None:
        super().__init__()
        channels = planes * EXPANSION
        self.conv1 = nn.Conv3d(in_channels, planes, 1, bias=False)
        self.norm1 = nn.BatchNorm3d(planes)
        self.conv2 = nn.Conv3d(planes, planes, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm3d(planes)
        self.conv3 = nn.Conv3d(planes, channels, 1, bias=False)
        self.norm3 = nn.BatchNorm3d(channels)
        self.shortcut = build_shortcut(shortcut, in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, c, T, H, W) to (B, 4 * planes, T', H', W')."""
        y = torch.relu(self.norm1(self.conv1(x)))
        y = torch.relu(self.norm2(self.conv2(y)))
        return torch.relu(self.norm3(self.conv3(y)) + self.shortcut(x))


@dataclass(frozen=True)
class ContextShape:
    """Size of the branch, and the temporal strides (1, 2 or 4) of the outputs it must give.

    Two strides mean two versions of layer2 on a shared trunk; they must differ by a factor of 2.
    """

    width: int = 64
    blocks: tuple[int, int] = (3, 4)
    shortcut: str = "B"
    strides: tuple[int, ...] = (MAX_STRIDE,)

    def __post_init__(self) -> None:
        known = 0 < len(self.strides) == len(set(self.strides) & {1, 2, MAX_STRIDE})
        if not known or max(self.strides) > 2 * min(self.strides):
            raise ValueError(f"one context branch cannot give temporal strides {self.strides}")

    @property
    def pool_stride(self) -> int:
        """Temporal stride of the max pool; layer2 adds the rest."""
        return min(2, *self.strides)

    @property
    def channels(self) -> int:
        """Channels m of the output."""
        return 2 * self.width * EXPANSION


class ContextBranch(nn.Module):
    """conv1, max pool, layer1 and one layer2 per temporal stride."""

    def __init__(self, shape: ContextShape) -> None:
        super().__init__()
        self.shape = shape
        width, pool = shape.width, shape.pool_stride
        self.conv1 = nn.Conv3d(3, width, 7, (1, 2, 2), 3, bias=False)
        self.norm1 = nn.BatchNorm3d(width)
        self.pool = nn.MaxPool3d(3, (pool, 2, 2), 1)
        self.layer1 = _build_layer(shape, width, width, (1, 1, 1))
        self.layer2 = nn.ModuleList(
            _build_layer(shape, width * EXPANSION, 2 * width, (stride // pool, 2, 2))
            for stride in shape.strides
        )

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """Map clips (B, 3, T, H, W) to features (B, 8 * width, T / stride, H / 8, W / 8) each."""
        x = self.pool(torch.relu(self.norm1(self.conv1(rgb))))
        x = self.layer1(x)
        return [layer(x) for layer in self.layer2]


def _build_layer(
    shape: ContextShape, in_channels: int, planes: int, stride: tuple[int, int, int]
) -> nn.Sequential:
    """Build layer1 (stride 1) or layer2; the stride sits on the first block."""
    n_blocks = shape.blocks[0] if planes == shape.width else shape.blocks[1]
    blocks = [Bottleneck(in_channels, planes, stride, shape.shortcut)]
    for _ in range(n_blocks - 1):
        blocks.append(Bottleneck(planes * EXPANSION, planes, (1, 1, 1), shape.shortcut))
    return nn.Sequential(*blocks)


def choose_strides(wanted: set[int], align: str) -> tuple[int, ...]:
    """Return the strides a branch computes when several modules share it.

    ``avgpool`` computes the finest, ``repeat`` the coarsest, ``dual`` all of them.
    """
    reachable = sorted({min(stride, MAX_STRIDE) for stride in wanted})
    if align == "dual":
        return tuple(reachable)
    return (reachable[0],) if align == "avgpool" else (reachable[-1],)
