"""COCO-17 keypoints, which most pose models speak, as the 18 joints of OpenPose."""

import numpy as np
from numpy.typing import NDArray

N_COCO = 17
_NECK = 1
_SHOULDERS = 5, 6
# COCO: nose, then left and right eye, ear, shoulder, elbow, wrist, hip, knee, ankle.  For each
# OpenPose joint the COCO one; the neck, which COCO lacks, is filled in below.
_SOURCE = (0, 5, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)


def coco17_to_openpose18(people: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return people (P, 17, 3) of x, y, score as (P, 18, 3).

    The neck lies halfway between the shoulders, as in OpenPose's training data, with the lower of
    their scores.
    """
    joints = people[:, _SOURCE].astype(np.float32)
    shoulders = people[:, _SHOULDERS]
    joints[:, _NECK, :2] = shoulders[..., :2].mean(1)
    joints[:, _NECK, 2] = shoulders[..., 2].min(1)
    return joints
