"""Builds by real dask schedulers and workers on this machine: the same bytes, whatever happens."""

import hashlib
import re
import signal

import pytest
from dask_processes import Cluster, Zygote, wait_until
from recordings import write_poses
from running import ctxtool

from toolkit.build.cluster import check_scheduler

N_SHARDS = 6
NAMES = [f"S001C001P{person:03d}R001A{person:03d}" for person in range(1, 2 * N_SHARDS + 1)]

# What a worker is told before it begins.  ``site.build_shard`` is what it runs for a task.
WATCH = """
import os, signal
from pathlib import Path
from toolkit.build import site
make = site.build_shard
def build_shard(task):
    Path("begun-%d-%d" % (task.number, os.getpid())).touch()
    {what}
    return make(task)
site.build_shard = build_shard
"""
HANG = WATCH.format(what="signal.pause()")
DIE_OF_2 = WATCH.format(what="task.number == 2 and os.kill(os.getpid(), signal.SIGKILL)")
HANG_FROM_2 = WATCH.format(what="task.number < 2 or signal.pause()")


STOPS = {signal.SIGINT: (130, "interrupted; "), signal.SIGTERM: (143, "terminated; ")}
TROUBLE_AT_3 = """if task.number == 3 and not Path("once").exists():
        Path("once").touch()
        raise OSError(5, "broken")"""


@pytest.fixture(scope="module")
def zygote():
    zygote = Zygote()
    yield zygote
    zygote.end()


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    for number, name in enumerate(NAMES):
        write_poses(folder, name, 16 + number)
    return folder


@pytest.fixture
def cluster(zygote, tmp_path):
    cluster = Cluster(zygote, tmp_path / "cluster")
    yield cluster
    cluster.end()


def options(raw, out, *more):
    build = ("--raw", raw, "--out", out, "--skeleton-only", "--samples-per-shard", 2)
    return ("extract-ntu", *build, *more)


@pytest.fixture(scope="module")
def calm(zygote, raw, tmp_path_factory):
    """The digests of a build by one process."""
    folder = tmp_path_factory.mktemp("calm")
    ran = zygote.start("ctxtool", *options(raw, "out", "--jobs", 1), folder=folder).wait()
    assert ran.status == 0, ran.err
    return digests(folder / "out")


def digests(out):
    paths = sorted((out / "shards").glob("*.h5"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def start(cluster, raw, out, *more):
    given = options(raw, out, "--scheduler", cluster.address, *more)
    return cluster.zygote.start("ctxtool", *given, folder=out.parent)


def resume(cluster, raw, out):
    return cluster.zygote.start(
        "ctxtool", *options(raw, out, "--jobs", 1), folder=out.parent
    ).wait()


def begun(cluster):
    """Return (shard, process) of each task that a watched worker began."""
    return {tuple(map(int, path.name.split("-")[1:])) for path in cluster.folder.glob("begun-*")}


def test_any_number_of_workers_makes_the_same_bytes(cluster, raw, calm, tmp_path):
    for n_workers in (1, 2, 4):
        while len(cluster.workers) < n_workers:
            cluster.add_worker()
        out = tmp_path / f"out{n_workers}"
        ran = start(cluster, raw, out).wait()
        assert (ran.status, ran.err) == (0, "")
        assert ran.out.splitlines()[0].endswith(f"{out.name}: 12 planned = 12 ok")
        assert digests(out) == calm
        assert not list(out.rglob(".*"))


def test_a_worker_that_comes_late_does_the_work_of_one_that_is_killed(cluster, raw, calm, tmp_path):
    command = start(cluster, raw, tmp_path / "out")
    wait_until(lambda: "has no worker yet" in command.read("err"), command)
    hanging = cluster.add_worker(HANG)
    wait_until(lambda: begun(cluster), command, hanging)
    cluster.add_worker()
    # All but what the hanging worker holds.
    wait_until(lambda: len(digests(tmp_path / "out")) >= N_SHARDS - 2, command)
    hanging.kill()
    ran = command.wait()
    assert ran.status == 0, ran.err
    assert digests(tmp_path / "out") == calm


def test_a_shard_that_kills_its_workers_is_named_and_all_others_are_made(
    cluster, raw, calm, tmp_path
):
    out = tmp_path / "out"
    # Four deaths make a suspect of a shard, a fifth while it is alone is one too many.
    for _ in range(6):
        cluster.add_worker(DIE_OF_2)
    ran = start(cluster, raw, out).wait()
    assert ran.status == 1
    assert ran.err.startswith("Error: shard 2 could not be made: the workers died at it")
    assert ran.err.count("\n") == 1
    deadly = [pid for shard, pid in begun(cluster) if shard == 2]
    assert len(deadly) == 5
    assert digests(out) == {name: calm[name] for name in calm if name != "00002.h5"}
    assert not (out / "manifest.parquet").exists()

    assert resume(cluster, raw, out).status == 0
    assert digests(out) == calm


def test_a_lost_scheduler_is_told_in_one_sentence_and_the_build_goes_on(
    cluster, raw, calm, tmp_path
):
    out = tmp_path / "out"
    cluster.add_worker(HANG_FROM_2)
    command = start(cluster, raw, out)
    wait_until(lambda: {shard for shard, _ in begun(cluster)} == {0, 1, 2}, command)
    wait_until((out / "shards" / "00001.json").exists, command)
    cluster.scheduler.kill()
    ran = command.wait()
    assert ran.status == 1
    assert ran.err.startswith(f"Error: {cluster.address}: the dask scheduler is gone")
    assert ran.err.count("\n") == 1

    before = [path.stat().st_mtime_ns for path in sorted((out / "shards").glob("*.json"))]
    assert resume(cluster, raw, out).status == 0
    after = [path.stat().st_mtime_ns for path in sorted((out / "shards").glob("*.json"))]
    assert len(before) == 2
    assert after[:2] == before
    assert digests(out) == calm


@pytest.mark.parametrize("number", STOPS, ids=lambda number: number.name)
def test_a_stop_cancels_what_waits(cluster, raw, calm, tmp_path, number):
    out = tmp_path / "out"
    hanging = cluster.add_worker(HANG)
    command = start(cluster, raw, out)
    wait_until(lambda: begun(cluster), command)
    command.send(number)
    ran = command.wait()
    status, said = STOPS[number]
    assert (ran.status, ran.out) == (status, "")
    assert ran.err.strip().startswith(said)
    assert "\n" not in ran.err.strip()

    hanging.kill()
    n_begun = len(begun(cluster))
    cluster.add_worker(WATCH.format(what=""))
    assert start(cluster, raw, out).wait().status == 0
    # Nothing that was cancelled is made beside what is made now.
    assert len(begun(cluster)) == n_begun + N_SHARDS
    assert digests(out) == calm


def test_a_machine_in_trouble_is_named_and_its_work_tried_again(cluster, raw, calm, tmp_path):
    cluster.add_worker(WATCH.format(what=TROUBLE_AT_3))
    ran = start(cluster, raw, tmp_path / "out").wait()
    assert ran.status == 0, ran.err
    told = r"WARNING: shard 3: process [0-9]+ on \S+: \[Errno 5\] broken; trying it again"
    assert re.fullmatch(told, ran.err.strip())
    assert digests(tmp_path / "out") == calm


def test_trouble_that_does_not_go_away_stops_the_build(cluster, raw, tmp_path):
    cluster.add_worker(WATCH.format(what="if task.number == 0: raise OSError(28, 'full', 'out')"))
    ran = start(cluster, raw, tmp_path / "out").wait()
    assert ran.status == 1
    *warnings, error = ran.err.splitlines()
    assert len(warnings) == 2
    assert re.fullmatch(r"Error: process [0-9]+ on \S+: \[Errno 28\] full: 'out'", error)


def test_nobody_answers(zygote, raw, tmp_path):
    given = options(raw, "out", "--scheduler", "tcp://127.0.0.1:1")
    ran = zygote.start("ctxtool", *given, folder=tmp_path).wait()
    assert ran.status == 1
    assert ran.err.startswith("Error: tcp://127.0.0.1:1: no dask scheduler answers there")
    assert ran.err.count("\n") == 1


OTHER_VERSION = """
from importlib import metadata
genuine = metadata.version
def version(name):
    if name == {name!r}:
        {answer}
    return genuine(name)
metadata.version = version
import distributed.versions, toolkit.build.site
distributed.versions.version = toolkit.build.site.version = version
"""
NOT_INSTALLED = OTHER_VERSION.format(name="ctxtool", answer="raise ModuleNotFoundError(name)")
OLDER = OTHER_VERSION.format(name="ctxtool", answer="return '0.0.9'")
OTHER_JPEG = OTHER_VERSION.format(name="simplejpeg", answer="return '0.1'")


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (NOT_INSTALLED, r"Error: worker tcp://127\.\S+ has no ctxtool, this machine has \S+: "),
        (OLDER, r"Error: worker tcp://127\.\S+ has ctxtool 0\.0\.9, this machine has \S+: "),
        (OTHER_JPEG, r"Error: process [0-9]+ on \S+ has simplejpeg 0\.1, "),
    ],
    ids=["not installed", "another version", "another library"],
)
def test_an_unfit_worker_is_refused_by_name(cluster, raw, tmp_path, prepare, said):
    cluster.add_worker(prepare)
    command = start(cluster, raw, tmp_path / "out")
    ran = command.wait()
    assert ran.status == 1
    assert re.match(said, ran.err)
    assert ran.err.count("\n") <= 2
    assert not digests(tmp_path / "out")


def test_without_dask_it_is_told_what_to_install(zygote, raw, tmp_path):
    given = options(raw, "out", "--scheduler", "local-cluster:1")
    prepare = "import sys; sys.modules['distributed.versions'] = None"
    ran = zygote.start("ctxtool", *given, folder=tmp_path, prepare=prepare).wait()
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "Error: --scheduler needs dask.distributed: pip install 'ctxtool[cluster]'\n"


def test_a_local_cluster_needs_nothing_else(raw, calm, tmp_path):
    ran = ctxtool(*options(raw, "out", "--scheduler", "local-cluster:1"), cwd=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    assert digests(tmp_path / "out") == calm


@pytest.mark.parametrize(
    "text", ["tcp://host:8786", "tls://10.0.0.1:1", "tcp://[::1]:80", "local-cluster:12"]
)
def test_schedulers_that_can_be_named(text):
    assert check_scheduler(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "host:8786", "tcp://host", "tcp://:1", "http://host:1", "tcp://a/b:1", "local-cluster",
     "local-cluster:0", "local-cluster:x", "local-cluster:2 "],
)  # fmt: skip
def test_schedulers_that_cannot(text):
    with pytest.raises(ValueError, match="neither an address"):
        check_scheduler(text)
