"""One thread, a fixed seed, and the two graphs that the paper uses."""

import pytest
import torch

from toolkit.skeleton import NTU25, OPENPOSE18, SkeletonLayout
from train.models import SkeletonGraph


@pytest.fixture(autouse=True)
def repeatable():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def graph_of(layout: SkeletonLayout) -> SkeletonGraph:
    return SkeletonGraph(layout.n_joints, layout.bones, layout.centre)


@pytest.fixture(scope="session")
def openpose() -> SkeletonGraph:
    return graph_of(OPENPOSE18)


@pytest.fixture(scope="session")
def ntu() -> SkeletonGraph:
    return graph_of(NTU25)
