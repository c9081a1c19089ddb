"""A whole shard, a copy to damage, and a reader of one."""

import shutil
from pathlib import Path

import pytest
from stored import write_shard

from toolkit.shards import ShardReader


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_shard(tmp_path_factory.mktemp("whole") / "00000.h5")


@pytest.fixture
def shard(whole, tmp_path):
    return Path(shutil.copy(whole, tmp_path / "00000.h5"))


@pytest.fixture(scope="module")
def path(whole):
    return whole


@pytest.fixture
def reader(path):
    with ShardReader(path) as reader:
        yield reader
