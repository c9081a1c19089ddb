import dataclasses

import numpy as np
import pytest
from builders import pose_person, write_kinetics_json
from recordings import sample
from video_builders import gray_pictures, write_video

from toolkit.build.options import BuildOptions
from toolkit.build.regroup import list_kinetics_motion, regroup_options
from toolkit.build.run import BuildSettings, plan_build, run_build
from toolkit.datasets.kinetics import read_class_names
from toolkit.errors import DataNotFoundError, ShardError
from toolkit.samples import DataSet
from toolkit.shards import DatasetReader, read_manifest
from toolkit.skeleton import OPENPOSE18

ALL, MOTION = read_class_names(), read_class_names(motion_only=True)
OPTIONS = BuildOptions(
    source="kinetics", align="time", bodies="frame", frame_size=16, samples_per_shard=2
)
LABELS = {"-a": "hopscotch", "1e5": "abseiling", "b": "deadlifting", "c": "hopscotch"}


def build(data, options, out):
    settings = BuildSettings(out)
    return run_build(plan_build(data, options, settings), settings, lambda rows: None)


def kinetics_sample(folder, name, label):
    folder.mkdir(parents=True)
    people = [[pose_person(7 * t)] for t in range(5)]
    poses = write_kinetics_json(folder / f"{name}.json", people, label=label)
    video = write_video(folder / f"{name}.mp4", gray_pictures(6))
    facts = {"youtube_id": name, "source_label": ALL.index(label)}
    subsets = {"kinetics": "train" if name < "b" else "test"}
    return sample(name, poses, video, label=ALL.index(label), label_name=label,
                  subsets=subsets, facts=facts)  # fmt: skip


def kinetics_data(samples):
    return DataSet("kinetics", OPENPOSE18, ALL, ("kinetics",), "kinetics", tuple(samples))


@pytest.fixture(scope="module")
def extraction(tmp_path_factory):
    """Four recordings in two shards; c is damaged."""
    folder = tmp_path_factory.mktemp("kinetics")
    samples = [kinetics_sample(folder / "raw" / n, n, label) for n, label in LABELS.items()]
    samples[3].poses.write_text("{")
    build(kinetics_data(samples), OPTIONS, folder / "out")
    return folder / "out"


@pytest.fixture(scope="module")
def motion(extraction, tmp_path_factory):
    out = tmp_path_factory.mktemp("motion") / "out"
    build(list_kinetics_motion(extraction), regroup_options(extraction, 64), out)
    return out


def test_only_the_thirty_classes_are_taken_over(motion):
    manifest = read_manifest(motion)
    assert manifest["sample_id"].tolist() == ["-a", "b", "c"]
    assert manifest["label_name"].tolist() == ["hopscotch", "deadlifting", "hopscotch"]
    assert manifest["label"].tolist() == [MOTION.index(name) for name in manifest["label_name"]]


def test_frames_are_the_same_bytes(extraction, motion):
    with DatasetReader(extraction) as before, DatasetReader(motion) as after:
        for old, new in ((0, 0), (2, 1)):
            was, now = before.sample(old), after.sample(new)
            for table in ("joints", "present", "tracking", "pixels", "video_index", "drift_s"):
                np.testing.assert_array_equal(getattr(now, table), getattr(was, table))
            assert [bytes(j) for j in now.jpegs] == [bytes(j) for j in was.jpegs]


def test_what_the_manifest_says_of_a_recording_is_carried_over(extraction, motion):
    carried = ["n_frames", "n_clips", "n_bodies", "fps", "video_frames", "max_drift_ms", "width",
               "height", "split_kinetics", "youtube_id", "source_label"]  # fmt: skip
    before = read_manifest(extraction).set_index("sample_id").loc[["-a", "b"], carried]
    after = read_manifest(motion).set_index("sample_id").loc[["-a", "b"], carried]
    assert after.to_dict() == before.to_dict()


def test_a_failed_sample_keeps_its_reason(extraction, motion):
    before, after = (
        read_manifest(out).set_index("sample_id").loc["c", ["status", "detail"]].tolist()
        for out in (extraction, motion)
    )
    assert after == before
    assert after[0] == "bad_skeleton"


def test_options_are_those_of_the_extraction(extraction):
    expected = dataclasses.replace(OPTIONS, source="shards", samples_per_shard=64)
    assert regroup_options(extraction, 64) == expected


def test_taking_over_again_plans_nothing_new(extraction, motion):
    settings = BuildSettings(motion)
    plan = plan_build(list_kinetics_motion(extraction), regroup_options(extraction, 64), settings)
    assert not any(row.superseded for row in plan.rows)


def test_an_extraction_without_the_classes_is_refused(tmp_path):
    one = kinetics_sample(tmp_path / "raw", "a", "abseiling")
    build(kinetics_data([one]), OPTIONS, tmp_path / "out")
    with pytest.raises(DataNotFoundError, match="holds no class of Kinetics-Motion"):
        list_kinetics_motion(tmp_path / "out")


def test_a_folder_that_is_no_extraction_is_refused(tmp_path):
    with pytest.raises(ShardError, match="description of a ctxtool data set"):
        list_kinetics_motion(tmp_path)
