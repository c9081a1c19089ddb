"""Runs the real command in a process of its own."""

import subprocess
import sys
from dataclasses import dataclass

CTXTOOL = [sys.executable, "-c", "from toolkit.entry import main; main()"]


@dataclass(frozen=True)
class Ran:
    """What a command left: exit status and both streams."""

    status: int
    out: str
    err: str


def ctxtool(*arguments, cwd=None):
    """Run ``ctxtool``; an unexpected traceback fails the test that asked."""
    done = subprocess.run(
        [*CTXTOOL, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ran(done.returncode, done.stdout, done.stderr)


def has_ended(process):
    """Give a process five milliseconds to end; say whether it did."""
    try:
        process.wait(timeout=0.005)
    except subprocess.TimeoutExpired:
        return False
    return True
