"""The doctor: each check with a fake that makes it fail, and one that lets it pass."""

import errno
import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from running import ctxtool

from toolkit.doctor import Finding, examine, findings_to_dict, format_findings, machine, software
from toolkit.doctor.machine import FolderProbe

GIB, MIB = 2**30, 2**20
GOOD = FolderProbe(Path("/data/out"), Path("/data/out"), 500 * GIB)


def by_name(findings):
    return {finding.name: finding for finding in findings}


def refuse(module):
    raise ImportError(f"libGL.so.1 is missing below {module}")


def test_a_package_that_cannot_be_loaded_forbids_work():
    found = software.check_package("orjson", "orjson", "3.10", refuse)
    assert found.forbids
    assert found.problem.startswith("orjson cannot be loaded (libGL.so.1 is missing below orjson)")
    assert "pip install 'orjson>=3.10'" in found.problem


def test_opencv_without_a_desktop_is_told_of_the_headless_build(monkeypatch):
    monkeypatch.setattr(software, "read_version", lambda name: "5.0.0")
    found = software.check_package("opencv-python", "cv2", "4.10", refuse)
    assert (found.found, found.forbids) == ("5.0.0", True)
    assert "opencv-python-headless" in found.problem


def test_the_headless_build_is_opencv_too(monkeypatch):
    versions = {"opencv-python-headless": "4.11.0"}
    monkeypatch.setattr(software, "read_version", lambda name: versions.get(name, ""))
    found = software.check_package("opencv-python", "cv2", "4.10", lambda name: None)
    assert (found.found, found.problem) == ("4.11.0", "")


@pytest.mark.parametrize(
    ("version", "forbids"),
    [("3.9", True), ("3.9.15", True), ("3.10", False), ("3.10.1", False), ("4.0+local9", False)],
)
def test_versions_are_compared_as_numbers(monkeypatch, version, forbids):
    monkeypatch.setattr(software, "read_version", lambda name: version)
    found = software.check_package("orjson", "orjson", "3.10", lambda name: None)
    assert found.forbids is forbids
    assert bool(found.problem) is forbids


def test_every_needed_package_has_a_declared_lowest_version():
    lowest = software.read_lowest_versions()
    assert [name for name in software.NEEDED if name not in lowest] == []


def test_an_absent_package_that_some_commands_need_is_told_with_what_installs_it():
    found = by_name(software.check_optional_packages(lambda name: ""))["distributed"]
    assert found.found == "absent: pip install 'ctxtool[cluster]' (--scheduler)"
    assert found.problem == ""


@pytest.mark.parametrize(
    ("name", "forbids"), [("H.264", True), ("MPEG-4", True), ("HEVC", False), ("AV1", False)]
)
def test_a_missing_decoder_is_a_problem(name, forbids):
    found = software.check_decoder(name, lambda codec, mode: False)
    assert (found.found, found.forbids) == ("absent", forbids)
    assert f"no {name} decoder" in found.problem


def test_either_decoder_of_av1_will_do():
    found = software.check_decoder("AV1", lambda codec, mode: codec == "libaom-av1")
    assert (found.found, found.problem) == ("libaom-av1", "")


def test_a_missing_encoder_is_a_warning():
    found = software.check_encoder("H.264", lambda codec, mode: mode == "r")
    assert not found.forbids
    assert "no H.264 encoder" in found.problem


def test_ffmpeg_itself_is_asked():
    assert software.ask_ffmpeg("mpeg4", "r")
    assert not software.ask_ffmpeg("no-such-codec", "r")


def test_little_memory_is_told_with_a_number_of_jobs():
    found = machine.check_memory(3 * GIB + 1, n_cores=8)
    assert found.found == "3.0 GiB free"
    assert "--jobs 3" in found.problem
    assert not found.forbids


@pytest.mark.parametrize("n_bytes", [8 * GIB, None])
def test_enough_or_unknown_memory_is_no_problem(n_bytes):
    assert machine.check_memory(n_bytes, n_cores=8).problem == ""


def test_memory_is_measured_by_the_cores_that_jobs_takes(monkeypatch):
    """Two of 64 may be used."""
    monkeypatch.setattr(machine, "count_cores", lambda: 2)
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 64)
    assert machine.check_memory(3 * GIB).problem == ""


def test_few_open_files_are_told():
    assert "ulimit -n 4096" in machine.check_open_files(256).problem


@pytest.mark.parametrize("limit", [1024, None])
def test_enough_open_files_are_no_problem(limit):
    assert machine.check_open_files(limit).problem == ""


def test_little_shared_memory_is_told():
    found = machine.check_shared_memory(64 * MIB)
    assert found.found == "64 MiB free"
    assert "--shm-size" in found.problem
    assert "--workers 0" in found.problem


@pytest.mark.parametrize("n_bytes", [GIB, None])
def test_enough_shared_memory_is_no_problem(n_bytes):
    assert machine.check_shared_memory(n_bytes).problem == ""


@pytest.mark.parametrize(
    ("told", "torch", "problem"),
    [
        (("", ""), "2.9.0", ""),
        (("H100, 81559 MiB", ""), "2.9.0", ""),
        (("H100, 81559 MiB", ""), "2.9.0+cpu", "torch 2.9.0+cpu cannot use the GPU"),
        (("", "No devices were found"), "2.9.0", "does not answer (No devices were found)"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_told(told, torch, problem):
    found = machine.check_gpu(told, torch)
    assert problem in found.problem
    assert bool(problem) == bool(found.problem)


@pytest.mark.parametrize(
    ("status", "out", "err", "expected"),
    [
        (0, "A, 1 MiB\nB, 2 MiB\n", "", ("A, 1 MiB; B, 2 MiB", "")),
        (9, "", "cannot talk to the driver\nat all\n", ("", "cannot talk to the driver")),
        (9, "", "", ("", "no answer")),
    ],
)
def test_the_answer_of_the_driver_is_read(monkeypatch, status, out, err, expected):
    answer = subprocess.CompletedProcess((), status, out, err)
    monkeypatch.setattr(machine.shutil, "which", lambda name: name)
    monkeypatch.setattr(machine.subprocess, "run", lambda *_, **__: answer)
    assert machine.read_gpu() == expected


def test_a_writable_folder_is_no_problem():
    assert [finding.problem for finding in machine.check_folder(GOOD)] == ["", "", ""]


def test_a_folder_that_cannot_be_written_forbids_work():
    probe = FolderProbe(GOOD.folder, Path("/data"), GIB * 99, write_trouble="Permission denied")
    found = by_name(machine.check_folder(probe))
    assert found["folder"].forbids
    assert "/data cannot be written to (Permission denied)" in found["folder"].problem
    assert found["locks"].found == "unknown"


@pytest.mark.parametrize(("free", "forbids"), [(99 * MIB, True), (9 * GIB, False)])
def test_little_disk_is_told_and_hardly_any_forbids_work(free, forbids):
    found = by_name(machine.check_folder(FolderProbe(GOOD.folder, GOOD.folder, free)))["disk"]
    assert "make room" in found.problem
    assert found.forbids is forbids


def test_a_file_system_without_locks_is_told():
    probe = FolderProbe(GOOD.folder, GOOD.folder, GIB * 99, lock_trouble="No locks available")
    found = by_name(machine.check_folder(probe))["locks"]
    assert "knows no locks (No locks available)" in found.problem
    assert not found.forbids


def test_probing_leaves_nothing_and_makes_no_folder(tmp_path):
    probe = machine.probe_folder(tmp_path / "a" / "b")
    assert (probe.nearest, probe.write_trouble, probe.lock_trouble) == (tmp_path, "", "")
    assert probe.free_bytes > 0
    assert list(tmp_path.iterdir()) == []


def test_probing_tells_what_the_system_says_of_writing(tmp_path, monkeypatch):
    def refuse_file(dir):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refuse_file)
    assert machine.probe_folder(tmp_path).write_trouble == "Read-only file system"


def test_probing_tells_what_the_system_says_of_locks(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse_lock(handle, kind):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse_lock)
    assert machine.probe_folder(tmp_path).lock_trouble == "No locks available"


def test_text_has_every_finding_and_the_verdict():
    findings = [
        Finding("machine", "cores", "2"),
        Finding("outputs", "disk", "1 MiB free", "Make room.", forbids=True),
        Finding("outputs", "locks", "none", "Take care."),
    ]
    assert format_findings(findings).splitlines() == [
        "machine",
        "  cores  2",
        "",
        "outputs",
        "  disk   1 MiB free",
        "  locks  none",
        "",
        "Problem: Make room.",
        "Warning: Take care.",
        "1 problem forbids work, 1 warning",
    ]


def test_plain_values_say_whether_work_is_possible():
    warned = Finding("outputs", "locks", "none", "Take care.")
    assert findings_to_dict([warned])["ok"]
    forbidden = Finding("outputs", "disk", "none", "Make room.", forbids=True)
    assert not findings_to_dict([warned, forbidden])["ok"]


def test_the_command_tells_the_same_as_text_and_as_json(tmp_path):
    text = ctxtool("doctor", "--out", tmp_path, cwd=tmp_path)
    told = ctxtool("doctor", "--out", tmp_path, "--json", cwd=tmp_path)
    facts = json.loads(told.out)
    assert (told.status, text.status, told.err) == (0, 0, "")
    assert facts["ok"] is True
    lines = [line.split() for line in text.out.splitlines()]
    # Free memory and disk change from one call to the next.
    steady = [row for row in facts["findings"] if row["name"] not in ("memory", "disk", "/dev/shm")]
    for row in steady:
        assert [*row["name"].split(), *row["found"].split()] in lines
    assert "\x1b" not in text.out


def test_the_command_exits_with_1_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    ran = ctxtool("doctor", "--out", tmp_path / "file" / "out", cwd=tmp_path)
    assert ran.status == 1
    assert "Problem: " in ran.out


def test_everything_is_looked_at_once(tmp_path):
    findings = examine(tmp_path)
    names = [(finding.group, finding.name) for finding in findings]
    assert len(set(names)) == len(names)
    groups = list(dict.fromkeys(finding.group for finding in findings))
    assert groups == ["packages", "codecs", "machine", "outputs", "optional"]


def test_codecs_are_passed_over_where_pyav_cannot_be_loaded(monkeypatch):
    monkeypatch.setattr(software, "import_module", refuse)
    assert software.check_codecs() == []


def test_the_library_inside_a_package_is_told(monkeypatch):
    loaded = SimpleNamespace(ffmpeg_version_info="8.1")
    monkeypatch.setattr(software, "read_version", lambda name: "18.0")
    assert software.check_package("av", "av", "16.0", lambda name: loaded).found == (
        "18.0, FFmpeg 8.1"
    )
