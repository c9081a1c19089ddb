"""Processes that end with the one that started them, however that one ends."""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>


def die_with_parent() -> None:
    """Let this process be killed when its parent ends, even hung; only Linux knows how.

    What counts as the parent is the thread that started this process.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
