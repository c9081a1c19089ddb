"""Is a machine fit for the work: versions, output folder and raw files as seen by who asks."""

import dataclasses
import errno
import os
from pathlib import Path

import pytest
from recordings import OPTIONS, folder_data, write_poses

from toolkit.build.plan_file import write_plan
from toolkit.build.run import BuildSettings, plan_build
from toolkit.build.site import MachineTroubleError, Site, UnfitMachineError, build_on_site
from toolkit.build.tasks import list_tasks
from toolkit.shards.schema import SHARD_FOLDER


@pytest.fixture
def task(tmp_path):
    """The first of two tasks of a planned build, whose recordings are read in this process."""
    for name in "abcd":
        write_poses(tmp_path / "raw", name)
    out = tmp_path / "out"
    (out / SHARD_FOLDER).mkdir(parents=True)
    plan = plan_build(folder_data(tmp_path / "raw"), OPTIONS, BuildSettings(out))
    write_plan(plan, out)
    return list_tasks(plan, out, limits=None)[0]


def refused(task, site):
    with pytest.raises(UnfitMachineError) as error:
        build_on_site(task, site, lambda: True)
    assert not list((task.folder / SHARD_FOLDER).glob("*"))
    return str(error.value)


def test_a_fit_machine_makes_the_shard(task):
    rows = build_on_site(task, Site.here(task.folder), lambda: True)
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert (task.folder / SHARD_FOLDER / "00000.json").exists()


@pytest.mark.parametrize("name", ["ctxtool", "HDF5", "av", "simplejpeg", "numpy"])
def test_other_versions_are_refused(task, name):
    site = Site.here(task.folder)
    asker = dataclasses.replace(site, versions={**site.versions, name: "0.7"})
    assert f" has {name} {site.versions[name]}, the machine that asks has 0.7: " in refused(
        task, asker
    )


def test_another_encoder_is_refused(task):
    options = dataclasses.replace(task.options, codec="h264", encoder="libx264 core 1, preset")
    told = refused(dataclasses.replace(task, options=options), Site.here(task.folder))
    assert " has libx264 core 1" in told
    assert ", the build was planned with libx264 core 1: install the same one" in told


def test_a_folder_of_the_same_name_is_not_the_same_folder(task):
    site = Site.here(task.folder)
    (task.folder / "plan.parquet").write_bytes(b"another one")
    assert f"does not see the output folder {task.folder} of this build" in refused(task, site)
    (task.folder / "plan.parquet").unlink()
    assert f"does not see the output folder {task.folder} of this build" in refused(task, site)


def test_a_folder_that_cannot_be_written_is_refused(task, monkeypatch):
    site = Site.here(task.folder)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert f"may not write into {task.folder / SHARD_FOLDER}" in refused(task, site)


def test_a_machine_that_sees_no_raw_file_is_refused_and_one_missing_file_is_not(task):
    site = Site.here(task.folder)
    first, second = (row.poses.path for row in task.samples)
    Path(first).unlink()
    rows = build_on_site(task, site, lambda: True)
    assert [row["status"] for row in rows] == ["input_changed", "ok"]
    for path in (task.folder / SHARD_FOLDER).iterdir():
        path.unlink()
    Path(second).unlink()
    assert f"sees no raw file of shard 0, not even {first}: mount them there" in refused(task, site)


def test_work_that_nobody_waits_for_is_given_up(task):
    with pytest.raises(MachineTroubleError, match="shard 0: nobody waits for it any more"):
        build_on_site(task, Site.here(task.folder), lambda: False)
    assert not list((task.folder / SHARD_FOLDER).iterdir())


def test_trouble_names_the_machine(task, monkeypatch):
    def fail(task):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr("toolkit.build.site.build_shard", fail)
    with pytest.raises(MachineTroubleError) as error:
        build_on_site(task, Site.here(task.folder), lambda: True)
    host = os.uname().nodename
    assert str(error.value) == f"process {os.getpid()} on {host}: [Errno 5] broken"
