import errno
import logging
import os
import signal
import subprocess
import sys

import pytest

from toolkit.build.lock import LOCK_FILE, locked
from toolkit.errors import OutputInUseError

HOLD = """
import sys
from pathlib import Path
from toolkit.build.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def refused(out, part=None):
    """Return the sentence that a second build gets, or nothing if it gets the folder."""
    try:
        with locked(out, part):
            return ""
    except OutputInUseError as error:
        return str(error)


def test_a_second_build_is_told_who_holds_the_folder(tmp_path):
    out = tmp_path / "new" / "out"
    with locked(out):
        said = refused(out)
    host = os.uname().nodename
    assert said.startswith(f"{out} is being written by process {os.getpid()} on {host} since 20")
    assert said.endswith(" UTC: wait for it or choose another --out")


def test_nothing_is_left_and_the_folder_is_free_again(tmp_path):
    with locked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]
    assert not list(tmp_path.iterdir())
    assert refused(tmp_path) == ""


def test_a_failed_build_leaves_the_folder_free(tmp_path):
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        raise KeyboardInterrupt
    assert refused(tmp_path) == ""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the folder until it is ended."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_the_lock_of_a_killed_build_is_taken_over(tmp_path, other, caplog):
    assert f"process {other.pid} on " in refused(tmp_path)
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / LOCK_FILE).exists()
    assert refused(tmp_path) == ""
    assert not caplog.records


def test_parts_work_side_by_side(tmp_path):
    with locked(tmp_path, (1, 4)), locked(tmp_path, (2, 4)):
        assert refused(tmp_path, (3, 4)) == ""


def test_the_same_part_is_not_worked_on_twice(tmp_path):
    with locked(tmp_path, (2, 4)):
        said = refused(tmp_path, (2, 4))
    assert said.startswith(f"part 2/4 of {tmp_path} is being written by part 2/4, process ")
    assert refused(tmp_path, (2, 4)) == ""


def test_a_whole_build_and_a_part_exclude_each_other(tmp_path):
    with locked(tmp_path, (1, 4)):
        assert "is being written by part 1/4, process " in refused(tmp_path)
    with locked(tmp_path):
        assert "is being written by process " in refused(tmp_path, (1, 4))


def test_a_part_leaves_what_a_whole_build_clears_away(tmp_path):
    assert refused(tmp_path, (1, 4)) == ""
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]
    assert refused(tmp_path) == ""
    assert not list(tmp_path.iterdir())


def test_a_file_removed_while_it_was_being_locked_holds_nothing(tmp_path, monkeypatch):
    from toolkit.build import lock

    flock, n_removed = lock.fcntl.flock, []

    def remove_first(handle, kind):
        if not n_removed:
            n_removed.append((tmp_path / LOCK_FILE).unlink())
        flock(handle, kind)

    monkeypatch.setattr(lock.fcntl, "flock", remove_first)
    with locked(tmp_path):
        assert (tmp_path / LOCK_FILE).exists()
        assert refused(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_costs_one_warning(tmp_path, monkeypatch, caplog, number):
    def fail(handle, kind):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("toolkit.build.lock.fcntl.flock", fail)
    with caplog.at_level(logging.WARNING), locked(tmp_path):
        pass
    assert [f"{tmp_path}: its file system knows no locks" in r.message for r in caplog.records] == [
        True
    ]
    assert not list(tmp_path.iterdir())


def test_without_the_module_of_locks_builds_go_on(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("toolkit.build.lock.fcntl", None)
    assert refused(tmp_path) == ""
    assert "Function not implemented" in caplog.text


def test_other_trouble_is_not_hidden(tmp_path, monkeypatch):
    def fail(handle, kind):
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr("toolkit.build.lock.fcntl.flock", fail)
    with pytest.raises(OSError, match="broken disk"), locked(tmp_path):
        pass


def test_nothing_is_written_through_a_link(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / LOCK_FILE).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"), locked(tmp_path / "out"):
        pass
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize("text", [b"", b"\x1b[2J", b"\xff" * 3 + b"\n"])
def test_a_holder_that_says_nothing_readable_has_no_name(tmp_path, text):
    with locked(tmp_path):
        (tmp_path / LOCK_FILE).write_bytes(text)
        assert "is being written by another process: wait" in refused(tmp_path)


def test_a_child_does_not_hold_the_lock(tmp_path):
    with locked(tmp_path):
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False
        )
    assert refused(tmp_path) == ""
    child.communicate(b"\n")
