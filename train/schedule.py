"""The learning rate as a pure function of the step, and the settings of the optimiser."""

import math
from dataclasses import dataclass

# The paper's rate belongs to its batch of 128 clips.
REFERENCE_BATCH = 128
# The one-cycle schedule begins at 1/25 of the peak and ends at 1/10,000 of its beginning.
ONECYCLE_START, ONECYCLE_END = 1 / 25, 1e-4
SCHEDULES = ("milestones", "onecycle")


@dataclass(frozen=True)
class OptimConfig:
    """SGD and its schedule; the defaults are the paper's (docs/paper.md O22-O25, O31).

    - ``lr`` is for 128 clips a step; with ``scale_lr`` it grows and shrinks with the real number
    - ``schedule``: ``milestones`` (in epochs) multiply the rate by ``gamma`` each; ``onecycle``
      rises for ``rise_share`` of all steps to the peak and falls to nearly 0, both as a cosine
    - ``warmup_epochs``: the rate grows linearly from 0 (milestones only)
    - ``exempt``: no weight decay for norms, biases and edge importance
    - ``clip``: largest norm of the gradient, 0 for no limit

    Raises ``ValueError`` for values that no training can use.
    """

    lr: float = 0.1
    scale_lr: bool = True
    momentum: float = 0.9
    dampening: float = 0.0
    nesterov: bool = False
    weight_decay: float = 1e-3
    exempt: bool = False
    epochs: int = 260
    schedule: str = "milestones"
    milestones: tuple[float, ...] = (80, 160, 240)
    gamma: float = 0.1
    warmup_epochs: float = 0.0
    rise_share: float = 0.3
    label_smoothing: float = 0.0
    clip: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "milestones", tuple(self.milestones))
        if self.schedule not in SCHEDULES:
            wanted = ", ".join(SCHEDULES)
            raise ValueError(f"schedule must be one of {wanted}; got {self.schedule!r}")
        if self.epochs < 1 or self.lr <= 0 or not math.isfinite(self.lr):
            raise ValueError(
                f"epochs must be at least 1 and lr positive; got {self.epochs} and {self.lr}"
            )
        for name in ("momentum", "dampening", "rise_share", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        for name in ("weight_decay", "warmup_epochs", "clip", "gamma"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov needs momentum above 0 and dampening 0")
        if self.schedule == "onecycle" and self.warmup_epochs > 0:
            raise ValueError("onecycle has its own rise: leave warmup_epochs at 0")


def scale_rate(config: OptimConfig, clips_per_step: int) -> float:
    """Return the peak rate for this many clips a step over all ranks (docs/paper.md O24)."""
    return config.lr * clips_per_step / REFERENCE_BATCH if config.scale_lr else config.lr


def rate_factor(config: OptimConfig, step: int, steps_per_epoch: int) -> float:
    """Return the share of the peak rate to take at a step, counted from 0 over the whole run."""
    if config.schedule == "onecycle":
        return _onecycle(step, config.epochs * steps_per_epoch, config.rise_share)
    # Whole steps are compared: a milestone in epochs must not move by a rounding error.
    passed = sum(step >= round(m * steps_per_epoch) for m in config.milestones)
    warmup = round(config.warmup_epochs * steps_per_epoch)
    return config.gamma**passed * min(1.0, (step + 1) / max(warmup, 1))


def _onecycle(step: int, n_steps: int, rise_share: float) -> float:
    """Smith's one-cycle policy in the two-phase cosine form of ``OneCycleLR``."""
    peak, last = rise_share * n_steps - 1, n_steps - 1
    if step <= peak:
        return _cosine(ONECYCLE_START, 1.0, step / peak if peak > 0 else 1.0)
    end = ONECYCLE_START * ONECYCLE_END
    return _cosine(1.0, end, (step - peak) / (last - peak) if last > peak else 1.0)


def _cosine(begin: float, end: float, share: float) -> float:
    return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2
