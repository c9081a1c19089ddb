import json
import shutil

import numpy as np
import pandas as pd
import pytest
from shard_builders import RECORDINGS, MadeDataset, Recording, write_dataset

from toolkit.errors import FileError, ShardError
from toolkit.inspection import dataset_facts, sample_facts, write_csv
from toolkit.inspection_text import format_bytes, format_facts, format_sample, format_table
from toolkit.joint_statistics import measure_joints
from toolkit.skeleton import NTU25, OPENPOSE18


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("made") / "out")


@pytest.fixture(scope="module")
def facts(folder):
    return dataset_facts(folder)


def test_counts_say_planned_is_ok_plus_reasons(facts):
    counts = facts["counts"]
    assert (counts["planned"], counts["ok"]) == (7, 5)
    assert [(r["reason"], r["n"], r["sample_id"]) for r in counts["reasons"]] == [
        ("bad_skeleton", 1, "c"),
        ("missing_video", 1, "e"),
    ]


def test_reasons_come_with_the_sentence_of_an_example(facts):
    details = {r["reason"]: r["detail"] for r in facts["counts"]["reasons"]}
    assert details["bad_skeleton"] == "c.skeleton: line 3: expected 25, found 24"


def test_parameters_without_a_value_are_left_out(facts):
    assert facts["parameters"]["encoder"] == ""
    assert "encoder" not in format_facts(facts)


def test_splits_count_planned_and_usable_samples_of_each_subset(facts):
    assert facts["splits"] == {
        "xsub": {"test": {"planned": 2, "ok": 2}, "train": {"planned": 5, "ok": 3}},
        "xview": {"train": {"planned": 7, "ok": 5}},
    }


def test_classes_count_ok_and_failed_and_leave_out_the_empty_one(facts):
    assert facts["classes"] == [
        {"label": 0, "name": "drink water", "ok": 3, "failed": 0},
        {"label": 1, "name": "eat meal", "ok": 2, "failed": 2},
    ]


def test_lengths_clips_and_bodies_come_from_the_usable_samples(facts):
    # Frames 33 16 5 40 17 make 3 + 1 + 1 + 3 + 2 clips.
    assert facts["sizes"]["frames"] == 111
    assert facts["sizes"]["clips"] == 10
    assert facts["lengths"] == {"min": 5, "median": 17, "max": 40, "shorter_than_a_clip": 1}
    assert facts["bodies"] == {"1": 3, "2": 2}


def test_sizes_are_those_of_the_files(facts, folder):
    n_bytes = sum(path.stat().st_size for path in (folder / "shards").glob("*.h5"))
    assert facts["sizes"]["shards"] == 3
    assert facts["sizes"]["bytes"] == n_bytes
    assert facts["sizes"]["bytes_per_frame"] == pytest.approx(n_bytes / 111, abs=0.05)


def test_drift_names_the_worst_sample(facts):
    # Of 0 8 4 0 20 ms: the median is 4; 95 % lies 0.8 of the way from 8 to 20.
    assert facts["drift"] == {
        "median_ms": 4.0,
        "p95_ms": 17.6,
        "worst_ms": 20.0,
        "worst_sample": "g",
    }


def test_joints_tell_how_often_bodies_and_joints_were_seen(facts):
    joints = facts["joints"]
    assert (joints["shards_read"], joints["shards"], joints["frames"]) == (3, 3, 111)
    # The second body is in b (16 frames) and f (40).
    assert joints["present"] == pytest.approx([1.0, 56 / 111])
    assert joints["quantity"] == "share tracked"
    assert set(joints["by_joint"].values()) == {1.0}


def test_facts_are_plain_json(facts):
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_skeletons_without_video_have_no_drift_and_scores_for_joints(tmp_path):
    made = MadeDataset(layout=OPENPOSE18, pictures=False)
    folder = write_dataset(tmp_path / "out", RECORDINGS[:2], made)
    facts = dataset_facts(folder)
    assert facts["drift"] is None
    assert facts["pictures"] == {}
    assert facts["joints"]["quantity"] == "mean score"
    # Scores are drawn evenly between 0.1 and 0.9, 65 bodies of 18 joints.
    assert np.mean(list(facts["joints"]["by_joint"].values())) == pytest.approx(0.5, abs=0.03)


def test_a_build_in_which_everything_failed_can_be_described(tmp_path):
    failed = [Recording("a", reason="no_body"), Recording("b", reason="x", listed=True)]
    text = format_facts(dataset_facts(write_dataset(tmp_path / "out", failed)))
    assert "2 planned = 0 ok + 1 no_body + 1 x" in text


def test_only_some_shards_are_read_and_that_is_said(folder):
    statistics = measure_joints(folder, [0, 1, 2], NTU25, max_shards=2)
    # Shard 0 holds a and b (49 frames), shard 2 f and g (57).
    assert (statistics.n_shards_read, statistics.n_shards) == (2, 3)
    assert statistics.n_frames == 49 + 57


@pytest.mark.parametrize(
    "line",
    [
        "7 planned = 5 ok + 1 bad_skeleton + 1 missing_video",
        "xsub (default)   train        5   3       2",
        "  1 eat meal      2       2",
        "bodies    the source shows 1 in 3 samples, 2 in 2 samples",
        "pictures  48x32 in 5 samples",
        "joints, from 111 frames of every shard",
    ],
)
def test_the_text_holds_the_line(facts, line):
    assert line in format_facts(facts).splitlines()


def tell_sample(folder, sample_id):
    return format_sample(sample_facts(folder, sample_id)).splitlines()


def test_a_usable_sample_shows_row_clips_and_drift(folder):
    lines = tell_sample(folder, "g")
    assert "youtube_id    -g" in lines
    assert lines[-1].split() == ["16", "1", "16", "20.00"]
    assert "  clip   1  frames 16 to 16" in lines


def test_a_second_sample_of_a_shard_counts_its_own_frames(folder):
    assert "  clip   0  frames 0 to 15" in tell_sample(folder, "b")


def test_a_failed_sample_shows_its_sentence(folder):
    told = format_sample(sample_facts(folder, "c"))
    assert "c.skeleton: line 3: expected 25, found 24" in told


def test_an_unknown_sample_is_answered_with_ids_like_it(tmp_path):
    names = [f"S001C001P001R001A00{i}" for i in range(1, 4)]
    folder = write_dataset(tmp_path / "out", [Recording(name, n_frames=1) for name in names])
    with pytest.raises(ValueError, match=r"no sample 'S001C001P001R001A030' .* near it are S001"):
        sample_facts(folder, "S001C001P001R001A030")
    with pytest.raises(ValueError, match=r"A002$"):
        sample_facts(folder, "S001C001P001R001A002.skeleton")


def test_an_id_like_no_other_gets_no_suggestion(folder):
    with pytest.raises(ValueError, match=r"manifest$"):
        sample_facts(folder, "zzz")


def test_csv_holds_every_planned_sample(folder, tmp_path):
    write_csv(folder, tmp_path / "manifest.csv")
    table = pd.read_csv(tmp_path / "manifest.csv", dtype=str, keep_default_na=False)
    assert table["sample_id"].tolist() == list("abcdefg")
    assert table["n_frames"].tolist() == ["33", "16", "", "5", "", "40", "17"]
    assert table["youtube_id"][0] == "-a"


def test_csv_into_a_folder_that_is_not_there_is_a_clear_error(folder, tmp_path):
    with pytest.raises(FileError, match="expected a place to write to"):
        write_csv(folder, tmp_path / "none" / "manifest.csv")


def test_a_folder_that_is_no_data_set_is_a_clear_error(tmp_path):
    with pytest.raises(ShardError, match=r"dataset\.json"):
        dataset_facts(tmp_path)


def test_a_damaged_shard_is_named(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "out")
    (copied / "shards" / "00001.h5").write_bytes(b"nothing")
    with pytest.raises(ShardError, match=r"00001\.h5"):
        dataset_facts(copied)


def test_tables_align_text_left_and_numbers_right():
    assert format_table(("name", "n"), [("a", 5), ("long name", 100)]) == [
        "name         n",
        "a            5",
        "long name  100",
    ]


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 bytes"), (9_999, "9999 bytes"), (12_345, "12.3 KB"), (8.1e12, "8100.0 GB")],
)
def test_sizes_read_easily(n_bytes, text):
    assert format_bytes(n_bytes) == text
