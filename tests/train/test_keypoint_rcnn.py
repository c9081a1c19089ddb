from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import nn

from toolkit.errors import CtxtoolError
from toolkit.poses.estimators import DEFAULT, open_estimator
from train.keypoint_rcnn import KeypointRcnn, open_keypoint_rcnn


class Detector(nn.Module):
    """Finds two people with logits 0 and 2, one of them doubtful."""

    def forward(self, pictures):
        (self.seen,) = pictures
        keypoints = torch.arange(2 * 17 * 3).reshape(2, 17, 3).float()
        return [
            {
                "scores": torch.tensor([0.9, 0.3]),
                "keypoints": keypoints,
                "keypoints_scores": torch.tensor([0.0, 2.0])[:, None].expand(2, 17),
            }
        ]


def test_sure_people_are_listed_with_scores_from_0_to_1():
    detector = Detector()
    picture = np.full((4, 6, 3), (255, 0, 51), np.uint8)
    people = KeypointRcnn(detector, torch.device("cpu")).estimate(picture)
    assert people.shape == (1, 17, 3)
    assert people[0, 1] == pytest.approx([3, 4, 0.5])
    assert detector.seen.shape == (3, 4, 6)
    assert detector.seen[:, 0, 0].tolist() == pytest.approx([1, 0, 0.2])


@pytest.fixture
def tiny_network(monkeypatch):
    """In place of torchvision's 59 million weights; it says what it was built with."""
    asked = []

    def build(**options):
        asked.append(options)
        if options["weights"] is not None:
            raise URLError("no route to host")
        return nn.Linear(2, 3)

    monkeypatch.setattr("torchvision.models.detection.keypointrcnn_resnet50_fpn", build)
    return asked


def test_a_file_of_weights_is_loaded_and_nothing_fetched(tiny_network, tmp_path):
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "weights.pth")
    assert isinstance(open_keypoint_rcnn(tmp_path / "weights.pth", "cpu"), KeypointRcnn)
    assert tiny_network == [{"weights": None, "weights_backbone": None}]


@pytest.mark.parametrize("content", [b"no weights", None])
def test_foreign_weights_are_told(tiny_network, tmp_path, content):
    path = tmp_path / "w.pth"
    torch.save({"other": torch.zeros(1)}, path)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CtxtoolError, match=r"w\.pth does not hold the weights of torchvision's"):
        open_keypoint_rcnn(path, "cpu")


class Foreign:
    """Anything but tensors and plain values."""


def test_a_file_that_could_run_code_is_refused_in_our_own_words(tiny_network, tmp_path):
    torch.save({"weight": Foreign()}, tmp_path / "w.pth")
    with pytest.raises(
        CtxtoolError, match=r"w\.pth .* holds more than tensors .* is refused"
    ) as told:
        open_keypoint_rcnn(tmp_path / "w.pth", "cpu")
    assert "weights_only" not in str(told.value)


def test_weights_that_lack_a_tensor_are_told_with_its_name(tiny_network, tmp_path):
    torch.save({"weight": torch.zeros(3, 2)}, tmp_path / "w.pth")
    with pytest.raises(CtxtoolError, match=r'Missing key\(s\) in state_dict: "bias"'):
        open_keypoint_rcnn(tmp_path / "w.pth", "cpu")


def test_no_network_is_told(tiny_network):
    with pytest.raises(CtxtoolError, match=r"cannot be fetched .*no route.* give it by --weights"):
        open_keypoint_rcnn(None, "cpu")


def test_a_wrong_device_is_told(tiny_network):
    with pytest.raises(CtxtoolError, match="toaster"):
        open_keypoint_rcnn(None, "toaster")


def test_the_command_knows_it_by_name(tiny_network, tmp_path):
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "weights.pth")
    assert isinstance(open_estimator(DEFAULT, tmp_path / "weights.pth", "cpu"), KeypointRcnn)
