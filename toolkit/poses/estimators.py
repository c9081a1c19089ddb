"""Pose estimators by name: packages offer them, so that this one needs none of theirs."""

from importlib.metadata import entry_points
from pathlib import Path

from toolkit.errors import CtxtoolError
from toolkit.poses.estimate import PoseEstimator
from toolkit.poses.onnx_model import open_onnx
from toolkit.shards.files import sha256_of

# The group of entry points of functions (weights: Path | None, device: str) -> PoseEstimator.
GROUP = "ctxtool.pose_estimators"
DEFAULT = "keypointrcnn"


def open_estimator(name: str, weights: Path | None, device: str) -> PoseEstimator:
    """Open the estimator that an installed package offers under a name.

    Raises ``CtxtoolError`` naming those there are.
    """
    offered = {entry.name: entry for entry in entry_points(group=GROUP)}
    if name not in offered:
        there = ", ".join(sorted(offered)) or "none; install ctxtool again to have its own"
        raise CtxtoolError(f"no pose estimator is called {name!r}; installed are: {there}")
    estimator: PoseEstimator = offered[name].load()(weights, device)
    return estimator


def name_model(path: Path | None) -> str:
    """Return which model a file is, by its content, or the default estimator's own weights."""
    return f"sha256 {sha256_of(path)}" if path else DEFAULT


def open_by_file(path: Path | None, device: str) -> PoseEstimator:
    """Open an ONNX model, or the default estimator with a file of weights or with its own."""
    if path is not None and path.suffix.lower() == ".onnx":
        return open_onnx(path)
    return open_estimator(DEFAULT, path, device)
