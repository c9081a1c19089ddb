"""What to synthesise, and the plan that follows from it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolkit.synthesis.latents import LATENTS, PRESETS, Latents, Preset, open_stream

# Part of what a folder remembers: raise it when the same options yield other data.
GENERATOR_VERSION = 1
MIN_PHANTOM_FRAMES = 24
MIN_SIDE = 16


@dataclass(frozen=True)
class SynthesisOptions:
    """Which data to make; ``size`` is (width, height) in pixels.

    ``phantoms``: half the recordings list a second body that nobody is; ``gaps``: half have frames
    without any body; ``occlusion``: share of joints of a frame that are badly placed.  Everything
    but ``n_jobs`` decides what is written.  Raises ``ValueError`` on values that cannot be met.
    """

    preset: str = "demo"
    n_train: int = 48
    n_test: int = 16
    n_frames: int = 48
    size: tuple[int, int] = (128, 96)
    seed: int = 0
    n_jobs: int = 1
    phantoms: bool = False
    gaps: bool = False
    occlusion: float = 0.0

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {self.preset!r}")
        for name in ("n_train", "n_test", "n_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if any(side < MIN_SIDE or side % 2 for side in self.size):
            raise ValueError(f"size must be even numbers from {MIN_SIDE} on, got {self.size}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if self.n_jobs == 0:
            raise ValueError("n_jobs must be a number of processes, or -1 for all cores, got 0")
        if not 0 <= self.occlusion <= 1:
            raise ValueError(f"occlusion must be a share from 0 to 1, got {self.occlusion}")
        if self.phantoms and self.n_frames < MIN_PHANTOM_FRAMES:
            raise ValueError(f"phantoms need n_frames of at least {MIN_PHANTOM_FRAMES}")

    @property
    def sizes(self) -> Preset:
        """How many values each latent takes."""
        return PRESETS[self.preset]

    def to_dict(self) -> dict[str, Any]:
        """Return what decides the data, as JSON values."""
        values = {**asdict(self), "size": list(self.size), "generator": GENERATOR_VERSION}
        del values["n_jobs"]
        return values


@dataclass(frozen=True)
class Recording:
    """One planned recording; ``number`` counts from 0 and opens its random streams."""

    number: int
    subset: str
    latents: Latents
    label: int
    name: str = ""


@dataclass(frozen=True)
class SynthesisReport:
    """What lies in ``out`` now; ``reused`` says that it was complete before."""

    out: Path
    n_train: int
    n_test: int
    ceilings: dict[str, float | None]
    reused: bool


def plan_recordings(options: SynthesisOptions) -> list[Recording]:
    """Draw the latents of every recording, independent and uniform; the first are for training."""
    recordings = []
    for number in range(options.n_train + options.n_test):
        latents = options.sizes.draw(open_stream(options.seed, number, LATENTS))
        subset = "train" if number < options.n_train else "test"
        recordings.append(Recording(number, subset, latents, options.sizes.label(latents)))
    return recordings
