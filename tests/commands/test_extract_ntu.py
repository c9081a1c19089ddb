import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import ntu_frames, write_ntu_skeleton
from raw_folders import (
    in_process,
    numbers_of,
    rows,
    shards,
    statuses,
    tree,
    write_ntu,
    write_ntu_video,
)
from running import ctxtool

from toolkit.readers.ntu_skeleton import read_ntu_skeleton
from toolkit.shards import DatasetReader, read_dataset_info

# Class 3, subject 1 (train) and 3 (test of xsub), cameras 2 (train) and 1 (test of xview).
TRAIN_A, TRAIN_B, TEST = "S001C002P001R001A003", "S001C001P001R002A003", "S001C002P003R001A004"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A working directory with synthetic data, built by the commands of the README alone."""
    cwd = tmp_path_factory.mktemp("demo")
    options = ("--train", 6, "--test", 4, "--frames", 20, "--size", "32x24", "--jobs", 1)
    made = ctxtool("synthesize", "ntu", *options, cwd=cwd)
    assert made.status == 0, made.err
    return cwd, ctxtool("extract-ntu", "--split", "xsub", cwd=cwd)


@pytest.fixture
def raw(tmp_path):
    """Three recordings of 20 frames, two for training and one for testing."""
    for name in (TRAIN_A, TRAIN_B, TEST):
        write_ntu(tmp_path / "raw", name)
    return tmp_path / "raw"


def extract(raw, *options):
    """Build ``raw`` into the folder ``out`` beside it, two recordings a shard."""
    out = raw.parent / "out"
    places = ("--raw", raw, "--out", out, "--jobs", 1, "--samples-per-shard", 2)
    return in_process("extract-ntu", *places, *options), out


def test_defaults_need_no_path(demo):
    _, ran = demo
    assert ran.status == 0
    assert ran.out == "out/ntu60: 10 planned = 10 ok\nsplit xsub: train 6, test 4\n"


def test_progress_is_silent_when_nobody_watches(demo):
    assert demo[1].err == ""


def test_the_manifest_opens_in_pandas_alone(demo):
    latents = pd.read_csv(demo[0] / "data/ntu/latents.csv").set_index("id")
    manifest = pd.read_parquet(demo[0] / "out/ntu60/manifest.parquet").set_index("sample_id")
    assert set(manifest.index) == set(latents.index)
    assert manifest["split_xsub"].to_dict() == latents["subset"].to_dict()
    assert manifest["label"].to_dict() == latents["label"].to_dict()
    assert set(manifest["status"]) == {"ok"}
    assert set(manifest["max_drift_ms"]) == {0.0}


def test_poses_are_stored_as_they_were_read(demo):
    with DatasetReader(demo[0] / "out/ntu60") as data:
        for i, row in data.samples.iterrows():
            poses, stored = read_ntu_skeleton(Path(row["poses"])), data.sample(i)
            np.testing.assert_array_equal(stored.joints[:, :1], poses.joints)
            np.testing.assert_array_equal(stored.pixels[:, :1], poses.pixels)
            assert not stored.present[:, 1].any()


def test_another_split_decodes_nothing(demo):
    out = demo[0] / "out" / "ntu60"
    before = shards(out)
    ran = ctxtool("extract-ntu", "--split", "xview", cwd=demo[0])
    cameras = rows(out)["camera"]
    n_train = int(cameras.isin([2, 3]).sum())
    assert ran.out.splitlines()[1] == f"split xview: train {n_train}, test {10 - n_train}"
    assert shards(out) == before
    assert read_dataset_info(out).default_split == "xview"


@pytest.mark.parametrize(
    ("dataset", "split", "offered"),
    [("ntu60", "xset", "xview"), ("ntu120", "xview", "xset")],
)
def test_a_split_of_the_other_edition_is_refused(raw, dataset, split, offered):
    ran, out = extract(raw, "--dataset", dataset, "--split", split)
    assert ran.status == 2
    assert f"{dataset} has the splits xsub and {offered}, not {split}" in ran.err
    assert not out.exists()


def test_ntu120_has_xset_and_a_folder_of_its_own(raw, tmp_path):
    # Setups 2 and 3: the even one is for training.
    write_ntu(raw, "S002C001P001R001A120", 4)
    write_ntu(raw, "S003C001P001R001A061", 4)
    options = ("--dataset", "ntu120", "--split", "xset", "--raw", raw, "--jobs", 1)
    ran = in_process("extract-ntu", *options, cwd=tmp_path)
    assert ran.out == "out/ntu120: 5 planned = 5 ok\nsplit xset: train 1, test 4\n"
    assert rows(tmp_path / "out/ntu120").loc["S002C001P001R001A120", "label"] == 119


def test_ntu60_leaves_recordings_of_ntu120_out_and_says_so(raw):
    write_ntu(raw, "S018C001P008R001A061", 4)
    ran, out = extract(raw)
    assert ran.out.startswith(f"{out}: 3 planned = 3 ok")
    assert "1 skeleton file(s) are not part of ntu60 and were left out" in ran.err


def test_a_dry_run_counts_and_writes_nothing(raw):
    before = tree(raw.parent)
    write_ntu_skeleton(raw / "S001C001P001R001A005.skeleton", ntu_frames([7]))
    n_bytes = sum(path.stat().st_size for path in raw.iterdir() if "A005" not in path.name)
    ran, _ = extract(raw, "--dry-run", "--split", "xview")
    (raw / "S001C001P001R001A005.skeleton").unlink()
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        f"ntu60: 4 samples planned, 3 to extract ({n_bytes / 1e6:,.1f} MB of raw files)"
        " into 2 shards",
        "  1 missing_video",
        "by split (samples to extract)",
        "  xsub: train 2, test 1",
        "  xview (default): train 2, test 1",
        "by class (xview: train test)",
        "    2      1      1  brushing teeth",
        "    3      1      0  brushing hair",
    ]
    assert tree(raw.parent) == before


def test_a_dry_run_leaves_a_finished_build_alone(raw):
    _, out = extract(raw)
    before = shards(out), (out / "dataset.json").read_bytes()
    ran, _ = extract(raw, "--dry-run", "--overwrite", "--quality", 50)
    assert "3 samples planned" in ran.out
    assert (shards(out), (out / "dataset.json").read_bytes()) == before


def test_a_limit_that_is_lifted_adds_shards_and_keeps_the_old(raw):
    first, out = extract(raw, "--limit", 1)
    before = shards(out)
    second, _ = extract(raw)
    after = shards(out)
    assert first.out.startswith(f"{out}: 1 planned = 1 ok")
    assert second.out.startswith(f"{out}: 3 planned = 3 ok")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"00001.h5", "00001.json"}


def test_a_video_that_turns_up_later_is_taken_in(raw):
    (raw / f"{TRAIN_A}_rgb.avi").rename(raw.parent / "away.avi")
    early, out = extract(raw)
    before = shards(out)
    (raw.parent / "away.avi").rename(raw / f"{TRAIN_A}_rgb.avi")
    late, _ = extract(raw)
    assert (early.status, late.status) == (3, 0)
    assert early.out.startswith(f"{out}: 3 planned = 2 ok + 1 missing_video")
    assert late.out.startswith(f"{out}: 3 planned = 3 ok")
    assert late.out.endswith("\nmade now: 1, done before: 2\n")
    assert {name: shards(out)[name] for name in before} == before


def test_a_failed_recording_is_tried_again_once_repaired(raw):
    good = (raw / f"{TEST}.skeleton").read_text()
    (raw / f"{TEST}.skeleton").write_text(good.replace("\n25\n", "\n24\n", 1))
    broken, out = extract(raw)
    (raw / f"{TEST}.skeleton").write_text(good)
    repaired, _ = extract(raw)
    assert broken.out.startswith(f"{out}: 3 planned = 2 ok + 1 bad_skeleton")
    assert (repaired.status, statuses(out)[TEST]) == (0, "ok")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda raw: write_ntu_skeleton(raw / f"{TEST}.skeleton", ntu_frames([7])), "pose file"),
        (lambda raw: write_ntu_video(raw, TEST, 19), "video"),
    ],
    ids=["skeleton", "video"],
)
def test_a_changed_file_behind_a_usable_sample_is_refused(raw, change, what):
    _, out = extract(raw)
    before = shards(out)
    change(raw)
    ran, _ = extract(raw)
    assert ran.status == 1
    assert ran.err.startswith(f"Error: sample {TEST}: its {what} was {raw / TEST}")
    assert ran.err.count("\n") == 1
    assert shards(out) == before


PARAMETERS = [
    ("--quality", 80, "quality 90, now it is 80"),
    ("--frame-size", 64, "frame size 128, now it is 64"),
    ("--bodies", "file-order", "bodies denoise, now it is file-order"),
    ("--min-frames", 2, "min frames 1, now it is 2"),
    ("--tolerance", 6, "tolerance ms 100.0, now it is 200.0"),
    ("--samples-per-shard", 3, "samples per shard 2, now it is 3"),
    ("--dataset", "ntu120", "data set ntu60, now it is ntu120"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    raw = tmp_path_factory.mktemp("finished") / "raw"
    write_ntu(raw, TRAIN_A, 4)
    extract(raw)
    return raw


@pytest.mark.parametrize(("option", "value", "told"), PARAMETERS, ids=[p[0] for p in PARAMETERS])
def test_a_changed_parameter_is_refused_by_name(finished, option, value, told):
    ran, out = extract(finished, option, value)
    advice = "choose another --out, or --overwrite to build anew"
    assert (ran.status, ran.err) == (1, f"Error: this output was built with {told}: {advice}\n")
    assert statuses(out) == {TRAIN_A: "ok"}


def test_leaving_the_pictures_out_is_another_build(finished):
    ran, _ = extract(finished, "--skeleton-only")
    assert "built with skeleton only False, now it is True" in ran.err


def test_overwriting_builds_anew_with_other_parameters(raw):
    _, out = extract(raw)
    ran, _ = extract(raw, "--overwrite", "--min-frames", 21)
    assert ran.out.startswith(f"{out}: 3 planned = 0 ok + 3 too_short")
    assert "split xsub: no usable sample" in ran.out
    assert rows(out)["shard"].isna().all()


ALLOWANCES = {
    "nothing": ([], 3),
    "one of two": (["--allow", "no_body"], 3),
    "both": (["--allow", "no_body", "--allow", "missing_video"], 0),
    "all": (["--allow", "all"], 0),
}


@pytest.mark.parametrize(("allowed", "status"), ALLOWANCES.values(), ids=ALLOWANCES)
def test_the_exit_depends_on_what_the_user_allows(raw, allowed, status):
    write_ntu_skeleton(raw / f"{TRAIN_A}.skeleton", ntu_frames([], []))
    (raw / f"{TEST}_rgb.avi").unlink()
    ran, out = extract(raw, *allowed)
    assert ran.status == status
    assert ran.out.startswith(f"{out}: 3 planned = 1 ok + ")
    assert ("--allow" in ran.err) == (status == 3)


def test_what_must_be_allowed_is_said(raw):
    (raw / f"{TEST}_rgb.avi").unlink()
    ran, out = extract(raw)
    assert ran.err.startswith("2 of 3 planned recordings are stored and usable; ")
    assert f"(ctxtool inspect {out}), the first {TEST}: missing_video. " in ran.err
    assert ran.err.endswith(" To accept this, add: --allow missing_video\n")


def test_a_repeated_command_says_that_nothing_was_left(raw):
    first, _ = extract(raw)
    again, _ = extract(raw)
    assert again.out == f"{first.out}nothing was left to do: every recording was done before\n"


def test_another_default_split_is_said(raw):
    extract(raw, "--split", "xsub")
    ran, _ = extract(raw, "--split", "xview")
    assert "\nthe default split was xsub and is xview now\n" in ran.out


def test_a_report_older_than_its_data_is_said(raw):
    _, out = extract(raw, "--limit", 1)
    (out / "report.html").touch()
    ran, _ = extract(raw)
    assert f"{out / 'report.html'} shows earlier data; anew: ctxtool report {out}\n" in ran.out
    assert "shows earlier data" not in extract(raw)[0].out


def test_no_data_is_one_paragraph_with_a_way_out(tmp_path):
    ran = ctxtool("extract-ntu", cwd=tmp_path)
    assert ran.status == 1
    assert ran.err.startswith("Error: No raw NTU RGB+D data was found: looked for skeleton files")
    assert "below data/ntu." in ran.err
    assert "registration" in ran.err
    assert ran.err.endswith("run: ctxtool synthesize ntu\n")
    assert ran.err.count("\n") == 1
    assert tree(tmp_path) == []


def test_skeletons_without_a_single_video_say_how_to_do_without(tmp_path):
    write_ntu_skeleton(tmp_path / f"{TEST}.skeleton", ntu_frames([7]))
    ran = in_process("extract-ntu", "--raw", tmp_path, "--out", tmp_path / "out")
    assert ran.status == 1
    assert "looked for videos" in ran.err
    assert "--skeleton-only" in ran.err


def test_skeletons_alone_need_no_videos(raw):
    for path in raw.glob("*.avi"):
        path.unlink()
    ran, out = extract(raw, "--skeleton-only")
    assert (ran.status, ran.out.splitlines()[0]) == (0, f"{out}: 3 planned = 3 ok")
    assert (rows(out)["video"] == "").all()
    with DatasetReader(out) as data:
        window = data.sample(0)
    assert len(window.jpegs) == 0
    assert window.video_index.tolist() == [-1] * 20


def test_a_recording_found_twice_is_told_and_the_first_path_used(raw):
    write_ntu(raw / "copy", TEST, 7)
    ran, out = extract(raw)
    told = f"{TEST}: {raw / TEST}.skeleton and {raw / 'copy' / TEST}.skeleton"
    assert f"1 recording has more than one skeleton file; the first path is used: {told}" in ran.err
    assert "1 recording has more than one video" in ran.err
    row = rows(out).loc[TEST]
    assert (row["poses"], row["n_frames"]) == (str(raw / f"{TEST}.skeleton"), 20)


def test_folders_may_lie_apart(raw, tmp_path):
    (tmp_path / "rgb").mkdir()
    for path in raw.glob("*.avi"):
        path.rename(tmp_path / "rgb" / path.name)
    places = ("--skeletons", raw, "--videos", tmp_path / "rgb", "--out", tmp_path / "out")
    ran = in_process("extract-ntu", *places, "--jobs", 1)
    assert (ran.status, ran.out.splitlines()[0]) == (0, f"{tmp_path}/out: 3 planned = 3 ok")


@pytest.mark.parametrize("n_pictures", [17, 19, 20, 23])
def test_counts_up_to_three_apart_are_told(tmp_path, n_pictures):
    write_ntu(tmp_path / "raw", TEST, 20, n_pictures)
    ran, out = extract(tmp_path / "raw")
    row = rows(out).loc[TEST]
    assert (ran.status, row["n_frames"], row["video_frames"]) == (0, 20, n_pictures)
    told = "" if n_pictures == 20 else f"20 pose frames, {n_pictures} video frames"
    assert row["detail"] == told
    # Poses past the last picture keep it: one frame of drift, 1/30 s, each.
    assert row["max_drift_ms"] == pytest.approx(max(0, 20 - n_pictures) * 1000 / 30, abs=1e-3)


@pytest.mark.parametrize(
    ("n_pictures", "options", "allowed"), [(16, (), 3), (24, (), 3), (19, ("--tolerance", 0), 0)]
)
def test_counts_further_apart_are_misaligned(tmp_path, n_pictures, options, allowed):
    write_ntu(tmp_path / "raw", TEST, 20, n_pictures)
    ran, out = extract(tmp_path / "raw", *options)
    assert ran.status == 3
    row = rows(out).loc[TEST]
    path = tmp_path / "raw" / f"{TEST}_rgb.avi"
    counts = f"20 pose frames, {n_pictures} video frames, at most {allowed} apart allowed"
    assert row[["status", "detail"]].tolist() == ["misaligned", f"{path}: {counts}"]


def test_frames_without_a_body_keep_their_row_and_their_picture(tmp_path):
    raw = tmp_path / "raw"
    seen = [[7], [], [], [7], [7], []]
    write_ntu_skeleton(raw / f"{TEST}.skeleton", ntu_frames(*seen))
    write_ntu_video(raw, TEST, 6)
    _, out = extract(raw)
    with DatasetReader(out) as data:
        window = data.sample(0)
    assert window.present[:, 0].tolist() == [1, 0, 0, 1, 1, 0]
    assert numbers_of(window.pictures()) == [0, 1, 2, 3, 4, 5]
    assert window.video_index.tolist() == [0, 1, 2, 3, 4, 5]


def test_a_recording_on_the_missing_list_is_used_only_when_asked(tmp_path):
    # The first name of the published list of 302.
    name = "S001C002P005R002A008"
    write_ntu(tmp_path / "raw", name, 4)
    listed, out = extract(tmp_path / "raw")
    assert (listed.status, statuses(out)) == (3, {name: "listed_missing"})
    used, _ = extract(tmp_path / "raw", "--use-listed")
    assert (used.status, statuses(out)) == (0, {name: "ok"})


def test_the_choices_are_written_beside_the_result(raw):
    _, out = extract(raw, "--frame-size", 16, "--quality", 70, "--tolerance", 6)
    parameters = json.loads((out / "dataset.json").read_text())["parameters"]
    wanted = {"frame_size": 16, "quality": 70, "tolerance_ms": 200.0, "align": "frame"}
    assert wanted.items() <= parameters.items()
    # 64x48 pictures whose short side becomes 16: 64 * 16 / 48 = 21.3, the nearest even is 22.
    assert rows(out).loc[TEST, ["width", "height"]].tolist() == [22, 16]
