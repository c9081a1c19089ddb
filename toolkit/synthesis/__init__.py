"""Raw sample data in the true formats, in which the picture decides which joints matter."""

from toolkit.synthesis.ceilings import compute_ceilings
from toolkit.synthesis.kinetics import synthesize_kinetics
from toolkit.synthesis.latents import PRESETS, Preset
from toolkit.synthesis.ntu import synthesize_ntu
from toolkit.synthesis.options import SynthesisOptions, SynthesisReport

__all__ = [
    "PRESETS",
    "Preset",
    "SynthesisOptions",
    "SynthesisReport",
    "compute_ceilings",
    "synthesize_kinetics",
    "synthesize_ntu",
]
