"""Commands in a session of their own, and blows at them or at the processes they start."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Blow -> (at whom, which signal, statuses that a shell may see; 0 if it came too late).
BLOWS = {
    "SIGKILL of the command": ("command", signal.SIGKILL, {137, 0}),
    "SIGKILL of all its processes": ("all", signal.SIGKILL, {137, 0}),
    "SIGTERM of the command": ("command", signal.SIGTERM, {143, 0}),
    "Ctrl-C": ("all", signal.SIGINT, {130, 0}),
    "SIGKILL of a worker": ("worker", signal.SIGKILL, {0}),
    "SIGKILL of a process that reads recordings": ("reader", signal.SIGKILL, {0}),
}
# Generous: on a machine that is busy with others a command is slow, not hung.
LONGEST_S = 300.0
_TURN_S = 0.005


@dataclass
class Command:
    """A running command; its streams are kept in ``folder``."""

    process: subprocess.Popen
    folder: Path

    @classmethod
    def start(cls, arguments, folder: Path) -> "Command":
        """Start a command as the leader of a session."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            process = subprocess.Popen(
                list(map(str, arguments)), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                start_new_session=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        return cls(process, folder)

    @property
    def said(self) -> str:
        """All that came on stderr so far."""
        return (self.folder / "err").read_text()

    def wait(self) -> int:
        """Return the exit status as a shell tells it: 143 too where SIGTERM met Python's own end.

        A command that hangs is killed and has the status 124.
        """
        try:
            status = self.process.wait(LONGEST_S)
            return status if status >= 0 else 128 - status
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            return 124

    def wait_until(self, is_time) -> bool:
        """Wait for something to be so; False if the command ended, or hung, first."""
        until = time.monotonic() + LONGEST_S
        while self.process.poll() is None and time.monotonic() < until:
            if is_time():
                return True
            time.sleep(_TURN_S)
        return False

    def strike(self, whom: str, number: int, choose) -> bool:
        """Send a signal; False if there was nobody to get it."""
        if whom in ("command", "all"):
            if self.process.poll() is not None:
                return False
            # A group that has just lost its leader may have members left.
            (os.killpg if whom == "all" else os.kill)(self.process.pid, number)
            return True
        mark = {"worker": b"popen_loky_posix", "reader": b"sample_process"}[whom]
        marked = [pid for pid in session(self.process.pid) if mark in _command_line(pid)]
        if not marked:
            return False
        with suppress(ProcessLookupError):
            os.kill(choose(marked), number)
        return True

    def survivors(self) -> list[int]:
        """Return the processes of the session that are still there after a minute."""
        until = time.monotonic() + 60
        while (left := session(self.process.pid)) and time.monotonic() < until:
            time.sleep(_TURN_S)
        return left


def session(leader: int) -> list[int]:
    """Return the processes of a session, those that only wait to be collected left out."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # PID (NAME) STATE PARENT GROUP SESSION
            state, _, _, of = path.read_text().rpartition(")")[2].split()[:4]
            if int(of) == leader and state != "Z":
                found.append(int(path.parent.name))
    return found


def _command_line(process: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes()
    return b""
