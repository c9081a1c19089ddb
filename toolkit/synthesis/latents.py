"""The hidden variables of a synthetic recording, and the presets that say how many there are."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

# Random streams of one recording: what is drawn in one never shifts what is drawn in another.
LATENTS, SKELETON, SCENE, DEFECTS, NAMES = range(5)
# The scene tells (s, p) by one of four background colours.
MAX_SCENES = 4
N_MOTIONS = 4


@dataclass(frozen=True)
class Latents:
    """What a recording shows, numbered from 0.

    The picture alone tells the scene family ``s`` and the part that counts ``p``; the skeleton
    alone tells the posture ``q`` and the motions of all parts ``a``.
    """

    s: int
    p: int
    q: int
    a: tuple[int, ...]


@dataclass(frozen=True)
class Preset:
    """How many values each latent takes; ``distinct``: no two parts move alike.

    See docs/synthetic-data.md.  The label is (s, q, motion of part p).  Raises ``ValueError`` on
    sizes that cannot be drawn.
    """

    name: str
    S: int
    Q: int
    A: int
    P: int
    distinct: bool = False

    def __post_init__(self) -> None:
        if not (1 <= self.S * self.P <= MAX_SCENES and self.P in (2, 4)):
            raise ValueError(f"{self.name}: 2 or 4 parts and at most {MAX_SCENES} scenes are drawn")
        if not (self.Q in (1, 2) and 2 <= self.A <= N_MOTIONS):
            raise ValueError(f"{self.name}: 1 or 2 postures, 2 to {N_MOTIONS} motions are drawn")
        if self.distinct and self.A < self.P:
            raise ValueError(f"{self.name}: {self.P} parts need as many distinct motions")

    @property
    def n_classes(self) -> int:
        """How many labels there are."""
        return self.S * self.Q * self.A

    def label(self, latents: Latents) -> int:
        """Return the class of a recording, 0-based."""
        return (latents.s * self.Q + latents.q) * self.A + latents.a[latents.p]

    def list_motions(self) -> list[tuple[int, ...]]:
        """Return every equally likely (a_1, ..., a_P)."""
        motions = range(self.A)
        if self.distinct:
            return list(permutations(motions, self.P))
        return list(product(motions, repeat=self.P))

    def iterate_outcomes(self) -> Iterator[Latents]:
        """Yield every equally likely combination of the latents once."""
        sizes = range(self.S), range(self.P), range(self.Q)
        for s, p, q, a in product(*sizes, self.list_motions()):
            yield Latents(s, p, q, a)

    def draw(self, rng: np.random.Generator) -> Latents:
        """Draw the latents of one recording, independent and uniform."""
        motions = self.list_motions()
        s, p, q = (int(rng.integers(n)) for n in (self.S, self.P, self.Q))
        return Latents(s, p, q, motions[rng.integers(len(motions))])


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("demo", 2, 1, 2, 2),
        Preset("graded", 2, 2, 2, 2),
        Preset("pure", 1, 1, 2, 2),
        Preset("four-motions", 1, 1, 4, 2),
        Preset("distinct-motions", 1, 1, 4, 2, distinct=True),
        Preset("four-parts", 1, 1, 4, 4, distinct=True),
    )
}


def open_stream(seed: int, number: int, stream: int) -> np.random.Generator:
    """Return the random numbers of one stream of one recording, whatever else is drawn."""
    return np.random.default_rng(np.random.SeedSequence((seed, number, stream)))
