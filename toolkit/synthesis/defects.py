"""What goes wrong in real recordings: frames without bodies, and bodies that nobody is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.synthesis.latents import DEFECTS, open_stream
from toolkit.synthesis.options import SynthesisOptions
from toolkit.synthesis.poses import Figure

# No longer than this is a phantom that the length rule drops (docs/formats.md, "Body selection").
_MAX_SHORT = 11
_MAX_GAP = 8


@dataclass(frozen=True)
class Defects:
    """Frames that list nobody, frames that also list a phantom, and whether it stands first."""

    gap: range = range(0)
    phantom: range = range(0)
    phantom_first: bool = False


def draw_defects(options: SynthesisOptions, number: int) -> Defects:
    """Draw the defects of recording ``number``: each kind in half of the recordings.

    A phantom is there for up to 11 frames or all the time; a gap is up to 8 frames, fewer than
    half, and may be at the very beginning.
    """
    rng = open_stream(options.seed, number, DEFECTS)
    has_gap, has_phantom, is_short, first = rng.integers(0, 2, 4).tolist()
    n_frames = options.n_frames
    longest = min(_MAX_GAP, (n_frames - 1) // 2)
    gap = _place(int(rng.integers(1, longest + 1)) if longest else 0, n_frames, rng)
    length = int(rng.integers(1, _MAX_SHORT + 1)) if is_short else n_frames
    phantom = _place(min(length, n_frames), n_frames, rng)
    return Defects(
        gap=gap if options.gaps and has_gap else range(0),
        phantom=phantom if options.phantoms and has_phantom else range(0),
        phantom_first=bool(first),
    )


def _place(length: int, n_frames: int, rng: np.random.Generator) -> range:
    start = int(rng.integers(0, n_frames - length + 1))
    return range(start, start + length)


def lay_down(figure: Figure) -> NDArray[np.float64]:
    """Return the joints (V, 2) of a phantom: the figure on its side, wider than high, below."""
    return figure.joints[:, ::-1] + np.array([0.1, 0.3])
