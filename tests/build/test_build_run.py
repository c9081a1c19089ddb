import dataclasses
import hashlib
import json
import os

import pandas as pd
import pytest
from recordings import (
    OPTIONS,
    data_set,
    folder_data,
    sample,
    set_time,
    write_damaged,
    write_poses,
)

from toolkit.build.run import BuildSettings, plan_build, run_build
from toolkit.errors import PlanError
from toolkit.shards import DatasetReader, read_dataset_info, read_manifest
from toolkit.shards.files import mark_machine, mark_process

LENGTHS = {"a": 20, "b": 3, "c": 40, "d": 16, "e": 17}


@pytest.fixture
def raw(tmp_path):
    """A folder of five recordings, of which b and d are damaged."""
    folder = tmp_path / "raw"
    for name, n_frames in LENGTHS.items():
        write_poses(folder, name, n_frames)
    for name in "bd":
        write_damaged(folder, name)
    return folder


def build(data, out, options=OPTIONS, **settings):
    settings = BuildSettings(out, **settings)
    return run_build(plan_build(data, options, settings), settings, lambda rows: None)


def digests(out):
    """Return the digest of every file that a build must repeat byte for byte."""
    files = [*(out / "shards").iterdir(), out / "dataset.json"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def statuses(out):
    manifest = read_manifest(out)
    return dict(zip(manifest["sample_id"], manifest["status"], strict=True))


def test_every_planned_sample_has_its_row_and_outcome(raw, tmp_path):
    ledger = build(data_set(*folder_data(raw).samples, sample("x")), tmp_path / "out")
    assert str(ledger) == "6 planned = 3 ok + 2 bad_skeleton + 1 missing_skeleton"
    assert statuses(tmp_path / "out") == {
        "a": "ok", "b": "bad_skeleton", "c": "ok", "d": "bad_skeleton", "e": "ok",
        "x": "missing_skeleton",
    }  # fmt: skip


def test_a_usable_row_tells_all_about_its_sample(raw, tmp_path):
    build(folder_data(raw), tmp_path / "out")
    row = read_manifest(tmp_path / "out").set_index("sample_id").loc["c"]
    told = row[["label", "label_name", "n_frames", "n_clips", "n_bodies", "shard", "shard_row"]]
    assert told.tolist() == [1, "run", 40, 3, 1, 1, 0]
    assert row[["split_xsub", "setup", "detail"]].tolist() == ["train", 1, ""]
    assert row["poses"] == str(raw / "c.skeleton")
    assert row["poses_bytes"] == (raw / "c.skeleton").stat().st_size
    assert row[["video", "video_bytes"]].tolist() == ["", 0]
    assert row[["fps", "video_frames", "width", "max_drift_ms"]].isna().all()


def test_a_failed_row_says_why_and_has_no_place(raw, tmp_path):
    build(folder_data(raw), tmp_path / "out")
    row = read_manifest(tmp_path / "out").set_index("sample_id").loc["b"]
    assert row["detail"].startswith(f"{raw / 'b.skeleton'}: line 1: expected ")
    assert row[["shard", "shard_row", "n_frames", "n_clips"]].isna().all()


def test_what_was_built_can_be_read(raw, tmp_path):
    build(folder_data(raw), tmp_path / "out")
    with DatasetReader(tmp_path / "out") as reader:
        assert reader.samples["sample_id"].tolist() == ["a", "c", "e"]
        assert [len(reader.sample(i)) for i in range(3)] == [20, 40, 17]
        assert reader.subset("xsub", "train").tolist() == [0, 1, 2]


def test_the_description_counts_outcomes(raw, tmp_path):
    build(folder_data(raw), tmp_path / "out")
    info = read_dataset_info(tmp_path / "out")
    assert info.counts == {"planned": 5, "ok": 3, "bad_skeleton": 2}
    assert info.parameters == OPTIONS.to_dict()
    assert (info.name, info.splits, info.default_split) == ("made", ("xsub",), "xsub")


def test_sidecars_hold_the_digests_of_their_shards(raw, tmp_path):
    build(folder_data(raw), tmp_path / "out")
    for path in (tmp_path / "out" / "shards").glob("*.h5"):
        sidecar = json.loads(path.with_suffix(".json").read_text())
        assert sidecar["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert sidecar["n_bytes"] == path.stat().st_size


def test_nothing_temporary_is_left(raw, tmp_path):
    build(folder_data(raw), tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    stems = ("00000", "00001", "00002")
    shards = {f"{stem}.{suffix}" for stem in stems for suffix in ("h5", "json")}
    assert names == shards | {"dataset.json", "manifest.parquet", "plan.parquet"}


def test_two_processes_make_the_same_bytes_as_one(raw, tmp_path):
    data = folder_data(raw)
    build(data, tmp_path / "one")
    build(data, tmp_path / "two", n_jobs=2)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "one"), read_manifest(tmp_path / "two"))


def test_a_finished_build_does_nothing(raw, tmp_path, monkeypatch):
    build(folder_data(raw), tmp_path / "out")
    before, plan = digests(tmp_path / "out"), (tmp_path / "out" / "plan.parquet").stat()
    monkeypatch.setattr("toolkit.build.run.build_shard", lambda task: pytest.fail("worked again"))
    assert str(build(folder_data(raw), tmp_path / "out")) == "5 planned = 3 ok + 2 bad_skeleton"
    assert digests(tmp_path / "out") == before
    # Machines at work know the plan by its file.
    assert os.path.samestat((tmp_path / "out" / "plan.parquet").stat(), plan)


def cut_short(path):
    os.truncate(path, path.stat().st_size - 1)


def spoil(path):
    path.write_text("{")


def give_another_plan(path):
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fingerprint": "other"}))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("00001.h5", os.unlink), ("00001.json", os.unlink), ("00001.h5", cut_short),
        ("00001.json", spoil), ("00001.json", give_another_plan),
    ],
    ids=["no shard", "no sidecar", "short shard", "bad sidecar", "foreign sidecar"],
)  # fmt: skip
def test_a_lost_shard_is_made_again_alone(raw, tmp_path, monkeypatch, name, damage):
    from toolkit.build import run

    build(folder_data(raw), tmp_path / "out")
    before = digests(tmp_path / "out")
    damage(tmp_path / "out" / "shards" / name)
    made, work = [], run.build_shard
    monkeypatch.setattr(run, "build_shard", lambda task: made.append(task.number) or work(task))
    build(folder_data(raw), tmp_path / "out")
    assert made == [1]
    assert digests(tmp_path / "out") == before


def test_leftovers_of_a_killed_build_are_removed(raw, tmp_path):
    out = tmp_path / "out"
    build(folder_data(raw), out)
    before = digests(out)
    # A number higher than any of a process on Linux.
    gone, alive, elsewhere = f"{2**22 + 1}-{mark_machine()}", mark_process(), f"{2**22 + 1}-other"
    # The number of a dead process may be another one's by now.
    for who in (alive, elsewhere):
        (out / "shards" / f".00009.{who}.writing").write_text("half")
    for name in (f"00001.{gone}.writing", f"00001.{gone}.pictures", f"00001.json.{gone}.writing"):
        (out / "shards" / f".{name}").write_text("half")
    (out / f".manifest.parquet.{gone}.writing").write_text("half")
    (out / "shards" / "00077.h5").write_text("of no plan")
    build(folder_data(raw), out)
    assert not list(out.rglob(".*"))
    assert digests(out) == before


def test_a_build_that_broke_off_goes_on(raw, tmp_path, monkeypatch):
    from toolkit.build import run

    build(folder_data(raw), tmp_path / "calm")
    work = run.build_shard

    def break_off(task):
        if task.number == 1:
            raise KeyboardInterrupt
        return work(task)

    monkeypatch.setattr(run, "build_shard", break_off)
    with pytest.raises(KeyboardInterrupt):
        build(folder_data(raw), tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.parquet").exists()
    monkeypatch.undo()
    build(folder_data(raw), tmp_path / "out")
    assert digests(tmp_path / "out") == digests(tmp_path / "calm")


def test_new_recordings_leave_old_shards_untouched(raw, tmp_path):
    build(folder_data(raw), tmp_path / "out")
    before = digests(tmp_path / "out")
    write_poses(raw, "0", 5)
    ledger = build(folder_data(raw), tmp_path / "out")
    after = digests(tmp_path / "out")
    assert str(ledger) == "6 planned = 4 ok + 2 bad_skeleton"
    assert {n: d for n, d in after.items() if n in before and n != "dataset.json"} == {
        n: d for n, d in before.items() if n != "dataset.json"
    }
    assert set(after) - set(before) == {"00003.h5", "00003.json"}
    assert read_manifest(tmp_path / "out")["sample_id"].tolist() == ["0", "a", "b", "c", "d", "e"]


def test_a_repaired_recording_is_tried_again_in_a_new_shard(raw, tmp_path):
    build(folder_data(raw), tmp_path / "out")
    write_poses(raw, "b", 4)
    ledger = build(folder_data(raw), tmp_path / "out")
    assert str(ledger) == "5 planned = 4 ok + 1 bad_skeleton"
    row = read_manifest(tmp_path / "out").set_index("sample_id").loc["b"]
    assert row[["status", "shard", "shard_row", "n_frames"]].tolist() == ["ok", 3, 0, 4]
    with DatasetReader(tmp_path / "out") as reader:
        assert [len(reader.sample(i)) for i in range(4)] == [20, 4, 40, 17]


def test_after_a_repair_a_lost_old_shard_is_made_without_the_repaired_sample(raw, tmp_path):
    build(folder_data(raw), tmp_path / "out")
    write_poses(raw, "b", 4)
    build(folder_data(raw), tmp_path / "out")
    (tmp_path / "out" / "shards" / "00000.json").unlink()
    before = (tmp_path / "out" / "shards" / "00000.h5").read_bytes()
    ledger = build(folder_data(raw), tmp_path / "out")
    assert str(ledger) == "5 planned = 4 ok + 1 bad_skeleton"
    assert (tmp_path / "out" / "shards" / "00000.h5").read_bytes() == before


def test_a_missing_recording_that_turned_up_is_taken_in(raw, tmp_path):
    samples = folder_data(raw).samples
    build(data_set(*samples, sample("x")), tmp_path / "out")
    found = sample("x", write_poses(raw, "x", 5))
    ledger = build(data_set(*samples, found), tmp_path / "out")
    assert str(ledger) == "6 planned = 4 ok + 2 bad_skeleton"


def test_a_changed_file_behind_a_usable_sample_is_refused(raw, tmp_path):
    build(folder_data(raw), tmp_path / "out")
    before = digests(tmp_path / "out")
    n_bytes = (raw / "c.skeleton").stat().st_size
    write_poses(raw, "c", 41)
    with pytest.raises(PlanError, match=f"sample c: its pose file was .*{n_bytes} bytes.* is "):
        build(folder_data(raw), tmp_path / "out")
    assert digests(tmp_path / "out") == before


def test_a_usable_sample_stays_when_its_file_vanishes(raw, tmp_path):
    samples = folder_data(raw).samples
    build(data_set(*samples), tmp_path / "out")
    before = digests(tmp_path / "out")
    build(data_set(sample("a", label=1), *samples[1:]), tmp_path / "out")
    assert digests(tmp_path / "out") == before
    assert statuses(tmp_path / "out")["a"] == "ok"


def test_a_manifest_without_a_plan_is_not_written_over(raw, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.parquet").write_text("somebody's")
    with pytest.raises(PlanError, match=r"holds manifest.parquet but no plan.parquet"):
        build(folder_data(raw), tmp_path / "out")


def test_a_file_changed_under_an_unfinished_shard_is_planned_anew(raw, tmp_path):
    settings = BuildSettings(tmp_path / "out")
    build(folder_data(raw), tmp_path / "out")
    (tmp_path / "out" / "shards" / "00001.json").unlink()
    set_time(raw / "c.skeleton", 5_000)
    plan = plan_build(folder_data(raw), OPTIONS, settings)
    assert {row.sample_id: row.shard for row in plan.samples}["c"] == 3
    assert str(build(folder_data(raw), tmp_path / "out")) == "5 planned = 3 ok + 2 bad_skeleton"


def test_a_file_that_changed_since_the_plan_is_told_and_tried_again(raw, tmp_path):
    settings = BuildSettings(tmp_path / "out")
    plan = plan_build(folder_data(raw), OPTIONS, settings)
    set_time(raw / "c.skeleton", 5_000)
    run_build(plan, settings, lambda rows: None)
    assert statuses(tmp_path / "out")["c"] == "input_changed"
    build(folder_data(raw), tmp_path / "out")
    assert statuses(tmp_path / "out")["c"] == "ok"


def test_planning_writes_nothing(raw, tmp_path):
    plan_build(folder_data(raw), OPTIONS, BuildSettings(tmp_path / "out", overwrite=True))
    assert not (tmp_path / "out").exists()


def test_other_options_are_refused_and_leave_the_output_alone(raw, tmp_path):
    build(folder_data(raw), tmp_path / "out")
    before = digests(tmp_path / "out")
    with pytest.raises(PlanError, match="built with min frames 1, now it is 4"):
        build(folder_data(raw), tmp_path / "out", dataclasses.replace(OPTIONS, min_frames=4))
    assert digests(tmp_path / "out") == before


def test_overwriting_starts_anew_and_spares_what_is_not_ours(raw, tmp_path):
    build(folder_data(raw), tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    options = dataclasses.replace(OPTIONS, min_frames=18, samples_per_shard=5)
    ledger = build(folder_data(raw), tmp_path / "out", options, overwrite=True)
    assert str(ledger) == "5 planned = 2 ok + 2 bad_skeleton + 1 too_short"
    assert sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file()) == [
        "00000.h5", "00000.json", "dataset.json", "manifest.parquet", "notes.txt", "plan.parquet",
    ]  # fmt: skip


def test_a_limit_takes_the_first_samples_and_may_be_lifted(raw, tmp_path):
    assert (
        str(build(folder_data(raw), tmp_path / "out", limit=2))
        == "2 planned = 1 ok + 1 bad_skeleton"
    )
    ledger = build(folder_data(raw), tmp_path / "out")
    assert str(ledger) == "5 planned = 3 ok + 2 bad_skeleton"


def test_splits_may_change_without_work(raw, tmp_path, monkeypatch):
    build(folder_data(raw), tmp_path / "out")
    monkeypatch.setattr("toolkit.build.run.build_shard", lambda task: pytest.fail("worked again"))
    subsets = {"xsub": "test", "xview": "train"}
    data = folder_data(raw, splits=("xsub", "xview"), default_split="xview")
    moved = tuple(dataclasses.replace(s, subsets=subsets) for s in data.samples)
    build(dataclasses.replace(data, samples=moved), tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert set(manifest["split_xsub"]) == {"test"}
    assert set(manifest["split_xview"]) == {"train"}
    assert read_dataset_info(tmp_path / "out").default_split == "xview"


def test_progress_hears_of_every_sample_once(raw, tmp_path):
    settings, heard = BuildSettings(tmp_path / "out"), []
    data = data_set(*folder_data(raw).samples, sample("x"))
    build(data, tmp_path / "out")
    (tmp_path / "out" / "shards" / "00001.json").unlink()
    plan = plan_build(data, OPTIONS, settings)
    run_build(plan, settings, lambda rows: heard.append(sorted(r["sample_id"] for r in rows)))
    assert heard == [["a", "b", "e", "x"], ["c", "d"]]


def test_a_build_of_nothing_is_a_data_set_of_nothing(tmp_path):
    assert str(build(data_set(), tmp_path / "out")) == "0 planned = 0 ok"
    with DatasetReader(tmp_path / "out") as reader:
        assert len(reader) == 0


def test_a_build_where_all_failed_can_be_read(tmp_path):
    write_damaged(tmp_path / "raw", "a")
    ledger = build(folder_data(tmp_path / "raw"), tmp_path / "out")
    assert str(ledger) == "1 planned = 0 ok + 1 bad_skeleton"
    with DatasetReader(tmp_path / "out") as reader:
        assert len(reader) == 0
