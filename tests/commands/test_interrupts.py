"""Ctrl-C and SIGTERM end a build at once and quietly; the next run ends in the same bytes."""

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios
from types import SimpleNamespace

import pytest
from poison import write_poison
from raw_folders import in_process, shards, write_ntu
from running import CTXTOOL, has_ended

from toolkit.shards import writer

NAMES = [f"S001C001P00{n}R001A001" for n in range(1, 8)]
# No build that reads these ends by itself: it is stopped at the same place however fast it is.
HANGING = NAMES[-2:]
SAID = {
    signal.SIGINT: (130, "interrupted; "),
    signal.SIGTERM: (143, "terminated; "),
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    for name in NAMES:
        write_ntu(folder, name, 4)
    return folder


def options(raw, out, jobs):
    run = ("--raw", raw, "--out", out, "--jobs", jobs, "--samples-per-shard", 1)
    return ("extract-ntu", *run, "--frame-size", 16)


@pytest.fixture(scope="module")
def calm(raw, tmp_path_factory):
    """The bytes of every shard of a build that nobody stopped."""
    out = tmp_path_factory.mktemp("calm") / "out"
    assert in_process(*options(raw, out, 1)).status == 0
    return {name: data for name, (_, data) in shards(out).items() if name.endswith(".h5")}


def stop(arguments, number, is_time, environment=None):
    """Start a command, send the signal as soon as ``is_time`` says so, and wait for its end.

    Ctrl-C reaches the whole process group, as in a terminal; SIGTERM the command alone, as from a
    scheduler.  Its processes hold its streams, so the end of those is the end of them all.
    """
    process = subprocess.Popen(
        [*CTXTOOL, *map(str, arguments)], env=os.environ | (environment or {}),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while not is_time() and not has_ended(process):
        continue
    send = os.killpg if number == signal.SIGINT else os.kill
    with contextlib.suppress(ProcessLookupError):
        send(process.pid, number)
    out, err = process.communicate(timeout=60)
    return SimpleNamespace(status=process.returncode, out=out, err=err)


def n_done(out):
    return len(list((out / "shards").glob("0*.json")))


def when_all_else_is_done(out, poison):
    """Return a question: is each of two processes in the middle of a shard, all others done?"""
    return lambda: len(list(poison.glob("hanging-*"))) == 2 and n_done(out) == len(NAMES) - 2


@pytest.mark.parametrize("number", SAID, ids=lambda number: number.name)
def test_a_stopped_build_says_so_and_goes_on(raw, calm, tmp_path, number):
    out = tmp_path / "out"
    poison = tmp_path / "poison"
    environment = write_poison(poison, dict.fromkeys(HANGING, "hang"))
    is_time = when_all_else_is_done(out, poison)
    stopped = stop(options(raw, out, 2), number, is_time, environment)

    status, said = SAID[number]
    assert (stopped.status, stopped.out) == (status, "")
    assert stopped.err.strip().startswith(said)
    assert "goes on" in stopped.err
    assert "\n" not in stopped.err.strip()
    assert n_done(out) == len(NAMES) - 2
    assert not (out / "manifest.parquet").exists()

    # The lock's file is what the next build locks.
    assert not [path.name for path in out.rglob(".*") if path.suffix != ".lock"]
    before = shards(out)
    assert in_process(*options(raw, out, 1)).status == 0
    after = shards(out)
    done = [name for name in before if name.endswith(".json")]
    assert {name: after[name] for name in done} == {name: before[name] for name in done}
    assert not list(out.rglob(".*"))
    assert {name: data for name, (_, data) in after.items() if name.endswith(".h5")} == calm


@pytest.mark.parametrize("number", SAID, ids=lambda number: number.name)
def test_a_stop_while_a_shard_is_written_is_no_error_of_the_shard(
    raw, tmp_path, monkeypatch, number
):
    write, calls = writer._Disk.write, []

    def write_and_signal(self, block):
        calls.append(block)
        if len(calls) == 20:
            signal.raise_signal(number)
        return write(self, block)

    monkeypatch.setattr(writer._Disk, "write", write_and_signal)
    stopped = in_process(*options(raw, tmp_path / "out", 1))

    status, said = SAID[number]
    assert stopped.status == status
    assert stopped.err.strip().startswith(said)
    assert not list((tmp_path / "out" / "shards").iterdir())


def test_an_interrupted_synthesis_is_written_again(tmp_path):
    out = tmp_path / "data"
    arguments = ("synthesize", "ntu", "--out", out, "--size", "16x16", "--frames", 4, "--jobs", 1)
    stopped = stop(
        (*arguments, "--train", 200), signal.SIGINT, lambda: len(list(out.rglob("*.avi"))) > 3
    )
    assert stopped.status == 130
    assert "Traceback" not in stopped.err
    again = in_process(*arguments, "--train", 200)
    assert again.out.startswith(f"{out}: 200 training and 16 test recordings written")


def test_progress_is_shown_on_a_terminal(raw, tmp_path):
    shown = on_a_terminal(options(raw, tmp_path / "out", 1), "--limit", "4")
    assert "\n" not in shown.strip()
    assert "4/4" in shown
    assert "failed=0" in shown
    assert "sample/s" in shown


def on_a_terminal(arguments, *more):
    """Return what a command writes to a terminal of its own."""
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    command = [*CTXTOOL, *map(str, arguments), *more]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=end) as process:
        os.close(end)
        said = b""
        while block := read(terminal):
            said += block
        assert process.wait(timeout=60) == 0
    os.close(terminal)
    return said.decode()


def read(terminal):
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says so when the other end is closed.
        return b""
