"""One thread, and a small data set that all tests may read."""

import pytest
import torch
from shard_builders import write_dataset


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """Samples a b d f g of 33, 16, 5, 40 and 17 frames; b and d are xsub's test subset."""
    return write_dataset(tmp_path_factory.mktemp("train") / "made")
