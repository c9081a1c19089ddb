"""Tasks of a plan: made when asked for, sorted by what lies in the output folder."""

import dataclasses
import json

import pytest
from recordings import OPTIONS, folder_data, write_poses

from toolkit.build import plan_table
from toolkit.build.outcomes import Told
from toolkit.build.parts import Part
from toolkit.build.plan import make_plan
from toolkit.build.run import BuildSettings, run_build
from toolkit.build.tasks import list_tasks, sort_out
from toolkit.shards.sidecar import read_sidecar, sidecar_path, write_sidecar


@pytest.fixture
def plan(tmp_path):
    """Five recordings in three shards."""
    for name in "abcde":
        write_poses(tmp_path / "raw", name)
    return make_plan(folder_data(tmp_path / "raw"), OPTIONS)


@pytest.fixture
def built(plan, tmp_path):
    run_build(plan, BuildSettings(tmp_path / "out"), lambda rows: None)
    return tmp_path / "out"


def ids(task):
    return [row.sample_id for row in task.samples]


def test_tasks_hold_the_samples_of_their_shards(plan, tmp_path):
    tasks = list_tasks(plan, tmp_path)
    assert [(task.number, ids(task)) for task in tasks] == [
        (0, ["a", "b"]),
        (1, ["c", "d"]),
        (2, ["e"]),
    ]
    assert [task.fingerprint for task in tasks] == list(plan.fingerprints().values())


def test_a_part_has_the_tasks_of_its_shards(plan, tmp_path):
    tasks = list_tasks(plan, tmp_path, part=Part(1, 2))
    assert (len(tasks), list(tasks.numbers)) == (2, [0, 2])


def test_a_slice_of_tasks_is_tasks(plan, tmp_path):
    assert [task.number for task in list_tasks(plan, tmp_path)[1:]] == [1, 2]


def test_finished_shards_are_told_apart_without_an_object_for_each_sample(plan, built, monkeypatch):
    monkeypatch.setattr(plan_table, "PlannedSample", None)
    monkeypatch.setattr("toolkit.build.plan.read_rows", None)
    sidecar_path(built, 1).unlink()
    rows, left = sort_out(list_tasks(plan, built))
    assert [row["sample_id"] for row in rows] == ["a", "b", "e"]
    assert list(left.numbers) == [1]


def test_a_resume_check_reads_each_sidecar_once(plan, built, monkeypatch):
    asked = []

    def read(folder, number, parse):
        asked.append(number)
        return read_sidecar(folder, number, parse)

    monkeypatch.setattr("toolkit.build.tasks.read_sidecar", read)
    _, left = sort_out(list_tasks(plan, built))
    assert (asked, len(left)) == ([0, 1, 2], 0)


def test_a_sidecar_that_only_a_patient_parser_takes_is_taken(plan, built):
    data = json.loads(sidecar_path(built, 0).read_text())
    data["rows"][0]["fps"] = float("nan")
    sidecar_path(built, 0).write_text(json.dumps(data))
    assert not sort_out(list_tasks(plan, built))[1]


@pytest.mark.parametrize("kept", [[0], [0, 1, 1], []])
def test_a_sidecar_that_does_not_tell_of_each_sample_once_is_not_trusted(plan, built, kept, caplog):
    sidecar = read_sidecar(built, 0)
    write_sidecar(built, dataclasses.replace(sidecar, rows=[sidecar.rows[i] for i in kept]))
    _, left = sort_out(list_tasks(plan, built))
    assert list(left.numbers) == [0]
    name = "b" if 0 in kept else "a"
    assert caplog.messages == [
        f"shard 0 has to be made again: its sidecar has {kept.count('ab'.index(name))} rows of"
        f" {name}"
    ]


def test_a_sidecar_that_tells_of_a_stranger_is_not_trusted(plan, built, caplog):
    data = json.loads(sidecar_path(built, 0).read_text())
    data["rows"].append(data["rows"][0] | {"sample_id": "z"})
    sidecar_path(built, 0).write_text(json.dumps(data))
    _, left = sort_out(list_tasks(plan, built))
    assert list(left.numbers) == [0]
    assert caplog.messages == ["shard 0 has to be made again: its sidecar has a row of z"]


def test_rows_told_are_kept_as_columns():
    told = Told([{"sample_id": "a", "status": "ok", "n_frames": 3, "label": 7}])
    told.extend([{"sample_id": "b", "status": "no_body", "detail": "why"}])
    # The label is the plan's business.
    assert list(told) == [
        {"sample_id": "a", "status": "ok", "n_frames": 3, "detail": None},
        {"sample_id": "b", "status": "no_body", "n_frames": None, "detail": "why"},
    ]
    assert told.count() == {"ok": 1, "no_body": 1}


def test_rows_told_can_be_joined():
    told = Told([{"sample_id": "a", "status": "ok", "width": 4}])
    told.extend(Told([{"sample_id": "b", "status": "ok", "height": 5}]))
    told.extend(Told())
    assert [(row["width"], row["height"]) for row in told] == [(4, None), (None, 5)]
