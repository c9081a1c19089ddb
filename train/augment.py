"""Light augmentation of training clips, off by default: noise, light, a second body left out.

Axes as in :mod:`train.transforms`: frames uint8 (T, H, W, 3), joints float32 (T, M, V, C).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as tv

from toolkit.shards import SkeletonLayout, Window
from train.data_config import DataConfig
from train.transforms import is_fractions


@dataclass(frozen=True)
class Augmentation:
    """What is changed in one clip, in all of its frames alike; the defaults change nothing."""

    brightness: float = 1.0
    contrast: float = 1.0
    drops_second: bool = False


UNCHANGED = Augmentation()


def draw_augmentation(config: DataConfig, rng: np.random.Generator) -> Augmentation:
    """Decide what to change; each draw is made whatever the others' settings are."""
    brightness, contrast = (
        1 + reach * rng.uniform(-1, 1) for reach in (config.brightness, config.contrast)
    )
    return Augmentation(brightness, contrast, bool(rng.random() < config.drop_second))


def change_light(frames: Tensor, changes: Augmentation) -> Tensor:
    """Multiply brightness, then each picture's distance from its mean grey; 255 is the most."""
    if changes.brightness == changes.contrast == 1:
        return frames
    pictures = frames.permute(0, 3, 1, 2)
    pictures = tv.adjust_brightness(pictures, changes.brightness)
    pictures = tv.adjust_contrast(pictures, changes.contrast)
    return pictures.permute(0, 2, 3, 1).contiguous()


def add_noise(
    joints: NDArray[np.float32],
    seen: NDArray[np.bool_],
    layout: SkeletonLayout,
    std: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Add normal noise to the places of joints seen; the others, and scores, stay as they are."""
    noise = rng.normal(0, std, joints.shape).astype(np.float32)
    if is_fractions(layout):
        noise[..., 2] = 0
    return joints + np.where(seen[..., None], noise, np.float32(0))


def remove_second(window: Window) -> Window:
    """Return a window without its second body, unless that is the only one in it."""
    if not window.present[:, 0].any():
        return window
    joints, present = window.joints.copy(), window.present.copy()
    joints[:, 1] = 0
    present[:, 1] = 0
    return replace(window, joints=joints, present=present)
