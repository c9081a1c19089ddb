"""Clips of a sample in the form in which a page plays them, and how it draws skeletons."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.clips import tile
from toolkit.drawing import MIDDLE, SIDES, Colour, bone_colour, is_drawn
from toolkit.page.packing import Pack
from toolkit.shards.dataset import DatasetReader
from toolkit.shards.reader import Window
from toolkit.skeleton import METRES, SkeletonLayout
from toolkit.space import look_at

# Positions are stored as whole ten-thousandths of the picture, space as millimetres.
PIXEL_STEPS = 10_000
UNSEEN = -32768
_MM_PER_M = 1000
_TRACKED = 2


def pack_clips(reader: DatasetReader, window: Window, number: int, chosen: Sequence[int]) -> str:
    """Return the chosen clips of a sample as one text: stored JPEGs, joints, drift, frame numbers.

    ``window`` holds the whole sample with that number in the reader.
    """
    starts, lengths = tile(len(window))
    pack = Pack()
    frames = np.concatenate([starts[c] + np.arange(lengths[c]) for c in chosen])
    header = {
        "id": str(reader.samples["sample_id"].iloc[number]),
        "n_clips": len(starts),
        "clips": [{"number": c, "n": int(lengths[c])} for c in chosen],
        "frame": frames.tolist(),
        "video_index": window.video_index[frames].tolist(),
        "drift_ms": [round(float(d) * 1000, 3) for d in window.drift_s[frames]],
        "jpegs": [pack.add(window.jpegs[t]) for t in frames.tolist()] if window.frames else [],
        **_pack_joints(_take(window, frames), reader, pack),
        **_describe_space(window, reader),
    }
    return pack.to_text(header)


@dataclass(frozen=True)
class _Joints:
    """The skeletons of the chosen frames, as :class:`Window` has them."""

    joints: NDArray[np.float32]
    present: NDArray[np.bool_]
    tracking: NDArray[np.uint8]
    pixels: NDArray[np.float32]


def _take(window: Window, frames: NDArray[np.int64]) -> _Joints:
    present = window.present[frames] > 0
    return _Joints(window.joints[frames], present, window.tracking[frames], window.pixels[frames])


def _describe_space(window: Window, reader: DatasetReader) -> dict[str, Any]:
    """Return from where the page looks at joints in metres, in millimetres as they are stored."""
    if reader.info.layout.channels != METRES:
        return {}
    view = look_at(window)
    x, y, z, extent, floor = (
        round(value * _MM_PER_M, 1) for value in (*view.centre, view.extent, view.floor)
    )
    return {"space_view": {"centre": [x, y, z], "extent": extent, "floor": floor}}


def _pack_joints(joints: _Joints, reader: DatasetReader, pack: Pack) -> dict[str, Any]:
    metric = reader.info.layout.channels == METRES
    drawn = is_drawn(joints.pixels) & joints.present[..., None]
    pixels = np.where(drawn[..., None], joints.pixels * PIXEL_STEPS, UNSEEN)
    levels = joints.tracking / _TRACKED if metric else joints.joints[..., 2].clip(0, 1)
    packed = {
        "pixels": pack.add(pixels.round().astype(np.int16)),
        "confidence": pack.add((levels * 255).round().astype(np.uint8)),
        "has_confidence": bool(levels[joints.present].any()),
    }
    if metric:
        space = np.where(joints.present[..., None, None], joints.joints * _MM_PER_M, UNSEEN)
        packed["space"] = pack.add(space.clip(UNSEEN, ~UNSEEN).round().astype(np.int16))
    return packed


def describe_drawing(layout: SkeletonLayout) -> dict[str, Any]:
    """Return what a page needs to draw skeletons as ``toolkit.drawing`` does."""
    return {
        "joints": list(layout.joints),
        "bones": [list(bone) for bone in layout.bones],
        "colours": [_say_colour(bone_colour(layout, a, b)) for a, b in layout.bones],
        "sides": {
            name: _say_colour(colour) for name, colour in (SIDES | {"middle": MIDDLE}).items()
        },
        "metric": layout.channels == METRES,
        "steps": PIXEL_STEPS,
        "unseen": UNSEEN,
    }


def _say_colour(colour: Colour) -> str:
    return "rgb({},{},{})".format(*colour)
