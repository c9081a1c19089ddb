from pathlib import Path

import pytest

from toolkit.datasets.ntu import list_ntu
from toolkit.errors import DataNotFoundError

A = "S001C001P001R001A001"
B = "S001C002P003R002A050"
LISTED = "S001C002P005R002A008"
NTU120 = "S018C001P008R001A061"


@pytest.fixture
def touch(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def reasons(dataset):
    return {sample.sample_id: sample.reason for sample in dataset.samples}


def test_poses_and_videos_under_one_folder_are_found_whatever_the_folders(touch):
    root = touch(f"x/y z/{A}.skeleton", f"setup1/deep/{A}_rgb.avi")
    (sample,) = list_ntu(root, root).samples
    assert Path(sample.poses) == root / f"x/y z/{A}.skeleton"
    assert Path(sample.video) == root / f"setup1/deep/{A}_rgb.avi"
    assert (sample.label, sample.label_name, sample.reason) == (0, "drink water", None)
    assert sample.subsets == {"xsub": "train", "xview": "test"}
    assert sample.facts == {
        "setup": 1, "camera": 1, "subject": 1, "replication": 1, "action": 1,
    }  # fmt: skip


@pytest.mark.parametrize("ending", ["_rgb.avi", "_rgb.mp4", "_rgb.MKV", "_RGB.mov"])
def test_videos_in_other_containers_are_taken(touch, ending):
    root = touch(f"{A}.skeleton", f"{A}{ending}")
    assert reasons(list_ntu(root, root)) == {A: None}


def test_planned_samples_are_the_union_of_poses_and_videos(touch):
    root = touch(f"p/{A}.skeleton", f"v/{B}_rgb.avi")
    dataset = list_ntu(root / "p", root / "v")
    assert reasons(dataset) == {A: "missing_video", B: "missing_skeleton"}
    assert f"{A}_rgb.avi" in dataset.samples[0].detail
    assert f"{B}.skeleton lies below {root / 'p'}" in dataset.samples[1].detail


def test_skeleton_only_plans_what_poses_name(touch):
    root = touch(f"{A}.skeleton", f"{B}_rgb.avi")
    assert reasons(list_ntu(root, None)) == {A: None}


def test_listed_recordings_carry_their_reason_unless_wanted(touch):
    root = touch(f"{A}.skeleton", f"{LISTED}.skeleton")
    assert reasons(list_ntu(root, None))[LISTED] == "listed_missing"
    assert reasons(list_ntu(root, None, use_listed=True))[LISTED] is None


def test_names_of_the_larger_data_set_are_left_out_and_told(touch):
    root = touch(f"{A}.skeleton", f"{NTU120}.skeleton")
    dataset = list_ntu(root, None)
    assert reasons(dataset) == {A: None}
    (notice,) = dataset.notices
    assert notice.startswith("1 skeleton file(s) are not part of ntu60")
    assert "choose the data set ntu120" in notice
    assert NTU120 in notice


def test_ntu120_takes_both_and_offers_its_own_splits(touch):
    root = touch(f"{A}.skeleton", f"{NTU120}.skeleton")
    dataset = list_ntu(root, None, dataset="ntu120", default_split="xset")
    assert reasons(dataset) == {A: None, NTU120: None}
    assert (dataset.splits, dataset.default_split) == (("xsub", "xset"), "xset")
    assert (len(dataset.class_names), dataset.samples[1].label) == (120, 60)


def test_split_of_the_other_edition_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not 'xset'"):
        list_ntu(tmp_path, None, default_split="xset")


def test_recording_found_twice_is_told_and_the_first_path_used(touch):
    root = touch(f"b/{A}.skeleton", f"a/{A}.skeleton", f"c/{A}_rgb.mp4", f"c/{A}_rgb.avi")
    dataset = list_ntu(root, root)
    assert Path(dataset.samples[0].poses) == root / f"a/{A}.skeleton"
    assert Path(dataset.samples[0].video) == root / f"c/{A}_rgb.avi"
    poses, videos = dataset.notices
    assert f"{root}/a/{A}.skeleton and {root}/b/{A}.skeleton" in poses
    assert f"{root}/c/{A}_rgb.avi and {root}/c/{A}_rgb.mp4" in videos


def test_strange_names_are_told_and_left_out(touch):
    root = touch(f"{A}.skeleton", "S1.skeleton", f"{A}_ir.avi", f"{A}_rgb.avi")
    dataset = list_ntu(root, root)
    assert reasons(dataset) == {A: None}
    poses, videos = dataset.notices
    assert "S1.skeleton" in poses
    assert f"{A}_ir.avi" in videos


def test_hidden_copies_are_passed_over(touch):
    root = touch(f"{A}.skeleton", f"._{A}.skeleton", f".trash/{B}.skeleton")
    dataset = list_ntu(root, None)
    assert (reasons(dataset), dataset.notices) == ({A: None}, ())


def test_no_skeletons_at_all_says_how_to_get_them(touch):
    root = touch(f"{A}_rgb.avi")
    with pytest.raises(DataNotFoundError, match=r"rose1\.ntu\.edu\.sg") as caught:
        list_ntu(root, root)
    assert "ctxtool synthesize ntu" in str(caught.value)
    assert str(root) in str(caught.value)


def test_no_videos_at_all_names_skeleton_only(touch):
    root = touch(f"{A}.skeleton")
    with pytest.raises(DataNotFoundError, match="--skeleton-only"):
        list_ntu(root, root / "nowhere")


def test_real_recordings(samples_dir):
    dataset = list_ntu(samples_dir / "ntu_skeleton", samples_dir / "ntu_rgb")
    assert reasons(dataset) == {
        "S001C001P001R001A001": None,
        "S001C001P001R001A050": "missing_video",
        "S001C003P008R002A058": "missing_video",
        "S003C001P015R001A034": "missing_video",
        "S004C002P003R001A055": "missing_skeleton",
        "S004C002P003R002A048": "missing_skeleton",
        "S017C003P020R002A054": "missing_video",
        "S017C003P020R002A056": "missing_video",
    }
    assert dataset.notices == ()
