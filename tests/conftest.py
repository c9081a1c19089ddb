"""Fixtures shared by all tests: real samples beside the checkout, Ctrl-C as in a terminal."""

import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("default", deadline=None)
settings.load_profile("default")

# Collecting makes four thousand tests, of which nothing is garbage.
gc.disable()

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


def pytest_collection_finish():
    """Collect garbage again when tests begin."""
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def heed_ctrl_c():
    """Heed Ctrl-C even where the tests run in the background of a script, told to ignore it.

    The commands they start would inherit that; of a handler they inherit nothing.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def samples_dir() -> Path:
    """The folder of real recordings beside the checkout; the test is skipped without it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "samples"
    if not folder.is_dir():
        pytest.skip("the real sample recordings are not beside this checkout")
    return folder
