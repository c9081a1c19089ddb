"""Signals as wishes: noted, given back, and left alone where they are ignored."""

import signal

import pytest

from train.signals import catch_stop


@pytest.fixture
def ignored_ctrl_c():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_signal_is_noted_and_handlers_come_back():
    before = signal.getsignal(signal.SIGINT)
    with catch_stop() as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert stop.signal_number == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_ends_at_once():
    with catch_stop(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_an_ignored_ctrl_c_is_no_wish(ignored_ctrl_c):
    with catch_stop() as stop:
        signal.raise_signal(signal.SIGINT)
    assert stop.signal_number == 0
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
