"""Fixtures shared by all tests: the real samples where they lie beside the checkout."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("default", deadline=None)
settings.load_profile("default")

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


@pytest.fixture(scope="session")
def samples_dir() -> Path:
    """The folder of real recordings beside the checkout; the test is skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "samples"
    if not folder.is_dir():
        pytest.skip("the real sample recordings are not beside this checkout")
    return folder
