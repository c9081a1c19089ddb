"""Every choice about the network in one place; the defaults are the paper's."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

CHOICES: dict[str, tuple[str, ...]] = {
    "system": ("rgb", "skeleton", "concat", "self-attention", "cross-attention"),
    "backbone": ("stgcn", "agcn"),
    "graph_variant": ("spatial", "release", "v01"),
    "score": ("dot", "mlp1", "mlp2"),
    "reduce": ("mean", "max"),
    "combine": ("average", "multiplication", "self_only", "cross_only"),
    "self_gate": ("channels", "single"),
    "dot_scale": ("none", "sqrt_z"),
    "form": ("auto", "naive", "factored", "sorted", "argmax"),
    "context_align": ("avgpool", "repeat", "dual"),
    "shortcut": ("A", "B"),
    "skeleton_init": ("he", "normal"),
}
SKELETON_SYSTEMS = ("skeleton", "concat", "self-attention", "cross-attention")
CONTEXT_SYSTEMS = ("rgb", "concat", "cross-attention")
SMALL_FORMS = {"sorted": ("mlp2", "mean"), "argmax": ("mlp2", "max")}


def check_choice(field: str, value: str) -> None:
    """Raise ``ValueError`` unless a field of :data:`CHOICES` may hold this value."""
    if value not in CHOICES[field]:
        raise ValueError(f"{field} must be one of {', '.join(CHOICES[field])}; got {value!r}")


def check_form(form: str, score: str, reduce: str) -> None:
    """Raise ``ValueError`` for a way to compute that does not exist for this score."""
    if form in SMALL_FORMS and SMALL_FORMS[form] != (score, reduce):
        wanted = " with ".join(SMALL_FORMS[form])
        raise ValueError(f"form {form!r} computes {wanted} only, not {score} with {reduce}")


def parse_context_k(text: str) -> int | None:
    """Return the side of the grid of context locations; None keeps every location.

    ``spatial`` keeps H x W of them, ``pooled`` averages them into one, ``grid(s)`` into s x s.
    """
    if text == "spatial":
        return None
    if text == "pooled":
        return 1
    match = re.fullmatch(r"grid\((\d+)\)", text)
    if match is None or int(match[1]) < 1:
        raise ValueError(f"context_k must be spatial, pooled or grid(s) with s >= 1; got {text!r}")
    return int(match[1])


@dataclass(frozen=True)
class AttentionConfig:
    """How one attention module gates the joints (equations 1 to 4 of the paper).

    - ``score``: ``dot``, ``mlp1`` (one linear layer) or ``mlp2`` (two), ``reduce`` over locations
    - ``combine``: how f_self and f_cross become one gate; ``self_only``/``cross_only`` leave one
      out, with its parameters
    - ``self_gate``: f_self per channel, or one ``single`` number per joint
    - ``residual``: y = g * v + v, otherwise y = g * v
    - ``context_k``: see :func:`parse_context_k`
    - ``dot_scale``: divide dot products by sqrt(z), which the paper does not
    - ``form``: how scores are computed; all forms give the same numbers, ``auto`` takes the
      fastest measured for the device
    """

    score: str = "mlp2"
    reduce: str = "mean"
    combine: str = "average"
    self_gate: str = "channels"
    residual: bool = True
    context_k: str = "spatial"
    dot_scale: str = "none"
    form: str = "auto"

    def __post_init__(self) -> None:
        for field, value in asdict(self).items():
            if field in CHOICES:
                check_choice(field, value)
        parse_context_k(self.context_k)
        check_form(self.form, self.score, self.reduce)


@dataclass(frozen=True)
class ModelConfig:
    """The whole network; equal configs and class counts build equal networks.

    Skeleton branch: ``stages`` holds the number of units per stage, each stage after the first
    halves the frames and doubles ``width``: (3, 3, 3) is the paper's Table 1, (4, 3, 3) the
    released code.  Units are called gcn0, gcn1, ... through all stages; ``attach`` names those
    that an attention module follows.  ``person_mask`` leaves absent bodies out of the mean over
    persons.

    Context branch: ``context_width`` channels in conv1 (the output has 8 times as many),
    ``context_blocks`` bottlenecks in layer1 and layer2, ``shortcut`` B (projection) or A (zero
    padding).  ``context_align`` says how modules at different frame rates share the branch.
    ``context_channels`` = m > 0 drops the branch: the network then takes a context (N, T, k, m).

    Raises ``ValueError`` for a value that no network can be built from.
    """

    system: str = "cross-attention"
    backbone: str = "stgcn"
    in_channels: int = 3
    graph_variant: str = "spatial"
    stages: tuple[int, ...] = (3, 3, 3)
    width: int = 64
    edge_importance: bool = True
    dropout: float = 0.0
    person_mask: bool = False
    attach: tuple[str, ...] = ("gcn6",)
    attention: AttentionConfig = AttentionConfig()
    context_width: int = 64
    context_blocks: tuple[int, int] = (3, 4)
    shortcut: str = "B"
    context_align: str = "avgpool"
    context_channels: int = 0
    skeleton_init: str = "he"

    def __post_init__(self) -> None:
        for field in CHOICES.keys() & vars(self).keys():
            check_choice(field, getattr(self, field))
        for field in ("stages", "attach", "context_blocks"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        _check_positive(self)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        if self.has_attention:
            self._check_attach()

    def _check_attach(self) -> None:
        names = unit_names(self.stages)
        unknown = [name for name in self.attach if name not in names]
        if unknown or not self.attach or len(set(self.attach)) != len(self.attach):
            raise ValueError(
                f"attach must name different units out of {', '.join(names)}; got {self.attach}"
            )

    @property
    def has_skeleton(self) -> bool:
        """Whether the network reads joints."""
        return self.system in SKELETON_SYSTEMS

    @property
    def has_attention(self) -> bool:
        """Whether attention modules follow units."""
        return self.system in ("self-attention", "cross-attention")

    @property
    def has_context(self) -> bool:
        """Whether the network reads RGB clips, or a context in their place."""
        if self.system == "cross-attention":
            return self.attention.combine != "self_only"
        return self.system in CONTEXT_SYSTEMS

    @property
    def has_rgb_branch(self) -> bool:
        """Whether the context comes from RGB clips."""
        return self.has_context and self.context_channels == 0

    @property
    def features(self) -> int:
        """Channels of the last unit of the skeleton branch."""
        return self.width * 2 ** (len(self.stages) - 1)

    @property
    def context_features(self) -> int:
        """Channels m of the context."""
        return self.context_channels or 8 * self.context_width

    def unit_stage(self, name: str) -> int:
        """Return the stage (from 0) of a unit; its output has T / 2**stage frames."""
        index = unit_names(self.stages).index(name)
        return next(s for s in range(len(self.stages)) if index < sum(self.stages[: s + 1]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, nested under ``attention``, for JSON or a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "ModelConfig":
        """Undo :meth:`to_dict`; raises ``ValueError`` naming a field that does not exist."""
        try:
            attention = AttentionConfig(**data.get("attention", {}))
            return cls(**{**data, "attention": attention})
        except TypeError as error:
            raise ValueError(f"the model configuration does not fit: {error}") from error


def unit_names(stages: Sequence[int]) -> list[str]:
    """Return gcn0, gcn1, ... for all units of all stages."""
    return [f"gcn{index}" for index in range(sum(stages))]


def _check_positive(config: ModelConfig) -> None:
    numbers = {
        "in_channels": [config.in_channels],
        "width": [config.width],
        "context_width": [config.context_width],
        "stages": config.stages or [0],
        "context_blocks": config.context_blocks,
    }
    for field, values in numbers.items():
        if min(values) < 1:
            raise ValueError(f"{field} must be at least 1, got {getattr(config, field)}")
    if len(config.context_blocks) != 2:
        raise ValueError(f"context_blocks must be two numbers, got {config.context_blocks}")
    if config.context_channels < 0:
        raise ValueError(f"context_channels must not be negative, got {config.context_channels}")
