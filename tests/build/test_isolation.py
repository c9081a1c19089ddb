import dataclasses
import errno
import logging
import os
from pathlib import Path

import pytest
from poison import write_poison
from recordings import OPTIONS, data_set, sample, write_poses
from video_builders import XVID, gray_pictures, write_video

from toolkit.build import isolation, sample_child
from toolkit.build.isolation import SampleLimits
from toolkit.build.plan import make_plan
from toolkit.build.worker import OwnerGoneError, ShardTask, build_shard
from toolkit.errors import CtxtoolError

WITH_PICTURES = dataclasses.replace(OPTIONS, skeleton_only=False, frame_size=16)
N_FRAMES = 20


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Poses and videos of three recordings."""
    folder = tmp_path_factory.mktemp("raw")
    for name in "abc":
        write_poses(folder, name, N_FRAMES)
        write_video(folder / f"{name}_rgb.avi", gray_pictures(N_FRAMES), XVID)
    return folder


@pytest.fixture(autouse=True)
def _no_process_kept():
    """Every test has a sample process of its own, and leaves none."""
    end_kept()
    yield
    end_kept()


def end_kept():
    if isolation._kept.process is not None:
        isolation._kept.process.end()
    isolation._kept.process = None


def work(raw, out, options=OPTIONS, names="abc", **changes):
    """Return the task of one shard of these recordings."""
    (out / "shards").mkdir(parents=True)
    files = {n: (raw / f"{n}.skeleton", raw / f"{n}_rgb.avi") for n in names}
    plan = make_plan(data_set(*(sample(n, *files[n]) for n in names)), options)
    fields = {"fingerprint": "f" * 64, "layout": plan.header.layout, "options": options}
    return ShardTask(folder=out, number=0, samples=plan.rows, **fields | changes)


@pytest.fixture
def harmful(tmp_path, monkeypatch):
    """Return a function after which reading these files does harm."""

    def poison(**harms):
        for name, value in write_poison(tmp_path / "poison", harms).items():
            monkeypatch.setenv(name, value)

    return poison


@pytest.fixture
def time_runs_out(tmp_path, monkeypatch):
    """Time passes from the moment that a decoder hangs, not while a slow machine reads."""
    hanging, wait = tmp_path / "poison" / "hanging", sample_child.SampleChild.wait_message

    def wait_message(child, limit, still_wanted):
        while not hanging.exists():
            if child._connection.poll(0.01):
                return True
        hanging.unlink()
        return wait(child, min(limit, 0.01), still_wanted)

    monkeypatch.setattr(sample_child.SampleChild, "wait_message", wait_message)


def outcomes(rows):
    return {row["sample_id"]: row["status"] for row in rows}


def shard_bytes(task):
    return (task.folder / "shards" / "00000.h5").read_bytes()


def said(rows, name="b"):
    return next(row["detail"] for row in rows if row["sample_id"] == name)


def test_a_process_of_its_own_makes_the_same_bytes(raw, tmp_path):
    within = work(raw, tmp_path / "within", WITH_PICTURES, limits=None)
    apart = work(raw, tmp_path / "apart", WITH_PICTURES)
    assert build_shard(within) == build_shard(apart)
    assert isolation._kept.process is not None
    assert shard_bytes(within) == shard_bytes(apart)


def test_recordings_that_kill_their_reader_are_lost_alone(tmp_path, harmful):
    for name in "abcde":
        write_poses(tmp_path / "raw", name, 4)
    harmful(a="segfault", b="exit", c="be killed", d="stumble")
    rows = build_shard(work(tmp_path / "raw", tmp_path / "out", names="abcde"))
    crashed = dict.fromkeys("abd", "crashed")
    assert outcomes(rows) == crashed | {"c": "out_of_memory", "e": "ok"}
    again = ", also when tried again"
    assert said(rows, "a") == f"the decoder died of SIGSEGV{again}"
    assert said(rows, "b") == f"the decoder ended its process with status 3{again}"
    assert said(rows, "c") == (
        "the process that read it was killed by SIGKILL, as a system does that runs out of memory"
        + again
    )
    assert said(rows, "d") == "unexpected ZeroDivisionError: a bug"


@pytest.mark.usefixtures("time_runs_out")
def test_a_decoder_that_hangs_is_given_up(raw, tmp_path, harmful):
    harmful(b="hang")
    rows = build_shard(work(raw, tmp_path / "out", limits=SampleLimits(timeout_s=3)))
    assert outcomes(rows) == {"a": "ok", "b": "timeout", "c": "ok"}
    assert said(rows) == "b: no picture and no answer within 3 s (--sample-timeout)"


@pytest.mark.usefixtures("time_runs_out")
def test_a_file_server_that_does_not_answer_is_no_recording_s_fault(
    raw, tmp_path, harmful, monkeypatch
):
    harmful(b="hang")
    monkeypatch.setattr(sample_child, "waits_for_disk", lambda process: True)
    with pytest.raises(OSError, match="gives no answer within 3 s") as caught:
        build_shard(work(raw, tmp_path / "out", limits=SampleLimits(timeout_s=3)))
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(raw / "b.skeleton"))


def test_a_process_that_may_end_soon_is_asked_no_more(raw, tmp_path, monkeypatch):
    build_shard(work(raw, tmp_path / "one"))
    process = isolation._kept.process
    assert isolation._take(process.order) is process
    monkeypatch.setattr(sample_child, "_KEEP_S", -1.0)
    assert isolation._take(process.order) is not process
    assert not process.is_alive


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads by /proc")
def test_a_core_more_is_no_thread_more(raw, tmp_path, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    build_shard(work(raw, tmp_path / "out"))
    threads = Path(f"/proc/{isolation._kept.process._child.pid}/task")
    assert len(list(threads.iterdir())) == 1


def test_a_recording_that_takes_too_much_memory_is_given_up(raw, tmp_path, harmful):
    harmful(b="bloat")
    rows = build_shard(work(raw, tmp_path / "out", limits=SampleLimits(memory_mib=400)))
    assert outcomes(rows) == {"a": "ok", "b": "out_of_memory", "c": "ok"}
    assert said(rows) == (
        "b: reading it takes more than 400 MiB (--sample-memory), also when tried again"
    )


def test_pictures_of_a_lost_recording_are_not_kept(raw, tmp_path, harmful):
    calm = work(raw, tmp_path / "calm", WITH_PICTURES, names="ac", limits=None)
    build_shard(calm)
    harmful(b_rgb="segfault")
    task = work(raw, tmp_path / "out", WITH_PICTURES)
    assert outcomes(build_shard(task)) == {"a": "ok", "b": "crashed", "c": "ok"}
    assert shard_bytes(task) == shard_bytes(calm)


def test_one_death_is_not_held_against_a_recording(raw, tmp_path, harmful, caplog):
    calm = work(raw, tmp_path / "calm", WITH_PICTURES, limits=None)
    expected = build_shard(calm)
    harmful(b_rgb="segfault once")
    task = work(raw, tmp_path / "out", WITH_PICTURES)
    assert build_shard(task) == expected
    assert shard_bytes(task) == shard_bytes(calm)
    assert "sample b: the decoder died of SIGSEGV; trying once more" in caplog.text


def test_a_fault_of_ours_is_logged_with_its_place(raw, tmp_path, harmful, caplog):
    harmful(b="stumble")
    with caplog.at_level(logging.ERROR):
        build_shard(work(raw, tmp_path / "out"))
    assert "sample b: unexpected error, please report it\nTraceback" in caplog.text
    assert "poisoned.py" in caplog.text


def test_trouble_of_the_machine_is_not_held_against_a_recording(raw, tmp_path, harmful):
    harmful(b="fail to read")
    with pytest.raises(OSError, match="Input/output error") as caught:
        build_shard(work(raw, tmp_path / "out"))
    assert caught.value.filename == "/disk"


def test_an_interpreter_that_does_not_start_blames_no_recording(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(sample_child, "_CODE", "import sys; sys.exit(7)")
    with pytest.raises(CtxtoolError, match=r"does not start \(7\): is the installation whole"):
        build_shard(work(raw, tmp_path / "out"))


def killed_at_its_start(mark, times):
    """Return the code of a sample process that is killed so many times before it is ready."""
    return f"""
import os, signal
with open({str(mark)!r}, "ab", 0) as mark:
    mark.write(b".")
    if mark.tell() <= {times}:
        os.kill(os.getpid(), signal.SIGKILL)
{sample_child._CODE}
"""


def test_a_process_killed_at_its_start_is_replaced(raw, tmp_path, monkeypatch, caplog):
    calm = build_shard(work(raw, tmp_path / "calm", limits=None))
    monkeypatch.setattr(sample_child, "_CODE", killed_at_its_start(tmp_path / "mark", 2))
    assert build_shard(work(raw, tmp_path / "out")) == calm
    assert caplog.text.count("does not start (-9)") == 2


def test_processes_killed_at_their_start_again_and_again_end_the_build(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(sample_child, "_CODE", killed_at_its_start(tmp_path / "mark", 99))
    with pytest.raises(CtxtoolError, match=r"does not start \(-9\): is the installation whole"):
        build_shard(work(raw, tmp_path / "out"))
    assert (tmp_path / "mark").read_bytes() == b"..."


def test_a_process_that_never_starts_is_given_up(raw, tmp_path, monkeypatch):
    monkeypatch.setattr(sample_child, "_CODE", "import signal; signal.pause()")
    monkeypatch.setattr(isolation, "_START_S", 0.02)
    limits = SampleLimits(timeout_s=0.01)
    with pytest.raises(CtxtoolError, match=r"has not started within 0\.02 s"):
        build_shard(work(raw, tmp_path, limits=limits))
    assert not isolation._kept.process.is_alive


def test_a_process_killed_between_two_shards_is_replaced(raw, tmp_path, caplog):
    build_shard(work(raw, tmp_path / "one"))
    child = isolation._kept.process._child
    child.kill()
    child.wait()
    assert set(outcomes(build_shard(work(raw, tmp_path / "two"))).values()) == {"ok"}
    assert not caplog.records


def test_one_process_serves_shard_after_shard(raw, tmp_path):
    build_shard(work(raw, tmp_path / "one"))
    process = isolation._kept.process
    build_shard(work(raw, tmp_path / "two"))
    assert isolation._kept.process is process


def test_whoever_waits_for_nobody_ends_a_hung_decoder(raw, tmp_path, harmful, monkeypatch):
    harmful(b="hang")
    task = work(raw, tmp_path / "out", owner=os.getppid())
    first = work(raw, tmp_path / "first", owner=os.getppid())
    build_shard(dataclasses.replace(first, samples=first.samples[:1]))
    monkeypatch.setattr(sample_child, "_SLICE_S", 0.01)
    asked = iter([os.getppid()] * 5)
    monkeypatch.setattr(os, "getppid", lambda: next(asked, 1))
    with pytest.raises(OwnerGoneError):
        build_shard(task)
    assert not isolation._kept.process.is_alive


@pytest.mark.parametrize("limits", [{"timeout_s": -1}, {"memory_mib": -1}])
def test_limits_below_nothing_are_refused(limits):
    with pytest.raises(ValueError, match="cannot be -1"):
        SampleLimits(**limits)
