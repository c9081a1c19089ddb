"""Context-aware attention over joints: the modules that gate a skeleton feature map."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.model_config import AttentionConfig, parse_context_k
from train.models.scores import SCORES


@dataclass(frozen=True)
class AttentionMaps:
    """Gates of one forward for pictures, each (B, M, T, V) in (0, 1); a missing gate is None.

    ``self_gate`` and ``combined`` are averaged over channels, as in Fig. 6.
    """

    self_gate: Tensor | None
    cross_gate: Tensor | None
    combined: Tensor


class Capture:
    """Collects the maps of one module for :func:`capture_attention`."""

    def __init__(self, n_persons: int) -> None:
        self.n_persons = n_persons
        self.maps: list[AttentionMaps] = []

    def add(self, own: Tensor | None, cross: Tensor | None, combined: Tensor) -> None:
        """Keep the gates (B * M, channels, T, V) of one forward."""
        self.maps.append(
            AttentionMaps(
                None if own is None else self._per_joint(own),
                None if cross is None else self._per_joint(cross),
                self._per_joint(combined),
            )
        )

    def _per_joint(self, gate: Tensor) -> Tensor:
        return gate.detach().float().mean(1).unflatten(0, (-1, self.n_persons))


def fold_persons(v: Tensor) -> Tensor:
    """Return (B, d, T, V, M) as (B * M, d, T, V); a folded input stays as it is."""
    return v.permute(0, 4, 1, 2, 3).flatten(0, 1) if v.dim() == 5 else v


def flatten_places(context: Tensor, side: int | None = None) -> Tensor:
    """Return context (B, m, T, H, W) or (B, T, k, m) as (B, m, T, k).

    ``side`` averages it into side x side locations first, 1 into a single one; locations of a
    flat context must then form a square for a side above 1 (``ValueError``).
    """
    if context.dim() == 4:
        context = context.permute(0, 3, 1, 2)
        if side is None:
            return context
        if side == 1:
            return context.mean(3, keepdim=True)
        edge = round(context.shape[3] ** 0.5)
        if edge * edge != context.shape[3]:
            raise ValueError(f"a grid needs a square of locations, got k = {context.shape[3]}")
        context = context.unflatten(3, (edge, edge))
    if side == 1:
        return context.mean((3, 4)).unsqueeze(3)
    if side is not None:
        if side > min(context.shape[3:]):
            raise ValueError(f"grid({side}) is finer than the context {tuple(context.shape[3:])}")
        context = F.adaptive_avg_pool3d(context, (context.shape[2], side, side))
    return context.flatten(3)


def align_time(context: Tensor, n_frames: int) -> Tensor:
    """Bring context (B, m, T, H, W) or (B, T, k, m) to ``n_frames``.

    More frames are averaged in even groups, fewer are repeated.
    """
    axis = 2 if context.dim() == 5 else 1
    have = context.shape[axis]
    if have == n_frames:
        return context
    if have % n_frames == 0:
        return context.unflatten(axis, (n_frames, have // n_frames)).mean(axis + 1)
    # Uneven lengths: every frame takes part in the groups that it overlaps, as in adaptive pooling.
    bounds = [(i * have // n_frames, -(-(i + 1) * have // n_frames)) for i in range(n_frames)]
    groups = [context.narrow(axis, a, b - a).mean(axis, keepdim=True) for a, b in bounds]
    return torch.cat(groups, axis)


class SelfGate(nn.Conv2d):
    """f_self before its sigmoid: 1x1 convolution to as many channels, or to one."""

    def __init__(self, d: int, kind: str) -> None:
        super().__init__(d, d if kind == "channels" else 1, 1)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]


class Gating(nn.Module):
    """What both modules share: applying a gate to v, and handing out maps when asked."""

    def __init__(self, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.capture: Capture | None = None

    def apply_gate(self, v: Tensor, gate: Tensor) -> Tensor:
        """Return g * v + v, or g * v without the residual."""
        gate = gate.to(v.dtype)
        return torch.addcmul(v, gate, v) if self.residual else gate * v


class SelfAttention(Gating):
    """Gate each joint by its own feature: y = sigmoid(W v + b) * v + v."""

    def __init__(self, d: int, self_gate: str = "channels", residual: bool = True) -> None:
        super().__init__(residual)
        self.self_gate = SelfGate(d, self_gate)

    def forward(self, v: Tensor, context: Tensor | None = None) -> Tensor:
        """Map (B * M, d, T, V) or (B, d, T, V, M) to the same shape; the context is not used."""
        folded = fold_persons(v)
        gate = torch.sigmoid(self.self_gate(folded))
        if self.capture is not None:
            self.capture.add(gate, None, gate)
        return _unfold_persons(self.apply_gate(folded, gate), v)


class CrossAttention(Gating):
    """Gate each joint by its own feature and by what the context says about it.

    Usable after any layer: ``CrossAttention(d, m)`` maps v (B, d, T, V), (B, d, T, V, M) or
    (B * M, d, T, V) and a context (B, m, T, H, W) or (B, T, k, m) to the shape of v.  The context
    is shared by the persons of a clip and must have the frames of v (see :func:`align_time`).
    Raises ``ValueError`` for shapes that do not fit.
    """

    def __init__(self, d: int, m: int, config: AttentionConfig | None = None) -> None:
        config = config or AttentionConfig()
        super().__init__(config.residual)
        self.config, self.d, self.m = config, d, m
        self.side = parse_context_k(config.context_k)
        self.self_gate = SelfGate(d, config.self_gate) if config.combine != "cross_only" else None
        self.score = SCORES[config.score](d, m, config) if config.combine != "self_only" else None

    def forward(self, v: Tensor, context: Tensor) -> Tensor:
        """Return gated v, of the shape of v."""
        folded = fold_persons(v)
        self._check(v, folded, context)
        own = None if self.self_gate is None else self.self_gate(folded)
        cross = None if self.score is None else self._cross_logits(folded, context)
        gate = self._combine(own, cross)
        if self.capture is not None:
            own, cross = (None if logits is None else logits.sigmoid() for logits in (own, cross))
            self.capture.add(own, cross, gate)
        return _unfold_persons(self.apply_gate(folded, gate), v)

    def _cross_logits(self, folded: Tensor, context: Tensor) -> Tensor:
        """Return the logits of f_cross, (B * M, 1, T, V)."""
        places = flatten_places(context, self.side)
        T, V = folded.shape[2:]
        rows = folded.unflatten(0, (context.shape[0], -1)).permute(0, 2, 3, 1, 4).flatten(3)
        logits = self.score(rows, places)  # type: ignore[misc]
        return logits.unflatten(2, (-1, V)).transpose(1, 2).reshape(-1, 1, T, V)

    def _combine(self, own: Tensor | None, cross: Tensor | None) -> Tensor:
        if own is None or cross is None:
            return torch.sigmoid(own if cross is None else cross)  # type: ignore[arg-type]
        if self.config.combine == "average":
            return (torch.sigmoid(own) + torch.sigmoid(cross)) / 2
        # sqrt(f_self * f_cross) without the infinite slope of a root at 0.
        return torch.exp((F.logsigmoid(own) + F.logsigmoid(cross)) / 2)

    def _check(self, v: Tensor, folded: Tensor, context: Tensor) -> None:
        if v.dim() not in (4, 5) or context.dim() not in (4, 5):
            raise ValueError(
                "cross-attention needs v (B, d, T, V[, M]) and a context (B, m, T, H, W) or "
                f"(B, T, k, m), got {tuple(v.shape)} and {tuple(context.shape)}"
            )
        m, T = context.shape[1:3] if context.dim() == 5 else (context.shape[3], context.shape[1])
        if (folded.shape[1], m) != (self.d, self.m):
            raise ValueError(
                f"cross-attention was built for d={self.d} and m={self.m} channels, "
                f"got {folded.shape[1]} and {m}"
            )
        if folded.shape[2] != T or folded.shape[0] % context.shape[0]:
            raise ValueError(
                f"v has {folded.shape[0]} clips or persons of {folded.shape[2]} frames, which does "
                f"not fit a context of {context.shape[0]} clips of {T} frames"
            )


def _unfold_persons(y: Tensor, like: Tensor) -> Tensor:
    if like.dim() == 4:
        return y
    return y.unflatten(0, (like.shape[0], -1)).permute(0, 2, 3, 4, 1)


@contextmanager
def capture_attention(model: nn.Module, n_persons: int) -> Iterator[dict[str, list[AttentionMaps]]]:
    """Collect the maps of every attention module in ``model``, one per forward, by module name.

    ``n_persons`` is M of the batches.  Outside the block nothing is computed or kept for pictures.
    """
    modules = {name: m for name, m in model.named_modules() if isinstance(m, Gating)}
    captures = {name: Capture(n_persons) for name in modules}
    for name, module in modules.items():
        module.capture = captures[name]
    try:
        yield {name: capture.maps for name, capture in captures.items()}
    finally:
        for module in modules.values():
            module.capture = None
