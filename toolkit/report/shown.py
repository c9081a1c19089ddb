"""The few samples whose frames a report carries: which, which clips of them, and in what form."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.clips import CLIP_LENGTH, tile
from toolkit.drawing import is_drawn
from toolkit.render import pick_evenly
from toolkit.report.packing import Pack
from toolkit.shards.dataset import DatasetReader
from toolkit.shards.reader import Window
from toolkit.skeleton import METRES
from toolkit.space import look_at

# Positions are stored as whole ten-thousandths of the picture, space as millimetres.
PIXEL_STEPS = 10_000
UNSEEN = -32768
_MM_PER_M = 1000
_TRACKED = 2


def choose_samples(reader: DatasetReader, n_wanted: int) -> list[int]:
    """Return the numbers of up to ``n_wanted`` samples, the worst drift first.

    Half are those of the worst drift, if any drifts at all; the rest is spread evenly over the
    classes.
    """
    drift = reader.samples["max_drift_ms"].to_numpy(np.float64, na_value=0.0)
    worst_first = np.argsort(-drift, kind="stable")
    worst = [int(i) for i in worst_first[: n_wanted // 2] if drift[i] > 0]
    by_class = np.argsort(reader.labels, kind="stable")
    others = by_class[~np.isin(by_class, worst)]
    spread = [int(others[i]) for i in pick_evenly(len(others), n_wanted - len(worst))]
    return sorted([*worst, *spread], key=lambda i: (-drift[i], i))


def choose_clips(drift_s: NDArray[np.float32], n_wanted: int) -> list[int]:
    """Return up to ``n_wanted`` clips of a sample in order: the one of worst drift, others spread.

    >>> choose_clips(np.float32([0] * 50 + [1] + [0] * 49), 3)
    [0, 3, 6]
    """
    starts, _ = tile(len(drift_s))
    worst = int(np.abs(drift_s).argmax()) // CLIP_LENGTH
    others = [clip for clip in range(len(starts)) if clip != worst]
    chosen = [others[i] for i in pick_evenly(len(others), n_wanted - 1)]
    return sorted([worst, *chosen])


def pack_sample(reader: DatasetReader, number: int, n_clips: int) -> str:
    """Return a sample's chosen clips as one text: stored JPEGs, joints, drift, frame numbers."""
    window, pack = reader.sample(number), Pack()
    starts, lengths = tile(len(window))
    chosen = choose_clips(window.drift_s, n_clips)
    frames = np.concatenate([starts[c] + np.arange(lengths[c]) for c in chosen])
    header = {
        "id": str(reader.samples["sample_id"].iloc[number]),
        "n_clips": len(starts),
        "clips": [{"number": c, "n": int(lengths[c])} for c in chosen],
        "frame": frames.tolist(),
        "video_index": window.video_index[frames].tolist(),
        "drift_ms": [round(float(d) * 1000, 3) for d in window.drift_s[frames]],
        "jpegs": [pack.add(window.jpegs[t]) for t in frames.tolist()] if window.jpegs else [],
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
