import csv
import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from manifests import read_facts
from toolkit.bodies import select_bodies
from toolkit.datasets.ntu import ntu_subsets, parse_ntu_name, read_listed_missing
from toolkit.errors import PlanError
from toolkit.readers.kinetics_json import read_kinetics_json
from toolkit.readers.ntu_skeleton import read_ntu_skeleton
from toolkit.synthesis import SynthesisOptions, synthesize_kinetics, synthesize_ntu
from toolkit.synthesis.kinetics import iterate_ids, write_kinetics_recording
from toolkit.synthesis.latents import Latents
from toolkit.synthesis.ntu import name_recordings, write_ntu_recording
from toolkit.synthesis.options import Recording, plan_recordings

SMALL = SynthesisOptions(n_train=5, n_test=3, n_frames=6, size=(32, 24))
KINDS = {"ntu": synthesize_ntu, "kinetics": synthesize_kinetics}


def digests(folder):
    """Map each file below ``folder`` to the hash of its bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def decode(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return stream, np.array(frames)


def read_latents(out):
    with (out / "latents.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def ntu(tmp_path_factory):
    out = tmp_path_factory.mktemp("synthetic") / "ntu"
    synthesize_ntu(out, SMALL)
    return out


@pytest.fixture(scope="module")
def kinetics(tmp_path_factory):
    out = tmp_path_factory.mktemp("synthetic") / "kinetics"
    synthesize_kinetics(out, SMALL)
    return out


def test_ntu_files_hold_one_recording_each(ntu):
    names = {row["id"] for row in read_latents(ntu)}
    assert len(names) == 8
    assert {p.stem for p in ntu.rglob("*.skeleton")} == names
    assert {p.stem for p in ntu.rglob("*.avi")} == {f"{name}_rgb" for name in names}


def test_ntu_action_is_the_label_and_subject_decides_the_subset(ntu):
    for row in read_latents(ntu):
        name = parse_ntu_name(row["id"])
        assert name.action == int(row["label"]) + 1
        assert ntu_subsets(name, "ntu60")["xsub"] == row["subset"]


@pytest.mark.parametrize(("dataset", "split"), [("ntu60", "xview"), ("ntu120", "xset")])
def test_both_subsets_of_the_other_splits_are_filled(ntu, dataset, split):
    names = [parse_ntu_name(row["id"]) for row in read_latents(ntu)]
    assert {ntu_subsets(name, dataset)[split] for name in names} == {"train", "test"}


def test_ntu_skeletons_read_back(ntu):
    for path in ntu.rglob("*.skeleton"):
        sequence = read_ntu_skeleton(path)
        assert sequence.joints.shape == (6, 1, 25, 3)
        assert sequence.present.all()
        assert 7.2e16 < sequence.body_ids[0] < 7.3e16
        assert (sequence.tracking == 2).all()
        assert (np.abs(sequence.joints[..., 2] - 3) < 0.4).all()


def test_ntu_pixels_are_the_pinhole_image_of_the_joints(ntu):
    sequence = read_ntu_skeleton(next(ntu.rglob("*.skeleton")))
    x, y, z = np.moveaxis(sequence.joints.astype(float), -1, 0)
    wanted = np.stack([960 + 1063 * x / z, 540 - 1063 * y / z], -1) / (1920, 1080)
    np.testing.assert_allclose(sequence.pixels, wanted, atol=1e-5)


def test_a_synthetic_person_is_as_tall_as_one(ntu):
    joints = read_ntu_skeleton(next(ntu.rglob("*.skeleton"))).joints[0, 0]
    assert 1.0 < joints[3, 1] - joints[19, 1] < 1.6


def test_ntu_video_is_xvid_with_a_frame_for_each_pose(ntu):
    path = next(ntu.rglob("*.avi"))
    stream, frames = decode(path)
    assert (stream.codec_context.name, stream.codec_context.codec_tag) == ("mpeg4", "XVID")
    assert stream.average_rate == 30
    assert frames.shape == (6, 24, 32, 3)


def test_kinetics_layout(kinetics):
    rows = read_latents(kinetics)
    for subset, n in (("train", 5), ("val", 3)):
        ids = {row["id"] for row in rows if row["subset"] == subset}
        assert len(ids) == n
        assert {p.stem for p in (kinetics / f"kinetics_{subset}").iterdir()} == ids
        labels = json.loads((kinetics / f"kinetics_{subset}_label.json").read_text())
        assert set(labels) == ids
        assert all(entry["has_skeleton"] is True for entry in labels.values())


def test_kinetics_labels_are_the_first_motion_classes(kinetics):
    motion = [row["name"] for row in read_facts("kinetics_motion")]
    places = {row["name"]: int(row["label"]) for row in read_facts("kinetics_classes")}
    for row in read_latents(kinetics):
        folder = kinetics / f"kinetics_{row['subset']}"
        content = json.loads((folder / f"{row['id']}.json").read_text())
        assert content["label"] == motion[int(row["label"])]
        assert content["label_index"] == places[content["label"]]


def test_kinetics_poses_read_back_from_frame_one(kinetics):
    path = next((kinetics / "kinetics_train").iterdir())
    content = json.loads(path.read_text())
    assert [frame["frame_index"] for frame in content["data"]] == [1, 2, 3, 4, 5, 6]
    sequence = read_kinetics_json(path).sequence
    assert sequence.present.all()
    assert sequence.joints[..., 2].min() >= 0.7
    thousandths = sequence.joints[..., :2].astype(float) * 1000
    np.testing.assert_allclose(thousandths, thousandths.round(), atol=1e-3)


def test_kinetics_videos_lie_in_class_folders_under_id_and_seconds(kinetics):
    motion = [row["name"] for row in read_facts("kinetics_motion")]
    videos = {path.name[:11]: path for path in kinetics.rglob("*.mp4")}
    for row in read_latents(kinetics):
        path = videos.pop(row["id"])
        assert path.parent.name == motion[int(row["label"])]
        start, end = path.stem[12:].split("_")
        assert (len(start), int(end) - int(start)) == (6, 10)
        stream, frames = decode(path)
        assert (stream.codec_context.name, stream.average_rate, len(frames)) == ("h264", 30, 6)
    assert not videos


def test_ids_are_distinct_and_some_are_nasty():
    ids = [name for name, _ in zip(iterate_ids(0), range(400), strict=False)]
    assert len(set(ids)) == 400
    assert {len(name) for name in ids} == {11}
    assert sum(name.startswith("-") for name in ids) >= 50
    assert sum(name.startswith("_") for name in ids) >= 50
    assert sum(name.isdigit() for name in ids) >= 50
    assert sum("e" in name and name.replace("e", "").isdigit() for name in ids) >= 50


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_whatever_the_number_of_jobs(kind, tmp_path, request):
    KINDS[kind](tmp_path / "again", replace(SMALL, n_jobs=2))
    assert digests(tmp_path / "again") == digests(request.getfixturevalue(kind))


def test_another_seed_is_other_data(ntu, tmp_path):
    synthesize_ntu(tmp_path, replace(SMALL, seed=1))
    assert not set(digests(tmp_path).values()) & set(digests(ntu / "nturgb+d_rgb").values())


def written(tmp_path, write, latents):
    """Write recording 3 with these latents; return the bytes of its pose file and its video."""
    out = tmp_path / repr(latents)
    out.mkdir()
    write(out, Recording(3, "train", latents, label=0, name="S001C001P001R001A001"), SMALL)
    poses = [p for p in out.rglob("*") if p.suffix in (".skeleton", ".json")]
    videos = [p for p in out.rglob("*") if p.suffix in (".avi", ".mp4")]
    return poses[0].read_bytes(), videos[0].read_bytes()


@pytest.mark.parametrize("write", [write_ntu_recording, write_kinetics_recording])
def test_each_source_tells_its_own_latents_only(write, tmp_path):
    poses, video = written(tmp_path, write, Latents(0, 0, 0, (0, 1)))
    poses_for_scene, other_video = written(tmp_path, write, Latents(1, 1, 0, (0, 1)))
    other_poses, video_for_motion = written(tmp_path, write, Latents(0, 0, 1, (1, 0)))
    assert poses_for_scene == poses != other_poses
    assert video_for_motion == video != other_video


def test_large_sets_get_distinct_names_none_listed_as_missing():
    recordings = plan_recordings(SynthesisOptions(n_train=4096, n_test=512))
    names = [recording.name for recording in name_recordings(recordings)]
    assert len(set(names)) == 4608
    assert not set(names) & read_listed_missing("ntu120")
    assert Counter(r.subset for r in recordings) == {"train": 4096, "test": 512}


def test_more_recordings_than_names_are_refused():
    recordings = plan_recordings(SynthesisOptions(preset="pure", n_train=4300, n_test=1))
    with pytest.raises(ValueError, match="more train recordings than names"):
        name_recordings(recordings)


DEFECTIVE = SynthesisOptions(
    n_train=12, n_test=4, n_frames=24, size=(16, 16), phantoms=True, gaps=True
)


def test_ntu_defects_are_there_and_the_person_is_still_chosen(tmp_path):
    synthesize_ntu(tmp_path, DEFECTIVE)
    sequences = [read_ntu_skeleton(path) for path in sorted(tmp_path.rglob("*.skeleton"))]
    assert {s.joints.shape[1] for s in sequences} == {1, 2}
    assert any((~s.present.any(1)).any() for s in sequences)
    for sequence in sequences:
        choice = select_bodies(sequence, rule="denoise")
        assert choice.sequence.body_ids[0] == sequence.body_ids.min()
        assert choice.sequence.body_ids[1] == -1


def test_kinetics_defects_are_there_and_the_person_comes_first(tmp_path):
    synthesize_kinetics(tmp_path, DEFECTIVE)
    files = sorted(tmp_path.glob("kinetics_*/*.json"))
    sequences = [read_kinetics_json(path).sequence for path in files]
    assert {s.joints.shape[1] for s in sequences} == {1, 2}
    assert any((~s.present.any(1)).any() for s in sequences)
    for sequence in sequences:
        chosen = select_bodies(sequence, rule="frame").sequence
        first = chosen.joints[chosen.present[:, 0], 0]
        assert first[..., 2].min() >= 0.7


def test_ceilings_and_sizes_are_written_beside_the_data(ntu):
    assert json.loads((ntu / "ceilings.json").read_text()) == {
        "preset": "demo", "S": 2, "Q": 1, "A": 2, "P": 2, "distinct": False,
        "chance": 0.25, "rgb": 0.5, "skeleton": 0.375, "additive": 0.75,
        "additive_bound": 0.875, "both": 1,
    }  # fmt: skip


def test_latents_give_the_label(ntu):
    for row in read_latents(ntu):
        motion = row[f"a_{int(row['p']) + 1}"]
        assert int(row["label"]) == 2 * int(row["s"]) + int(motion)


def test_complete_data_is_left_alone(ntu):
    before = {path: path.stat().st_mtime_ns for path in ntu.rglob("*")}
    assert synthesize_ntu(ntu, replace(SMALL, n_jobs=3)).reused
    assert {path: path.stat().st_mtime_ns for path in ntu.rglob("*")} == before


def test_a_run_cut_short_is_recognised_and_written_again(ntu, tmp_path):
    out, done = tmp_path / "cut", []

    def stop(recording):
        done.append(recording)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize_ntu(out, SMALL, tick=stop)
    assert json.loads((out / "synthesis.json").read_text())["complete"] is False
    assert not synthesize_ntu(out, SMALL).reused
    assert digests(out) == digests(ntu)


def test_data_made_with_other_options_is_not_touched(ntu):
    with pytest.raises(PlanError, match="holds synthetic data made with seed 0, not 7"):
        synthesize_ntu(ntu, replace(SMALL, seed=7))
    with pytest.raises(PlanError, match="made with kind 'ntu', not 'kinetics'"):
        synthesize_kinetics(ntu, SMALL)


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(PlanError, match="holds files that are not synthetic data"):
        synthesize_ntu(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("text", ["", "[1]"])
def test_a_damaged_marker_is_named(tmp_path, text):
    (tmp_path / "synthesis.json").write_text(text)
    with pytest.raises(PlanError, match=r"synthesis\.json: expected the options"):
        synthesize_ntu(tmp_path, SMALL)


def test_a_file_in_the_way_is_named(tmp_path):
    path = Path(tmp_path / "file")
    path.touch()
    with pytest.raises(PlanError, match="expected a folder"):
        synthesize_ntu(path, SMALL)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"preset": "easy"}, "demo, graded, pure"),
        ({"n_train": 0}, "n_train must be at least 1"),
        ({"size": (33, 24)}, "even numbers"),
        ({"size": (32, 8)}, "from 16 on"),
        ({"seed": -1}, "seed must not be negative"),
        ({"n_jobs": 0}, "n_jobs must be"),
        ({"occlusion": 1.5}, "share from 0 to 1"),
        ({"phantoms": True, "n_frames": 10}, "at least 24"),
    ],
)
def test_wrong_options_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        SynthesisOptions(**wrong)
