"""What all tests of builds share."""

import os

import pytest


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch):
    """No test here cuts the power, and a disk may take seconds to answer every flush."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)
