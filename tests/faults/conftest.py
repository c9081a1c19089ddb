"""Two tiny recordings and what an undisturbed build makes of them."""

import shutil

import pytest
from faulty_builds import Build, write_recording


@pytest.fixture(scope="session")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    for person in (1, 2):
        write_recording(folder, f"S001C001P{person:03d}R001A001")
    return folder


@pytest.fixture(scope="session")
def calm(raw, tmp_path_factory):
    """A build that nobody disturbed."""
    build = Build(raw, tmp_path_factory.mktemp("calm"))
    assert build.run().status == 0
    return build


@pytest.fixture
def build(raw, tmp_path):
    """The same build, not begun."""
    return Build(raw, tmp_path)


@pytest.fixture
def finished(calm, build):
    """The same build, finished."""
    shutil.copytree(calm.out, build.out)
    return build
