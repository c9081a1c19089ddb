"""torchvision's Keypoint R-CNN as a pose estimator of ``ctxtool estimate-poses``."""

from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from toolkit.errors import CtxtoolError
from train.distributed import choose_device
from train.errors import TrainError

# People whose box is scored lower are not listed.
MIN_PERSON = 0.5


class KeypointRcnn:
    """Finds people and their 17 COCO keypoints; ``model`` is torchvision's, in evaluation mode."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self._model, self._device = model.to(device).eval(), device

    def estimate(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the people in an RGB picture, (P, 17, 3) of x, y in pixels, score."""
        tensor = torch.from_numpy(picture).to(self._device).permute(2, 0, 1).float() / 255
        with torch.inference_mode():
            (found,) = self._model([tensor])
        people = found["scores"] >= MIN_PERSON
        # The third number of a keypoint is 1 always; how sure it is, a logit tells.
        score = found["keypoints_scores"][people].sigmoid()
        joints = torch.cat([found["keypoints"][people][..., :2], score[..., None]], -1)
        return joints.cpu().numpy()


def open_keypoint_rcnn(weights: Path | None, device: str) -> KeypointRcnn:
    """Open Keypoint R-CNN with a file of weights, or with those that torchvision fetches.

    Raises ``CtxtoolError`` where there is no network, or for a file of other weights.
    """
    from torchvision.models.detection import (
        KeypointRCNN_ResNet50_FPN_Weights,
        keypointrcnn_resnet50_fpn,
    )

    known = KeypointRCNN_ResNet50_FPN_Weights.DEFAULT
    try:
        place = choose_device(device)
    except TrainError as error:
        raise CtxtoolError(str(error)) from error
    if weights is None:
        try:
            model = keypointrcnn_resnet50_fpn(weights=known)
        except (URLError, OSError) as error:
            raise CtxtoolError(
                f"the weights of Keypoint R-CNN cannot be fetched ({error}): download {known.url}"
                " elsewhere and give it by --weights, or an ONNX model by --model"
            ) from error
        return KeypointRcnn(model, place)
    model = keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    _load_weights(model, weights)
    return KeypointRcnn(model, place)


def _load_weights(model: nn.Module, path: Path) -> None:
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state)
    # Foreign bytes make torch raise a dozen kinds, among them of modules it keeps to itself.
    except Exception as error:
        # Below its heading, torch tells a tensor a line.
        found = (str(error) or type(error).__name__).splitlines()[:2][-1].strip()
        if type(error).__name__ == "UnpicklingError":
            found = (
                "torch did not write it, or it holds more than tensors and plain values, such as"
                " code that would run when it is read, and is refused; give the state dict alone"
            )
        raise CtxtoolError(
            f"{path} does not hold the weights of torchvision's keypointrcnn_resnet50_fpn: {found}"
        ) from error
