"""Pose models given as an ONNX file: three conventions, told apart by the shapes they declare.

| kind | input | output |
| --- | --- | --- |
| MoveNet, one person | (1, H, W, 3) RGB 0 to 255 | (1, 1, 17, 3): y, x, score, fractions |
| MoveNet, several | the same | (1, N, 56): 17 times y, x, score, then box and score |
| YOLO pose | (1, 3, H, W) RGB 0 to 1 | (1, 56, N): box, score, 17 times x, y, score, pixels |
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from toolkit.errors import CtxtoolError
from toolkit.poses.coco import N_COCO
from toolkit.shards.codec import Picture

People = NDArray[np.float32]

# People scored lower are not listed; two boxes that share more than this are one person.
MIN_PERSON, MAX_OVERLAP = 0.25, 0.65
# Inputs of any size are given this one.
DEFAULT_SIDE = 640
_PAD = 114


class OnnxEstimator:
    """A pose model run by onnxruntime; raises ``CtxtoolError`` for one of another convention.

    ``session`` is an ``onnxruntime.InferenceSession``, or anything that behaves alike.
    """

    def __init__(self, session: Any, name: str) -> None:
        self._session = session
        (taken, *more), (given, *_) = session.get_inputs(), session.get_outputs()
        self._read = None if more else _choose_reader(taken.shape, given.shape)
        if self._read is None:
            raise CtxtoolError(
                f"{name}: takes {taken.shape} and gives {given.shape}, which is no known pose"
                " model: MoveNet takes (1, H, W, 3) and gives (1, 1, 17, 3) or (1, N, 56), YOLO"
                " pose takes (1, 3, H, W) and gives (1, 56, N)"
            )
        self._input = taken
        self._channels_first = taken.shape[1] == 3
        sides = taken.shape[2:] if self._channels_first else taken.shape[1:3]
        self._size = tuple(s if isinstance(s, int) else DEFAULT_SIDE for s in sides)

    def estimate(self, picture: Picture) -> People:
        """Return the people in an RGB picture, (P, 17, 3) of x, y in pixels, score."""
        height, width = self._size
        scale = min(height / picture.shape[0], width / picture.shape[1])
        canvas = np.full((height, width, 3), _PAD, np.uint8)
        size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
        canvas[: size[1], : size[0]] = cv2.resize(picture, size)
        outputs = self._session.run(None, {self._input.name: self._prepare(canvas)})
        people = self._read(np.asarray(outputs[0], np.float32), (height, width))  # type: ignore[misc]
        people[..., :2] /= scale
        return people

    def _prepare(self, canvas: Picture) -> NDArray[Any]:
        if self._channels_first:
            return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None], np.float32) / 255
        kinds = {"tensor(int32)": np.int32, "tensor(uint8)": np.uint8}
        return canvas[None].astype(kinds.get(self._input.type, np.float32))


def open_onnx(path: Path) -> OnnxEstimator:
    """Open a model file; ``CtxtoolError`` without onnxruntime, or for a file it does not take."""
    try:
        import onnxruntime
    except ImportError as error:
        raise CtxtoolError(
            f"{path}: ONNX models are run by onnxruntime, which is not installed: pip install"
            " 'ctxtool[export]'"
        ) from error
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    # onnxruntime keeps its exceptions to itself.
    except Exception as error:
        first = str(error).splitlines()[0]
        raise CtxtoolError(f"{path}: is no model that onnxruntime reads: {first}") from error
    return OnnxEstimator(session, str(path))


Reader = Callable[[NDArray[np.float32], tuple[int, int]], People]


def _choose_reader(taken: list[Any], given: list[Any]) -> Reader | None:
    if len(taken) != 4 or not 3 <= len(given) <= 4:
        return None
    if taken[3] == 3 and given[-2:] == [N_COCO, 3]:
        return _read_single
    if taken[3] == 3 and len(given) == 3 and given[2] == 56:
        return _read_multi
    if taken[1] == 3 and len(given) == 3 and given[1] == 56:
        return _read_yolo
    return None


def _read_single(output: NDArray[np.float32], size: tuple[int, int]) -> People:
    return _from_yx(output.reshape(-1, N_COCO, 3), size)


def _read_multi(output: NDArray[np.float32], size: tuple[int, int]) -> People:
    people = output[0][output[0][:, 55] >= MIN_PERSON]
    return _from_yx(people[:, :51].reshape(-1, N_COCO, 3), size)


def _from_yx(people: NDArray[np.float32], size: tuple[int, int]) -> People:
    height, width = size
    return people[..., [1, 0, 2]] * np.array([width, height, 1], np.float32)


def _read_yolo(output: NDArray[np.float32], size: tuple[int, int]) -> People:
    rows = output[0].T
    rows = rows[rows[:, 4] >= MIN_PERSON]
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    kept: list[NDArray[np.float32]] = []
    for row in rows:
        if all(_overlap(row[:4], other[:4]) <= MAX_OVERLAP for other in kept):
            kept.append(row)
    people = np.array([row[5:] for row in kept], np.float32)
    return people.reshape(-1, N_COCO, 3)


def _overlap(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the shared part of two boxes (middle x, middle y, width, height), 0 to 1."""
    low = np.maximum(one[:2] - one[2:] / 2, other[:2] - other[2:] / 2)
    high = np.minimum(one[:2] + one[2:] / 2, other[:2] + other[2:] / 2)
    shared = float(np.clip(high - low, 0, None).prod())
    return shared / max(float(one[2:].prod() + other[2:].prod()) - shared, 1e-9)
