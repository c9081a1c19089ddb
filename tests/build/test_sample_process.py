"""The process that reads recordings, and what its parent knows of it."""

import errno
import os
import subprocess
import sys
from multiprocessing import Pipe
from types import SimpleNamespace

import pytest
from recordings import OPTIONS

from toolkit.build import sample_child, sample_process
from toolkit.build.sample_process import Answer


@pytest.mark.parametrize(("states", "waits"), [("SR", False), ("SD", True), ("", False)])
def test_one_thread_that_waits_for_a_disk_is_enough(tmp_path, states, waits):
    for number, state in enumerate(states):
        (tmp_path / "7" / "task" / str(number)).mkdir(parents=True)
        text = f"{number} (odd) D name) {state} 1 7 7 0 -1"
        (tmp_path / "7" / "task" / str(number) / "stat").write_text(text)
    assert sample_child.waits_for_disk(7, tmp_path) is waits


def test_a_process_that_cannot_die_is_not_waited_for_long():
    waited = []

    class Undying:
        def kill(self):
            waited.append("killed")

        def wait(self, timeout):
            waited.append(timeout)
            raise subprocess.TimeoutExpired("reader", timeout)

    ours, theirs = Pipe()
    sample_child._end(ours, Undying())
    theirs.close()
    assert waited == ["killed", sample_child._END_S]


def test_a_process_that_outlives_its_kill_is_the_disk_s_fault():
    class Undying:
        pid = 7
        kill = staticmethod(lambda: None)

        def wait(self, timeout):
            raise subprocess.TimeoutExpired("reader", timeout)

    process = object.__new__(sample_child.SampleChild)
    process._child = Undying()
    with pytest.raises(OSError, match="does not end when killed") as caught:
        process._wait_death()
    assert (caught.value.errno, caught.value.filename) == (
        errno.EIO,
        "process 7, which reads recordings",
    )


def test_a_process_that_nobody_asks_ends(monkeypatch):
    monkeypatch.setattr(sample_process, "_settle", lambda parent: None)
    monkeypatch.setattr(sample_process, "_limit_memory", lambda mib: None)
    monkeypatch.setattr(sample_process, "IDLE_S", 0.01)
    ours, theirs = Pipe()
    ours.send(sample_process.Order(None, OPTIONS, 0, 0))
    sample_process.serve(os.dup(theirs.fileno()))
    assert ours.recv() == Answer("ready")


def test_small_pictures_are_sent_after_a_second_at_the_latest(monkeypatch):
    now = 100.0
    # Its own clock alone: a pipe that is asked whether it holds anything looks at the real one.
    monkeypatch.setattr(sample_process, "time", SimpleNamespace(monotonic=lambda: now))
    ours, theirs = Pipe()
    with ours, theirs:
        batches = sample_process._Batches(ours, sent_s=now)
        for now, picture in ((100.5, b"a"), (100.9, b"b")):  # noqa: B007 - the clock reads it
            batches.add(picture)
        assert not theirs.poll()
        now = 101.0
        batches.add(b"c")
        assert theirs.recv() == [b"a", b"b", b"c"]
        now = 101.9
        batches.add(b"d")
        assert not theirs.poll()


def test_an_answer_too_large_to_be_sent_is_told():
    class Large:
        def __reduce__(self):
            raise MemoryError

    ours, theirs = Pipe()
    with ours, theirs:
        sample_process._send(ours, Answer("extracted", extracted=Large()))
        assert theirs.recv() == Answer("memory")


def test_what_reads_recordings_loads_no_tables_and_no_command_line():
    code = (
        "import sys; import toolkit.build.sample_process, toolkit.build.extract,"
        " toolkit.build.video_match; print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert not set(run.stdout.split()) & {"pandas", "pyarrow", "click", "joblib", "h5py", "cv2"}


@pytest.mark.parametrize(
    ("status", "sentence"),
    [(-6, "the decoder died of SIGABRT"), (3, "the decoder ended its process with status 3")],
)
def test_how_a_reader_died_is_told(status, sentence):
    assert str(sample_child._death_error(status)) == sentence
