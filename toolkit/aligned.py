"""What is handed from reading recordings to storing them: a sample, its pictures in a codec."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toolkit.skeleton import SkeletonSequence

BODIES = 2
# Of a stored picture, twice those of 8K video: a few bytes of JPEG can claim 64 times as many.
MAX_PIXELS = 1 << 26

Codec = Literal["jpeg", "h264"]
CODECS: tuple[Codec, ...] = ("jpeg", "h264")


@dataclass(frozen=True)
class AlignedSample:
    """One sample ready to be stored: two bodies, and for every frame its place in the video.

    ``video_index`` int32 (T,) is -1 and ``drift_s`` float32 (T,) 0 where there is no video.
    ``picture_size`` (width, height) has to be told where frames are stored as H.264.
    """

    sample_id: str
    label: int
    poses: SkeletonSequence
    video_index: NDArray[np.int32]
    drift_s: NDArray[np.float32]
    picture_size: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        n_frames, n_bodies = self.poses.present.shape
        if n_bodies != BODIES or n_frames < 1:
            raise ValueError(
                f"a stored sample has {BODIES} bodies and a frame, got {n_bodies} and {n_frames}"
            )
        if self.video_index.shape != (n_frames,) or self.drift_s.shape != (n_frames,):
            raise ValueError(f"a sample of {n_frames} frames needs as many video frames and drifts")
