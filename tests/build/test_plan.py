import dataclasses
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import OPTIONS, data_set, sample, set_time, write_poses

from toolkit.build.plan import NO_SHARD, Stamp, make_plan
from toolkit.errors import PlanError
from toolkit.skeleton import OPENPOSE18


@pytest.fixture
def raw(tmp_path):
    """Write recordings a to e and return them as samples by name."""
    return {n: sample(n, write_poses(tmp_path, n, 1), label=ord(n) % 2) for n in "abcde"}


def replace(one, **changes):
    return dataclasses.replace(one, **changes)


def shards_of(plan):
    return {row.sample_id: row.shard for row in plan.samples}


def test_shards_are_filled_in_order(raw):
    plan = make_plan(data_set(*raw.values()), OPTIONS)
    assert shards_of(plan) == {"a": 0, "b": 0, "c": 1, "d": 1, "e": 2}


def test_samples_known_to_be_unusable_take_no_place(raw):
    raw |= {"b": sample("b"), "bb": sample("bb")}
    plan = make_plan(data_set(*raw.values()), OPTIONS)
    assert shards_of(plan) == {"a": 0, "b": NO_SHARD, "bb": NO_SHARD, "c": 0, "d": 1, "e": 1}
    assert sorted(plan.shards()) == [0, 1]


def test_a_plan_of_nothing_has_no_shards():
    plan = make_plan(data_set(), OPTIONS)
    assert (plan.samples, plan.shards(), plan.fingerprints()) == ([], {}, {})


def test_a_video_is_no_input_of_a_skeleton_only_build(raw, tmp_path):
    video = replace(raw["a"], video=tmp_path / "a.avi")
    assert make_plan(data_set(video), OPTIONS).samples[0].video == Stamp()


def test_the_same_inputs_have_the_same_fingerprint(raw):
    data = data_set(*raw.values())
    first, second = make_plan(data, OPTIONS), make_plan(data, OPTIONS)
    assert first.fingerprint == second.fingerprint
    assert first.fingerprints() == second.fingerprints()


def grow(path):
    path.write_text(path.read_text() + " ")
    set_time(path, 1_000)


@pytest.mark.parametrize("change", [grow, lambda p: set_time(p, 2_000)], ids=["size", "time"])
def test_another_file_changes_the_fingerprint_of_its_shard_only(raw, change):
    data = data_set(*raw.values())
    before = make_plan(data, OPTIONS)
    change(raw["c"].poses)
    after = make_plan(data, OPTIONS)
    assert after.fingerprint != before.fingerprint
    changed = {n for n, f in after.fingerprints().items() if f != before.fingerprints()[n]}
    assert changed == {1}


def test_another_video_changes_the_fingerprint(raw, tmp_path):
    options = replace(OPTIONS, skeleton_only=False)
    video = tmp_path / "a.avi"
    video.touch()
    data = data_set(replace(raw["a"], video=set_time(video, 1_000)))
    before = make_plan(data, options)
    set_time(video, 2_000)
    assert make_plan(data, options).fingerprints() != before.fingerprints()


OTHERS = {
    "nothing": (data_set, OPTIONS, True),
    "order of listing": (lambda a, b: data_set(b, a), OPTIONS, True),
    "name": (lambda a, b: data_set(a, b, name="other"), OPTIONS, False),
    "classes": (lambda a, b: data_set(a, b, class_names=("jump", "walk")), OPTIONS, False),
    "layout": (lambda a, b: data_set(a, b, layout=OPENPOSE18), OPTIONS, False),
    "options": (data_set, replace(OPTIONS, min_frames=2), False),
    "samples": (lambda a, b: data_set(a), OPTIONS, False),
    "ids": (lambda a, b: data_set(a, replace(b, sample_id="c")), OPTIONS, False),
    "labels": (lambda a, b: data_set(replace(a, label=0), b), OPTIONS, False),
}


@pytest.mark.parametrize(("list_other", "options", "same"), OTHERS.values(), ids=OTHERS)
def test_what_makes_other_shards_changes_the_fingerprint(raw, list_other, options, same):
    plan = make_plan(data_set(raw["a"], raw["b"]), OPTIONS)
    other = make_plan(list_other(raw["a"], raw["b"]), options)
    assert (other.fingerprints()[0] == plan.fingerprints()[0]) is same
    assert (other.fingerprint == plan.fingerprint) is same


@pytest.mark.parametrize(
    "change",
    [{"subsets": {"xsub": "test"}}, {"facts": {"setup": 9}}, {"label_name": "leap"}],
    ids=lambda change: next(iter(change)),
)
def test_what_only_the_manifest_tells_does_not(raw, change):
    before, after = (
        make_plan(data_set(one), OPTIONS) for one in (raw["a"], replace(raw["a"], **change))
    )
    assert after.fingerprints() == before.fingerprints()


def test_another_choice_of_split_plans_the_same_shards(raw):
    plan = make_plan(data_set(raw["a"]), OPTIONS)
    data = data_set(raw["a"], splits=("xsub", "xview"), default_split="xview")
    again = make_plan(data, OPTIONS, plan)
    assert again.fingerprints() == plan.fingerprints()
    assert again.header.default_split == "xview"


def test_new_samples_go_into_new_shards(raw):
    old = make_plan(data_set(raw["b"], raw["c"], raw["e"]), OPTIONS)
    plan = make_plan(data_set(*raw.values()), OPTIONS, old)
    assert shards_of(plan) == {"a": 2, "b": 0, "c": 0, "d": 2, "e": 1}
    assert {n: plan.fingerprints()[n] for n in (0, 1)} == old.fingerprints()


def test_nothing_new_is_the_same_plan(raw):
    data = data_set(*raw.values(), sample("x"))
    plan = make_plan(data, OPTIONS)
    assert make_plan(data, OPTIONS, plan) == plan


def test_planning_again_asks_for_each_file_once_and_makes_no_objects(raw, monkeypatch):
    data, asked, stat = data_set(*raw.values()), [], os.stat
    plan = make_plan(data, OPTIONS)
    monkeypatch.setattr("toolkit.build.plan_table.PlannedSample", None)
    monkeypatch.setattr(os, "stat", lambda path, **how: asked.append(path) or stat(path, **how))
    assert make_plan(data, OPTIONS, plan) is plan
    assert asked == [str(one.poses) for one in raw.values()]


def test_a_missing_file_that_turned_up_gets_a_place(raw):
    old = make_plan(data_set(raw["a"], sample("b")), OPTIONS)
    plan = make_plan(data_set(raw["a"], raw["b"]), OPTIONS, old)
    assert shards_of(plan) == {"a": 0, "b": 1}
    assert not any(row.superseded for row in plan.rows)


def test_a_reason_that_changed_is_taken_over(raw):
    old = make_plan(data_set(raw["a"], sample("b")), OPTIONS)
    plan = make_plan(data_set(raw["a"], sample("b", reason="listed_missing")), OPTIONS, old)
    assert [(r.sample_id, r.reason) for r in plan.samples] == [("a", ""), ("b", "listed_missing")]


def test_a_sample_whose_file_changed_is_planned_anew_behind_the_rest(raw):
    data = data_set(*raw.values())
    old = make_plan(data, OPTIONS)
    set_time(raw["a"].poses, 2_000)
    plan = make_plan(data, OPTIONS, old)
    assert shards_of(plan)["a"] == 3
    assert [row.sample_id for row in plan.rows if row.superseded] == ["a"]
    assert len(plan.samples) == 5
    assert {n: plan.fingerprints()[n] for n in range(3)} == old.fingerprints()


def test_a_file_may_change_again(raw):
    data, plan = data_set(raw["a"], raw["b"]), None
    for seconds in (1_000, 2_000, 3_000):
        set_time(raw["a"].poses, seconds)
        plan = make_plan(data, OPTIONS, plan)
    assert [row.shard for row in plan.rows if row.sample_id == "a"] == [0, 1, 2]
    assert shards_of(plan) == {"a": 2, "b": 0}


def test_a_sample_that_is_no_longer_listed_stays(raw):
    old = make_plan(data_set(raw["a"], raw["b"]), OPTIONS)
    assert make_plan(data_set(raw["b"]), OPTIONS, old).samples == old.samples


def always(_):
    return True


def test_another_label_of_a_usable_sample_is_refused(raw):
    old = make_plan(data_set(raw["a"]), OPTIONS)
    other = replace(raw["a"], label=0, label_name="sit")
    told = f"sample a: its label was {raw['a'].label_name} and is sit now"
    with pytest.raises(PlanError, match=told):
        make_plan(data_set(other), OPTIONS, old, always)


def test_a_label_that_turned_up_gives_a_failed_sample_another_place(raw):
    old = make_plan(data_set(replace(raw["a"], label=-1, reason="no_label")), OPTIONS)
    plan = make_plan(data_set(raw["a"]), OPTIONS, old)
    assert shards_of(plan) == {"a": 0}
    relabelled = make_plan(data_set(replace(raw["a"], label=0)), OPTIONS, plan)
    assert shards_of(relabelled) == {"a": 1}


def test_a_usable_sample_that_is_left_out_now_is_refused_with_the_reason(raw):
    old = make_plan(data_set(raw["a"]), OPTIONS)
    left_out = replace(raw["a"], reason="listed_missing", detail="it is on the list")
    told = r"its recording was usable and is left out now \(listed_missing: it is on the list\)"
    with pytest.raises(PlanError, match=told):
        make_plan(data_set(left_out), OPTIONS, old, always)


def test_a_usable_result_outlives_its_raw_files(raw):
    old = make_plan(data_set(raw["a"]), OPTIONS)
    gone = replace(raw["a"], poses=None, reason="missing_skeleton", detail="gone")
    assert make_plan(data_set(gone), OPTIONS, old, always).rows == old.rows


def test_data_moved_to_another_folder_are_the_same_data(raw, tmp_path):
    old = make_plan(data_set(raw["a"]), OPTIONS)
    (tmp_path / "elsewhere").mkdir()
    moved = raw["a"].poses.rename(tmp_path / "elsewhere" / raw["a"].poses.name)
    plan = make_plan(data_set(replace(raw["a"], poses=moved)), OPTIONS, old, always)
    assert plan.fingerprints() == old.fingerprints()
    assert plan.samples[0].poses.path == str(moved)


OTHER_OPTIONS = {
    "source": "kinetics", "align": "time", "bodies": "file-order", "pose_fps": 25.0,
    "pose_scale": "pixels", "tolerance_ms": 50.0, "min_frames": 5, "frame_size": 64,
    "codec": "h264", "quality": 80, "crf": 25, "encoder": "libx264 core 1",
    "skeleton_only": False, "samples_per_shard": 3,
}  # fmt: skip


def test_every_option_is_tried():
    assert set(OTHER_OPTIONS) == {f.name for f in dataclasses.fields(OPTIONS)}


@pytest.mark.parametrize("name", OTHER_OPTIONS)
def test_another_option_is_refused_by_name(raw, name):
    codec = "h264" if name in ("crf", "encoder") else "jpeg"
    made_with = replace(OPTIONS, source="openpose", codec=codec)
    old = make_plan(data_set(raw["a"]), made_with)
    options = replace(made_with, **{name: OTHER_OPTIONS[name]})
    before, now = getattr(made_with, name), OTHER_OPTIONS[name]
    expected = f"built with {name.replace('_', ' ')} {before}, now it is {now}: choose another"
    with pytest.raises(PlanError, match=expected):
        make_plan(data_set(raw["a"]), options, old)


@pytest.mark.parametrize(("codec", "unused"), [("jpeg", ["crf", "encoder"]), ("h264", ["quality"])])
def test_what_the_codec_does_not_ask_for_makes_no_other_data_set(raw, codec, unused):
    made_with = replace(OPTIONS, codec=codec)
    changed = replace(made_with, **{name: OTHER_OPTIONS[name] for name in unused})
    old, new = (make_plan(data_set(raw["a"]), options) for options in (made_with, changed))
    assert old.fingerprint == new.fingerprint
    make_plan(data_set(raw["a"]), changed, old)


def test_jpegs_are_known_by_what_was_known_before_there_was_a_choice(raw):
    """Else a data set begun before would be made anew, days of decoding long."""
    header = make_plan(data_set(raw["a"]), OPTIONS).header
    assert not header.parameters().keys() & {"codec", "crf", "encoder"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "ntu120"}, "data set made, now it is ntu120"),
        ({"class_names": ("jump", "walk")}, "class names"),
        ({"layout": OPENPOSE18}, "skeleton layout"),
    ],
)
def test_another_data_set_is_refused_by_name(raw, change, told):
    old = make_plan(data_set(raw["a"]), OPTIONS)
    with pytest.raises(PlanError, match=f"this output was built with {told}"):
        make_plan(data_set(raw["a"], **change), OPTIONS, old)


@pytest.mark.parametrize("name", ["format_version", "toolkit_version"])
def test_another_version_is_refused_by_name(raw, name):
    old = make_plan(data_set(raw["a"]), OPTIONS)
    old = replace(old, header=replace(old.header, **{name: "0"}))
    with pytest.raises(PlanError, match=f"built with {name.replace('_', ' ')} 0, now it is"):
        make_plan(data_set(raw["a"]), OPTIONS, old)


# What a listing may say of a sample at a time: not listed, no file, or a file of some age.
states = st.sampled_from([None, "no file", 1_000, 2_000])


@settings(max_examples=40)
@given(history=st.lists(st.lists(states, min_size=5, max_size=5), min_size=1, max_size=4))
def test_whatever_happens_to_files_no_sample_is_lost_or_doubled(tmp_path_factory, history):
    folder = tmp_path_factory.mktemp("raw")
    paths = {name: write_poses(folder, name, 1) for name in "abcde"}
    plan, seen, fingerprints = None, set(), {}
    for listing in history:
        samples = []
        for (name, path), state in zip(paths.items(), listing, strict=True):
            if state is not None:
                found = None if state == "no file" else set_time(path, state)
                samples.append(sample(name, found))
                seen.add(name)
        plan = make_plan(data_set(*samples), OPTIONS, plan)
        assert [row.sample_id for row in plan.samples] == sorted(seen)
        assert sorted(plan.shards()) == list(range(len(plan.shards())))
        assert all(1 <= len(rows) <= 2 for rows in plan.shards().values())
        assert fingerprints.items() <= plan.fingerprints().items()
        fingerprints = plan.fingerprints()


def test_a_stamp_tells_path_size_and_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_bytes(b"12345")
    os.utime("a", ns=(7, 1_234_567_890_123))
    assert Stamp.of(tmp_path / "a") == Stamp(str(tmp_path / "a"), 5, 1_234_567_890_123)
    assert Stamp.of(tmp_path.joinpath("x", "..", "a")) == Stamp.of(tmp_path / "a")


def test_a_folders_stamp_covers_its_files(tmp_path):
    for name, seconds in (("a", 5), ("b", 9), ("c", 7)):
        (tmp_path / name).write_bytes(b"123")
        set_time(tmp_path / name, seconds)
    assert Stamp.of(tmp_path) == Stamp(str(tmp_path), 9, 9 * 10**9)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", "no file"),
        ("/raw/a", "/raw/a (5 bytes of 1970-01-01 00:00:01.500000 UTC)"),
    ],
)
def test_a_stamp_prints_as_a_user_knows_it(path, text):
    assert str(Stamp(path, 5, 1_500_000_000)) == text


def test_no_path_has_no_stamp():
    assert Stamp.of(None) == Stamp()
