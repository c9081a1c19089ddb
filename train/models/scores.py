"""Scores of joints against context locations, reduced over the locations (equations 3 and 4).

A score maps rows v (B, d, T, R) and context a (B, m, T, k) to logits (B, T, R); the R rows of a
frame are the joints of all persons, which share the k locations.  The forms of one score compute
the same numbers: ``naive`` follows the equations literally and is the reference, the others never
concatenate v and a.
"""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.model_config import AttentionConfig

# Elements of the largest temporary tensor of the argmax form: 16 MB in float32.  Chunks that stay
# in the cache were five times faster on a CPU than all pairs at once.
CHUNK_ELEMENTS = 1 << 22


def choose_form(form: str, score: str, reduce: str, device: torch.device) -> str:
    """Return the form that ``auto`` stands for on this device.

    Measured by tests/benchmarks/bench_attention.py on one CPU thread, full width after gcn6,
    forward and backward: sorted is 24 times as fast as naive and 4.9 times as factored (34 MB
    against 446 and 272), argmax 39 and 6.7 times (88 MB).  No GPU was at hand: there the choice
    rests on memory, and compiled code keeps the factored mean, which a compiler can fuse into one
    pass without its temporary.
    """
    if form != "auto":
        return form
    if score != "mlp2" or device.type == "meta":
        return "factored"
    if reduce == "max":
        return "argmax"
    fuses = device.type != "cpu" and torch.compiler.is_compiling()
    return "factored" if fuses else "sorted"


def project(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Apply a linear layer (out, in) over the channels of x (B, in, T, L)."""
    return F.conv2d(x, weight[:, :, None, None], bias)


def pair_rows(v: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
    """Return v as (B, T, R, 1, d) and a as (B, T, 1, k, m), which broadcast to all pairs."""
    return v.permute(0, 2, 3, 1).unsqueeze(3), a.permute(0, 2, 3, 1).unsqueeze(2)


def concatenate_pairs(v: Tensor, a: Tensor) -> Tensor:
    """Return [v_i ; a_j] for every pair, (B, T, R, k, d + m)."""
    rows, places = pair_rows(v, a)
    shape = (*rows.shape[:3], places.shape[3], -1)
    return torch.cat([rows.expand(shape), places.expand(shape)], dim=-1)


def reduce_places(logits: Tensor, reduce: str) -> Tensor:
    """Average or maximum over the last axis, the context locations."""
    return logits.mean(-1) if reduce == "mean" else logits.amax(-1)


class Score(nn.Module, ABC):
    """One way to compare a joint with a context location; subclasses hold the parameters."""

    def __init__(self, config: AttentionConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def pairwise(self, v: Tensor, a: Tensor) -> Tensor:
        """Return the score of every pair, (B, T, R, k), straight from its equation."""

    @abstractmethod
    def reduced(self, v: Tensor, a: Tensor, form: str) -> Tensor:
        """Return the reduced logits (B, T, R) without concatenated pairs."""

    def forward(self, v: Tensor, a: Tensor) -> Tensor:
        """Return logits (B, T, R) of rows (B, d, T, R) against locations (B, m, T, k)."""
        config = self.config
        form = choose_form(config.form, config.score, config.reduce, v.device)
        if form == "naive":
            return reduce_places(self.pairwise(v, a), config.reduce)
        return self.reduced(v, a, form)

    def count_macs(self, v: Tensor, a: Tensor, out: Tensor) -> int:
        """Multiply-accumulates of one forward in the form this score would take."""
        config = self.config
        form = choose_form(config.form, config.score, config.reduce, v.device)
        rows, places = out.numel(), a.numel() // a.shape[1]
        return self.macs(rows, places, a.shape[3], form)

    @abstractmethod
    def macs(self, rows: int, places: int, k: int, form: str) -> int:
        """Count for B * T * R rows and B * T * k places, k of them to each row."""


class DotScore(Score):
    """theta(v) . phi(a), both mapped to z channels."""

    def __init__(self, d: int, m: int, config: AttentionConfig) -> None:
        super().__init__(config)
        self.z = hidden_width(d, m)
        self.theta = nn.Linear(d, self.z)
        self.phi = nn.Linear(m, self.z)
        self.scale = 1 / math.sqrt(self.z) if config.dot_scale == "sqrt_z" else 1.0

    def pairwise(self, v: Tensor, a: Tensor) -> Tensor:  # noqa: D102
        rows, places = pair_rows(v, a)
        return (self.theta(rows) * self.phi(places)).sum(-1) * self.scale

    def reduced(self, v: Tensor, a: Tensor, form: str) -> Tensor:  # noqa: D102
        theta = project(v, self.theta.weight, self.theta.bias)
        # A dot product is linear in the context: its mean is the product with the mean.
        places = a.mean(3, keepdim=True) if self.config.reduce == "mean" else a
        phi = project(places, self.phi.weight, self.phi.bias)
        products = torch.einsum("bztr,bztk->btrk", theta, phi) * self.scale
        return products.squeeze(3) if self.config.reduce == "mean" else products.amax(3)

    def macs(self, rows: int, places: int, k: int, form: str) -> int:  # noqa: D102
        if form == "naive":
            mapped = rows * self.theta.in_features + places * self.phi.in_features
            return self.z * (mapped + rows * k)
        pooled = self.config.reduce == "mean"
        mapped_places = places // k if pooled else places
        pairs = rows if pooled else rows * k
        theta, phi = self.theta.in_features, self.phi.in_features
        return self.z * (rows * theta + mapped_places * phi + pairs)


class LinearScore(Score):
    """One linear layer on [v ; a]."""

    def __init__(self, d: int, m: int, config: AttentionConfig) -> None:
        super().__init__(config)
        self.d = d
        self.output = nn.Linear(d + m, 1)
        nn.init.zeros_(self.output.bias)

    def pairwise(self, v: Tensor, a: Tensor) -> Tensor:  # noqa: D102
        return self.output(concatenate_pairs(v, a)).squeeze(-1)

    def reduced(self, v: Tensor, a: Tensor, form: str) -> Tensor:  # noqa: D102
        weight = self.output.weight
        joint = project(v, weight[:, : self.d], self.output.bias)
        if self.config.reduce == "mean":
            place = project(a.mean(3, keepdim=True), weight[:, self.d :])
        else:
            place = project(a, weight[:, self.d :]).amax(3, keepdim=True)
        return (joint + place).squeeze(1)

    def macs(self, rows: int, places: int, k: int, form: str) -> int:  # noqa: D102
        m = self.output.in_features - self.d
        if form == "naive":
            return rows * k * (self.d + m)
        mapped_places = places // k if self.config.reduce == "mean" else places
        return rows * self.d + mapped_places * m


class TwoLayerScore(Score):
    """Two linear layers on [v ; a] with a ReLU between them (the proposed model)."""

    def __init__(self, d: int, m: int, config: AttentionConfig) -> None:
        super().__init__(config)
        self.d, self.z = d, hidden_width(d, m)
        self.hidden = nn.Linear(d + m, self.z)
        self.output = nn.Linear(self.z, 1)
        nn.init.zeros_(self.output.bias)

    def pairwise(self, v: Tensor, a: Tensor) -> Tensor:  # noqa: D102
        return self.output(torch.relu(self.hidden(concatenate_pairs(v, a)))).squeeze(-1)

    def reduced(self, v: Tensor, a: Tensor, form: str) -> Tensor:  # noqa: D102
        # W [v ; a] + b = (W_v v + b) + W_a a: one projection per joint, one per location.
        p = project(v, self.hidden.weight[:, : self.d], self.hidden.bias)
        q = project(a, self.hidden.weight[:, self.d :])
        if form == "sorted":
            return self.output_of(sorted_relu_mean(p, q))
        if form == "argmax":
            best = self.find_best_places(p.detach(), q.detach())
            chosen = q.gather(3, best.unsqueeze(1).expand(-1, self.z, -1, -1))
            return self.output_of(torch.relu(p + chosen))
        if self.config.reduce == "mean":
            # The mean commutes with the second layer, so that runs once per joint.
            return self.output_of(torch.relu(p.unsqueeze(4) + q.unsqueeze(3)).mean(4))
        return self.score_pairs(p, q).amax(3)

    def output_of(self, hidden: Tensor) -> Tensor:
        """Apply the second layer to (B, z, T, R); return (B, T, R)."""
        weight = self.output.weight.to(hidden.dtype)
        return project(hidden, weight, self.output.bias.to(hidden.dtype)).squeeze(1)

    def score_pairs(self, p: Tensor, q: Tensor) -> Tensor:
        """Return the score of every pair (B, T, R, k) from both projections."""
        hidden = (p.unsqueeze(4) + q.unsqueeze(3)).relu_()
        scores = self.output_of(hidden.flatten(3))
        return scores.unflatten(2, hidden.shape[3:])

    @torch.no_grad()
    def find_best_places(self, p: Tensor, q: Tensor) -> Tensor:
        """Return the location of highest score for each row, (B, T, R), in chunks of rows."""
        n_rows = max(1, CHUNK_ELEMENTS // q.numel())
        return torch.cat([self.score_pairs(r, q).argmax(3) for r in p.split(n_rows, 3)], dim=2)

    def macs(self, rows: int, places: int, k: int, form: str) -> int:  # noqa: D102
        m = self.hidden.in_features - self.d
        if form == "naive":
            return rows * k * self.z * (self.d + m + 1)
        mapped = self.z * (rows * self.d + places * m)
        if form == "sorted":
            return mapped + 2 * rows * self.z
        pairs = rows * k * self.z
        return mapped + pairs + (rows * self.z if self.config.reduce == "mean" else pairs)


def sorted_relu_mean(p: Tensor, q: Tensor) -> Tensor:
    """Return mean over k of relu(p + q) for p (..., R), q (..., k), exactly, without the pairs.

    In s = -q sorted, the places that a row activates are a prefix: those with s < p.  With n of
    them the mean is (n p - sum of that prefix) / k.  Autograd gives the exact gradients.
    """
    if p.dtype in (torch.bfloat16, torch.float16):
        p, q = p.float(), q.float()
    s = q.neg().contiguous().sort(dim=-1).values
    n = torch.searchsorted(s.detach(), p.detach().contiguous())
    prefix = F.pad(s.cumsum(-1), (1, 0))
    return (n * p - prefix.gather(-1, n)) / q.shape[-1]


def hidden_width(d: int, m: int) -> int:
    """Return z, the width between both layers: half of d + m, rounded up."""
    return (d + m + 1) // 2


SCORES: dict[str, type[DotScore] | type[LinearScore] | type[TwoLayerScore]] = {
    "dot": DotScore,
    "mlp1": LinearScore,
    "mlp2": TwoLayerScore,
}
