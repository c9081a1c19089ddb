"""Everything that decides the bytes of a build; recorded in the plan, compared on resume."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from toolkit.aligned import CODECS, Codec

Source = Literal["ntu", "kinetics", "openpose", "shards"]
Alignment = Literal["frame", "time"]

# The reader of .skeleton files counts at this rate; the matcher must count alike.
NTU_FPS = 30.0


@dataclass(frozen=True)
class BuildOptions:
    """How raw recordings become shards.

    ``align`` says whether pose frame i belongs to video frame i (``frame``, NTU) or to the frame
    shown at the same second (``time``).  ``tolerance_ms`` is the largest drift, or the largest
    difference of the two frame counts at ``pose_fps``, that is not yet ``misaligned``.
    ``frame_size`` is the short side of the stored picture in pixels, 0 for the original size.
    ``quality`` is that of JPEGs, ``crf`` that of H.264, and ``encoder`` what the latter is made by.
    Raises ``ValueError`` naming an option outside its range.
    """

    source: Source
    align: Alignment
    bodies: str
    pose_fps: float = 30.0
    pose_scale: str = "auto"
    tolerance_ms: float = 100.0
    min_frames: int = 1
    frame_size: int = 128
    codec: Codec = "jpeg"
    quality: int = 90
    crf: int = 20
    encoder: str = ""
    skeleton_only: bool = False
    samples_per_shard: int = 64

    def __post_init__(self) -> None:
        ranges = {
            "pose_fps": self.pose_fps > 0,
            "tolerance_ms": self.tolerance_ms >= 0,
            "min_frames": self.min_frames >= 1,
            "frame_size": self.frame_size == 0
            or (self.frame_size >= 16 and self.frame_size % 2 == 0),
            "codec": self.codec in CODECS,
            "quality": 1 <= self.quality <= 100,
            "crf": 1 <= self.crf <= 51,
            "samples_per_shard": self.samples_per_shard >= 1,
        }
        for name, fits in ranges.items():
            if not fits:
                wanted = {"frame_size": ": 0, or an even number from 16"}.get(name, "")
                raise ValueError(
                    f"{name.replace('_', ' ')} cannot be {getattr(self, name)}{wanted}"
                )
        if self.source == "ntu" and self.pose_fps != NTU_FPS:
            raise ValueError(f"NTU RGB+D poses come at {NTU_FPS:g} a second, not {self.pose_fps:g}")

    def to_dict(self) -> dict[str, Any]:
        """Return the options as plain values."""
        return asdict(self)
