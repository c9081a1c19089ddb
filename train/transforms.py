"""What happens to the frames and joints of a clip between the shard and the network.

Frames are uint8 (T, H, W, 3), joints float32 (T, M, V, C); M bodies, V joints, C channels.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from toolkit.shards import SkeletonLayout

PLACES = ("centre", "top left", "top right", "bottom left", "bottom right")

# Key values of random_move: the released ST-GCN feeder draws one of each at both ends of a clip.
MOVE_ANGLES_DEG = (-10.0, -5.0, 0.0, 5.0, 10.0)
MOVE_SCALES = (0.9, 1.0, 1.1)
MOVE_SHIFTS = (-0.2, -0.1, 0.0, 0.1, 0.2)

# Beyond this factor a resize must average what it leaves out.  Below, OpenCV's plain one is within
# two grey levels of it on smooth pictures, and a clip takes an eighth less time altogether
# (tests/benchmarks/bench_loader.py).  Frames stored 128 pixels high shrink by 1.14 at most.
_MILD_SHRINK = 1.25


class Box(NamedTuple):
    """A rectangle of a picture, in pixels."""

    top: int
    left: int
    height: int
    width: int


def place_box(height: int, width: int, place: str, scale: float = 1.0) -> Box:
    """Return the part of a picture to cut out (docs/paper.md O4).

    A square of ``scale`` times the shorter side, in the centre or at a corner (:data:`PLACES`);
    ``whole`` is the picture as it is.
    """
    if place == "whole":
        return Box(0, 0, height, width)
    side = max(int(min(height, width) * scale), 1)
    down, right = height - side, width - side
    corners = {
        "centre": (down // 2, right // 2),
        "top left": (0, 0),
        "top right": (0, right),
        "bottom left": (down, 0),
        "bottom right": (down, right),
    }
    return Box(*corners[place], side, side)


def cut_frames(
    frames: Sequence[NDArray[np.uint8]] | NDArray[np.uint8], box: Box, size: int
) -> Tensor:
    """Cut ``box`` out of T pictures (H, W, 3), resized bilinearly to (T, size, size, 3) uint8."""
    top, left, height, width = box
    cuts = [frame[top : top + height, left : left + width] for frame in frames]
    if max(height, width) > _MILD_SHRINK * size:
        return resize_antialiased(np.stack(cuts), size)
    out = np.empty((len(cuts), size, size, 3), np.uint8)
    for cut, target in zip(cuts, out, strict=True):
        cv2.resize(cut, (size, size), dst=target, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(out)


def resize_antialiased(frames: NDArray[np.uint8], size: int) -> Tensor:
    """Resize (T, H, W, 3) to (T, size, size, 3) as PIL does, which Hara's loader uses."""
    pictures = torch.from_numpy(frames).permute(0, 3, 1, 2)
    resized = tv.resize(pictures, [size, size], antialias=True)
    return resized.permute(0, 2, 3, 1).contiguous()


def mirror_frames(frames: Tensor) -> Tensor:
    """Mirror frames (T, H, W, 3) left to right."""
    return frames.flip(2)


def normalise_rgb(
    rgb: Tensor,
    mean: Sequence[float],
    scale: float,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Return (rgb - mean) * scale for uint8 (N, 3, T, H, W), on its device (docs/paper.md O9).

    The memory order stays: batches come channels last, which 3D convolutions like on a GPU.
    """
    return (rgb - _centre(tuple(mean), rgb.device)).mul_(scale).to(dtype)


@functools.cache
def _centre(mean: tuple[float, ...], device: torch.device) -> Tensor:
    """Return the mean on a device: to bring it there for every batch would wait for the GPU."""
    with torch.inference_mode(False):
        return torch.tensor(mean, dtype=torch.float32, device=device).view(3, 1, 1, 1)


def find_seen(
    joints: NDArray[np.float32],
    present: NDArray[np.uint8],
    layout: SkeletonLayout,
    *,
    zero_score: bool = True,
) -> NDArray[np.bool_]:
    """Say which joints are to be believed, (T, M, V): of a body present and, unless
    ``zero_score`` is off, with a score above 0 where the layout has one (docs/paper.md O10).
    """
    seen = np.broadcast_to((present != 0)[..., None], joints.shape[:3])
    if zero_score and is_fractions(layout):
        return seen & (joints[..., 2] != 0)
    return seen


def normalise_joints(
    joints: NDArray[np.float32],
    seen: NDArray[np.bool_],
    layout: SkeletonLayout,
    *,
    centre_joint: bool = False,
) -> NDArray[np.float32]:
    """Return joints (T, M, V, C) about the origin, those not seen at it.

    Fractions of the picture move by -0.5 (docs/paper.md O10), metres stay (O11).  With
    ``centre_joint`` the first place where the layout's centre joint is seen becomes the origin of
    the whole clip, so that paths and distances between bodies stay.
    """
    out = joints.copy()
    places = out[..., :2] if is_fractions(layout) else out
    if is_fractions(layout):
        places -= 0.5
    first = np.argwhere(seen[:, :, layout.centre])
    if centre_joint and len(first):
        frame, body = first[0]
        places -= places[frame, body, layout.centre].copy()
    places[~seen] = 0
    return out


def mirror_joints(joints: NDArray[np.float32], layout: SkeletonLayout) -> NDArray[np.float32]:
    """Mirror normalised joints: x to -x, and left and right joints change places."""
    out = joints[:, :, layout.mirrored()]
    out[..., 0] *= -1
    return out


def move_joints(
    joints: NDArray[np.float32], seen: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Rotate, scale and shift x and y, changing evenly over the clip (docs/paper.md O8).

    Both ends of the clip draw an angle, a scale and a shift each.  Joints not seen stay.
    """
    T = len(joints)
    angle = np.radians(_glide(MOVE_ANGLES_DEG, T, rng))
    scale = _glide(MOVE_SCALES, T, rng)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    x, y = joints[..., 0], joints[..., 1]
    moved = joints.copy()
    moved[..., 0] = cos * x - sin * y + _glide(MOVE_SHIFTS, T, rng)
    moved[..., 1] = sin * x + cos * y + _glide(MOVE_SHIFTS, T, rng)
    return np.where(seen[..., None], moved, joints)


def _glide(values: Sequence[float], n_frames: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw two values and go evenly from one to the other, (T, 1, 1)."""
    begin, end = rng.choice(values, 2).tolist()
    return np.linspace(begin, end, n_frames)[:, None, None]


def is_fractions(layout: SkeletonLayout) -> bool:
    """Say whether x and y are fractions of the picture with a score, not metres."""
    return layout.channels[2] == "score"
