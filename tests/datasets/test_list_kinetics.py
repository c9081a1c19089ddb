import json
from pathlib import Path

import pytest

from toolkit.datasets.kinetics import list_kinetics
from toolkit.datasets.kinetics_labels import SharedEntries, read_label_files
from toolkit.errors import DataNotFoundError, TableError

A, B, C = "-aaaaaaaaaa", "b_000010_00", "1e5"


@pytest.fixture
def raw(tmp_path):
    """Write files below tmp_path: objects as JSON, text as it is; return the folder."""

    def write(files):
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path

    return write


def pose(label=None, label_index=None):
    return {"data": [], "label": label, "label_index": label_index}


def entry(label="abseiling", label_index=0, has_skeleton=True):
    return {"has_skeleton": has_skeleton, "label": label, "label_index": label_index}


def reasons(dataset):
    return {sample.sample_id: sample.reason for sample in dataset.samples}


def test_layout_of_the_release(raw):
    root = raw({
        f"kinetics_train/{A}.json": pose(),
        f"kinetics_val/{B}.json": pose(),
        "kinetics_train_label.json": {A: entry("air drumming", 1)},
        "kinetics_val_label.json": {B: entry()},
        f"videos/air drumming/{A}_000010_000020.mp4": "",
        f"videos/abseiling/{B}.webm": "",
    })  # fmt: skip
    dataset = list_kinetics(root, root)
    first, second = dataset.samples
    assert (first.sample_id, first.label, first.label_name) == (A, 1, "air drumming")
    assert first.subsets == {"kinetics": "train"}
    assert Path(first.video) == root / f"videos/air drumming/{A}_000010_000020.mp4"
    assert first.facts == {"youtube_id": A, "source_label": 1}
    assert (second.sample_id, second.subsets) == (B, {"kinetics": "test"})
    assert Path(second.poses) == root / f"kinetics_val/{B}.json"
    assert (reasons(dataset), dataset.notices) == ({A: None, B: None}, ())


def test_a_listing_makes_no_object_of_a_sample_that_nobody_asks_for(raw, monkeypatch):
    poses = {f"kinetics_train/{name}.json": pose() for name in "abc"}
    root = raw({"train_label.json": {name: entry() for name in "abc"}, **poses})
    monkeypatch.setattr("toolkit.samples.Sample", None)
    assert list_kinetics(root, None).samples.sample_id == ["a", "b", "c"]


def test_recordings_of_a_class_share_its_entry(raw):
    root = raw({"train_label.json": {name: entry() for name in "abc"} | {"d": entry("zumba", 399)}})
    entries, _ = read_label_files([root / "train_label.json"])
    asked = []
    told = SharedEntries(entries.values()).tell(lambda one: asked.append(one) or one.label)
    assert (told, len(asked)) == (["abseiling"] * 3 + ["zumba"], 2)


def test_index_true_is_not_taken_for_1(raw):
    labels = {"a": entry(label_index=1), "b": entry(label_index=True)}
    root = raw({"train_label.json": labels, **{f"train/{i}.json": pose() for i in labels}})
    (notice,) = list_kinetics(root, None).notices
    assert "a: abseiling is 0, not 1; b: abseiling is 0, not True" in notice


def test_union_of_labels_poses_and_videos_is_planned(raw):
    root = raw({
        "train/poseonly.json": pose("abseiling", 0),
        "train/labelled.json": pose(),
        "train_label.json": {"labelled": entry(), "labelonly": entry()},
        "train/video/videoonly_000001_000011.mp4": "",
    })  # fmt: skip
    dataset = list_kinetics(root, root)
    assert reasons(dataset) == {
        "labelled": "missing_video",
        "labelonly": "missing_skeleton",
        "poseonly": "missing_video",
        "videoonly": "no_label",
    }
    assert [sample.label for sample in dataset.samples] == [0, 0, 0, -1]
    assert {sample.subsets["kinetics"] for sample in dataset.samples} == {"train"}


def test_skeleton_only_asks_for_no_video(raw):
    root = raw({"train/a.json": pose("abseiling", 0), "b.mp4": ""})
    assert reasons(list_kinetics(root, None)) == {"a": None}


def test_without_label_files_poses_say_class_and_folders_the_subset(raw):
    root = raw({"kinetics_val/x/1e5.json": pose("zumba", 399)})
    (sample,) = list_kinetics(root, None).samples
    assert (sample.sample_id, sample.label, sample.subsets) == (C, 399, {"kinetics": "test"})


def test_label_files_may_be_given_and_replace_those_found(raw):
    root = raw({
        "poses/kinetics_val_label.json": {"a": entry("zumba", 399)},
        "poses/a.json": pose(),
        "elsewhere/train.json": {"a": entry()},
    })  # fmt: skip
    dataset = list_kinetics(root / "poses", None, labels=[root / "elsewhere/train.json"])
    (sample,) = dataset.samples
    assert (sample.label, sample.subsets) == (0, {"kinetics": "train"})


def test_id_that_spells_label_is_a_pose_file(raw):
    root = raw({"train/xxlabelxxxx.json": pose("abseiling", 0)})
    assert reasons(list_kinetics(root, None)) == {"xxlabelxxxx": None}


def test_has_skeleton_false_is_a_missing_skeleton(raw):
    root = raw({"train_label.json": {"a": entry(has_skeleton=False)}, "train/a.json": pose()})
    (sample,) = list_kinetics(root, None).samples
    assert sample.reason == "missing_skeleton"
    assert sample.detail == "the label file says has_skeleton is false"


def test_class_outside_the_400_keeps_its_row(raw):
    root = raw({"train/a.json": pose("mopping", 1)})
    (sample,) = list_kinetics(root, None).samples
    assert (sample.reason, sample.label, sample.label_name) == ("unknown_label", -1, "mopping")


@pytest.mark.parametrize("label", [None, 7, " ", "two\nlines"])
def test_pose_file_without_a_usable_label_keeps_its_row(raw, label):
    root = raw({"train/a.json": pose(label, 7)})
    assert reasons(list_kinetics(root, None)) == {"a": "no_label"}


def test_broken_pose_file_without_label_file_keeps_its_row(raw):
    root = raw({"train/a.json": '{"data": [}'})
    (sample,) = list_kinetics(root, None).samples
    assert sample.reason == "bad_skeleton"
    assert "a.json: line 1, column 11: expected JSON" in sample.detail


def test_broken_pose_file_with_label_file_is_left_to_its_reader(raw):
    root = raw({"train/a.json": '{"data": [}', "train_label.json": {"a": entry()}})
    assert reasons(list_kinetics(root, None)) == {"a": None}


def test_other_json_files_are_told_and_left_out(raw):
    root = raw(
        {"train/a.json": pose("abseiling", 0), "notes.json": {"rgb": 0.5}, "ceilings.json": {}}
    )
    dataset = list_kinetics(root, None)
    assert reasons(dataset) == {"a": None}
    assert "notes.json" in dataset.notices[0]
    assert "ceilings.json" not in dataset.notices[0]


def test_label_is_trusted_over_its_index_and_that_is_told(raw):
    labels = {"a": entry("zumba", 400), "b": entry("zumba", 12), "c": entry("zumba", 399)}
    root = raw({"train_label.json": labels, **{f"train/{i}.json": pose() for i in labels}})
    dataset = list_kinetics(root, None)
    assert {sample.label for sample in dataset.samples} == {399}
    (notice,) = dataset.notices
    assert (
        "label_index disagrees with label for 2 of 3 recordings (1 of them count from 1)" in notice
    )
    assert "a: zumba is 399, not 400" in notice


def test_id_in_two_label_files_is_told_and_the_first_used(raw):
    root = raw({
        "kinetics_train_label.json": {"a": entry()},
        "kinetics_val_label.json": {"a": entry("zumba", 399)},
        "a.json": pose(),
    })  # fmt: skip
    dataset = list_kinetics(root, None)
    assert (dataset.samples[0].label, dataset.samples[0].subsets) == (0, {"kinetics": "train"})
    (notice,) = dataset.notices
    assert "a: " in notice
    assert f"{root}/kinetics_train_label.json and {root}/kinetics_val_label.json" in notice


def test_poses_and_videos_found_twice_are_told(raw):
    root = raw({
        "train/a.json": pose("abseiling"), "copy/train/a.json": pose("zumba"),
        "a.mp4": "", "a_000010_000020.mkv": "",
    })  # fmt: skip
    dataset = list_kinetics(root, root)
    assert Path(dataset.samples[0].poses) == root / "copy/train/a.json"
    assert Path(dataset.samples[0].video) == root / "a.mp4"
    poses, videos = dataset.notices
    assert poses.startswith("1 recording has more than one pose file; the first path is used: a:")
    assert videos.startswith("1 recording has more than one video; the first path is used: a:")


def test_recordings_of_neither_subset_are_told(raw):
    dataset = list_kinetics(raw({"a.json": pose("abseiling")}), None)
    assert dataset.samples[0].subsets == {}
    assert dataset.notices[0].startswith("1 recordings belong to neither train nor test")


def test_motion_keeps_the_30_classes_in_both_spellings(raw):
    labels = {
        "a": entry("hopscotch", 150), "b": entry("hopsotch"), "c": entry("dead lifting"),
        "d": entry("zumba", 399), "e": entry("arm wrestling", None), "f": entry("tai chi", None),
    }  # fmt: skip
    root = raw({"train_label.json": labels, "train/a.json": pose()})
    dataset = list_kinetics(root, None, motion_only=True)
    assert [(s.sample_id, s.label, s.label_name) for s in dataset.samples] == [
        ("a", 10, "hopscotch"),
        ("b", 10, "hopscotch"),
        ("c", 6, "deadlifting"),
        ("e", 0, "arm wrestling"),
        ("f", 26, "tai chi"),
    ]
    assert dataset.samples[3].facts["source_label"] == 6
    assert (dataset.name, len(dataset.class_names)) == ("kinetics-motion", 30)


def test_motion_leaves_out_what_has_no_class_and_says_so(raw):
    root = raw({"train/a.json": pose("lunge"), "train/b.json": pose("mopping"), "c.mp4": ""})
    dataset = list_kinetics(root, root, motion_only=True)
    assert reasons(dataset) == {"a": "missing_video"}
    assert "2 recordings of unknown class were left out of Kinetics-Motion: b, c" in dataset.notices


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        ('{"a": {"label" "lunge"}}', "line 1, column 16", "expected JSON"),
        ('{\n  "a": {"label": "lunge"}', "line 2", "expected JSON"),
        ("", "line 1, column 1", "expected JSON"),
        ("[]", "line 1", "found list"),
        ('{"a": "lunge"}', 'id "a"', "expected an object"),
        ('{"a": {"label": 3}}', 'id "a"', "expected a class name as label, found 3"),
        ('{"a": {"label": ""}}', 'id "a"', "expected a class name as label"),
        ('{"a": {"label": "lunge", "has_skeleton": "no"}}', 'id "a"', "has_skeleton true or false"),
        ('{"a/b": {"label": "lunge"}}', "id 'a/b'", "a path separator"),
        ('{"\\ud800": {"label": "lunge"}}', "id '\\ud800'", "unprintable"),
        ("[" * 100_000, "file", "endless nesting"),
        ('{"a\0": 1}', "line 1", "a NUL character"),
    ],
)
def test_damaged_label_file_is_refused_with_its_place(raw, content, place, words):
    root = raw({"train_label.json": content, "train/a.json": pose()})
    with pytest.raises(TableError) as caught:
        list_kinetics(root, None)
    assert str(caught.value).startswith(f"{root}/train_label.json: {place}")
    assert words in str(caught.value)


def test_label_file_that_is_not_utf8_is_refused_naming_the_byte(raw):
    root = raw({"train/a.json": pose()})
    (root / "label.json").write_bytes(b'{"\xff": 1}')
    with pytest.raises(TableError, match="byte 2: expected UTF-8 text, found 0xff"):
        list_kinetics(root, None)


def test_keys_repeated_in_a_label_file_are_told(raw):
    entries = '{"a": {"label": "lunge"}, "a": {"label": "zumba"}}'
    dataset = list_kinetics(raw({"train_label.json": entries, "train/a.json": pose()}), None)
    assert dataset.samples[0].label_name == "zumba"
    assert "train_label.json repeats keys; the last is used: a" in dataset.notices[0]


@pytest.mark.parametrize("files", [{}, {"train_label.json": {"a": entry()}}, {"x.json": []}])
def test_no_poses_at_all_says_how_to_get_them(raw, files):
    root = raw(files)
    with pytest.raises(DataNotFoundError, match="ctxtool synthesize kinetics"):
        list_kinetics(root, None)


def test_no_videos_at_all_names_skeleton_only(raw):
    root = raw({"train/a.json": pose("abseiling")})
    with pytest.raises(DataNotFoundError, match="--skeleton-only"):
        list_kinetics(root, root)


def test_real_files_of_the_release_and_of_others(samples_dir):
    dataset = list_kinetics(samples_dir / "kinetics_skeleton", None)
    samples = {sample.sample_id: sample for sample in dataset.samples}
    genuine = samples["--33Lscn6sk"]
    assert (genuine.label, genuine.label_name, genuine.reason) == (129, "flipping pancake", None)
    assert samples["S004C002P003R001A055_rgb"].reason == "unknown_label"
    assert samples["--4"].reason == "missing_skeleton"
    assert len(samples) == 1028
