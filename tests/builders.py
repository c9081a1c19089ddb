"""Writers of tiny raw pose files, so that each test can say in a line what its recording holds."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

NTU_ID = 72057594037931101


def ntu_body(seed: int = 0) -> np.ndarray:
    """Return 25 plausible joints of 12 numbers (x y z, depth, colour, orientation, tracking)."""
    rng = np.random.default_rng(seed)
    joints = np.empty((25, 12), np.float64)
    joints[:, :3] = rng.normal((0.2, 0.1, 3.5), 0.4, (25, 3))
    joints[:, 3:5] = rng.uniform((100, 80), (400, 340), (25, 2))
    joints[:, 5:7] = rng.uniform((400, 100), (1500, 1000), (25, 2))
    joints[:, 7:11] = rng.uniform(-1, 1, (25, 4))
    joints[:, 11] = rng.integers(1, 3, 25)
    return joints.round(6)


def ntu_text(frames: Sequence[Mapping[int, np.ndarray]]) -> str:
    """Return a recording in the NTU grammar; each frame maps body ids to (25, 12) joints."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for body_id, joints in bodies.items():
            lines += [f"{body_id} 0 1 1 1 1 0 0.02764709 -0.05745083 2", str(len(joints))]
            lines += [" ".join(f"{v:.8g}" for v in joint) for joint in joints]
    return "\n".join(lines) + "\n"


def ntu_frames(*bodies_per_frame: Sequence[int]) -> list[dict[int, np.ndarray]]:
    """Return frames that list these body ids, each body with joints of its own in each frame."""
    return [
        {body_id: ntu_body(1000 * t + slot) for slot, body_id in enumerate(body_ids)}
        for t, body_ids in enumerate(bodies_per_frame)
    ]


def write_ntu_skeleton(
    path: Path, frames: Sequence[Mapping[int, np.ndarray]], newline: str = "\n"
) -> Path:
    """Write a ``.skeleton`` file and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ntu_text(frames).replace("\n", newline).encode())
    return path


def pose_person(seed: int = 0, n_joints: int = 18) -> np.ndarray:
    """Return (V, 3) joints x, y, score as fractions with three decimals, none missing."""
    return np.random.default_rng(seed).uniform(0.1, 0.9, (n_joints, 3)).round(3)


def kinetics_frame(frame_index: int, people: Sequence[np.ndarray]) -> dict:
    """Return one entry of a Kinetics-skeleton file's ``data`` list."""
    skeleton = [
        {"pose": p[:, :2].ravel().tolist(), "score": p[:, 2].tolist()}
        for p in map(np.asarray, people)
    ]
    return {"frame_index": frame_index, "skeleton": skeleton}


def write_kinetics_json(
    path: Path,
    people_per_frame: Sequence[Sequence[np.ndarray]],
    *,
    label: str = "hopscotch",
    label_index: int | None = 151,
    first_index: int = 1,
) -> Path:
    """Write a Kinetics-skeleton file whose frames are numbered from ``first_index``."""
    data = [kinetics_frame(t, people) for t, people in enumerate(people_per_frame, first_index)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"data": data, "label": label, "label_index": label_index}))
    return path


def write_openpose_frame(path: Path, people: Sequence[np.ndarray]) -> Path:
    """Write one OpenPose frame; each person is (18, 3) or (25, 3) joints x, y, score."""
    listed = [
        {"person_id": [-1], "pose_keypoints_2d": np.asarray(p).ravel().tolist()} for p in people
    ]
    path.write_text(json.dumps({"version": 1.3, "people": listed}))
    return path


def write_openpose_folder(
    folder: Path,
    people_per_frame: Sequence[Sequence[np.ndarray]],
    *,
    prefix: str = "clip",
    first: int = 0,
) -> Path:
    """Write a folder of OpenPose frames numbered from ``first`` and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, people in enumerate(people_per_frame, first):
        write_openpose_frame(folder / f"{prefix}_{number:012d}_keypoints.json", people)
    return folder
