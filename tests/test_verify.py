import json
import re
import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from shard_builders import RECORDINGS, MadeDataset, Recording, write_dataset

from toolkit.build.options import BuildOptions
from toolkit.build.plan_file import write_plan
from toolkit.build.run import BuildSettings, plan_build, run_build
from toolkit.datasets.ntu import list_ntu
from toolkit.shards import read_manifest
from toolkit.shards.files import sha256_of, write_json
from toolkit.shards.manifest import write_manifest
from toolkit.skeleton import OPENPOSE18
from toolkit.verify import verify_dataset


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("made") / "out")


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "out")


def edit_json(path, change):
    data = json.loads(path.read_text())
    change(data)
    write_json(path, data)


def edit_manifest(folder, change):
    write_manifest(change(read_manifest(folder)), folder)


def edit_shard(folder, number, table, change):
    """Change a table in place and hash the shard anew, so that only a deep look can tell."""
    path = folder / "shards" / f"{number:05d}.h5"
    with h5py.File(path, "r+") as file:
        data = file[table][()]
        change(data)
        file[table][...] = data
    sealed = {"sha256": sha256_of(path), "n_bytes": path.stat().st_size}
    edit_json(path.with_suffix(".json"), lambda sidecar: sidecar.update(sealed))


def setter(index, value):
    def change(data):
        data[index] = value

    return change


@pytest.mark.parametrize("deep", [False, True])
def test_a_sound_data_set_has_no_problem(whole, deep):
    report = verify_dataset(whole, deep=deep)
    assert report.problems == ()
    assert report.ok
    assert (report.n_shards, report.n_samples, report.n_frames) == (3, 5, 111)
    assert report.n_pictures == (111 if deep else 0)
    assert report.n_bytes == sum(p.stat().st_size for p in (whole / "shards").glob("*.h5"))


@pytest.mark.parametrize("pictures", [False, True])
def test_other_layouts_and_skeletons_alone_are_sound(tmp_path, pictures):
    made = MadeDataset(layout=OPENPOSE18, pictures=pictures)
    folder = write_dataset(tmp_path / "out", RECORDINGS, made)
    assert verify_dataset(folder, deep=True).problems == ()


def test_a_build_in_which_everything_failed_is_sound(tmp_path):
    failed = [Recording("a", reason="no_body"), Recording("b", reason="x", listed=True)]
    folder = write_dataset(tmp_path / "out", failed)
    assert verify_dataset(folder, deep=True).problems == ()


def test_two_processes_say_what_one_says(folder):
    (folder / "shards" / "00001.h5").unlink()
    edit_shard(folder, 0, "skeleton/present", setter((0, 0), 7))
    assert verify_dataset(folder, deep=True, n_jobs=2) == verify_dataset(folder, deep=True)


def test_progress_counts_the_shards(whole):
    told = []
    verify_dataset(whole, deep=False, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def flip_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


FILES = {
    "shard gone": (
        lambda f: (f / "shards/00001.h5").unlink(),
        r"00001\.h5: file: expected a shard, found none; the command",
    ),
    "shard cut short": (
        lambda f: (f / "shards/00002.h5").write_bytes((f / "shards/00002.h5").read_bytes()[:-10]),
        r"00002\.h5: size: expected \d+ bytes, found \d+ bytes",
    ),
    "one bit": (
        lambda f: flip_byte(f / "shards/00000.h5"),
        r"00000\.h5: sha256: expected \w{12}\.\.\. of its sidecar, found another",
    ),
    "sidecar gone": (
        lambda f: (f / "shards/00001.json").unlink(),
        r"00001\.json: file: expected a shard's sidecar",
    ),
    "foreign shard": (
        lambda f: (f / "shards/00007.h5").write_bytes(b""),
        r"00007\.h5: file: expected only the shards of the plan",
    ),
    "left behind": (
        lambda f: (f / "shards/.00001.writing").write_bytes(b""),
        r"\.00001\.writing: file: expected none, no build being under way",
    ),
    "plan gone": (
        lambda f: (f / "plan.parquet").unlink(),
        r"plan\.parquet: file: expected a folder that ctxtool built, found nothing there",
    ),
    "plan damaged": (
        lambda f: (f / "plan.parquet").write_bytes(b"PAR1"),
        r"plan\.parquet: file: expected a build plan",
    ),
    "manifest damaged": (
        lambda f: (f / "manifest.parquet").write_bytes(b"PAR1"),
        r"manifest\.parquet: file: expected a Parquet manifest",
    ),
    "description gone": (
        lambda f: (f / "dataset.json").unlink(),
        r"dataset\.json: file: expected the description",
    ),
}


@pytest.mark.parametrize(("damage", "problem"), FILES.values(), ids=FILES)
def test_a_damaged_file_is_the_one_problem(folder, damage, problem):
    damage(folder)
    (found,) = verify_dataset(folder, deep=False).problems
    assert re.search(problem, found)


def change_row(number, **values):
    return lambda sidecar: sidecar["rows"][number].update(values)


SIDECARS = {
    "another plan": (
        0,
        lambda s: s.update(fingerprint="0"),
        r"fingerprint: expected that of the plan",
    ),
    "row gone": (0, lambda s: s["rows"].pop(), r"sample b: expected a row, found none"),
    "row twice": (1, lambda s: s["rows"].append(s["rows"][1]), r"sample d: expected one row"),
    "foreign row": (
        1,
        change_row(0, sample_id="z"),
        r"sample z: expected only samples planned for this shard",
    ),
    "order": (2, lambda s: s["rows"].reverse(), r"sample g: shard_row: expected 0, found 1"),
    "shard": (2, change_row(0, shard=1), r"sample f: shard: expected 2, found 1"),
    "field gone": (
        0,
        lambda s: s["rows"][1].pop("n_frames"),
        r"row 1: n_frames: expected its type, found None",
    ),
    "field type": (
        0,
        change_row(0, sample_id=["a"]),
        r"row 0: sample_id: expected its type, found \['a'\]",
    ),
    "rows gone": (0, lambda s: s.pop("rows"), r"content: expected all fields"),
}


@pytest.mark.parametrize(("number", "change", "problem"), SIDECARS.values(), ids=SIDECARS)
def test_a_wrong_sidecar_is_named(folder, number, change, problem):
    edit_json(folder / "shards" / f"{number:05d}.json", change)
    problems = verify_dataset(folder, deep=False).problems
    assert all(f"{number:05d}.json: " in p for p in problems)
    assert any(re.search(problem, p) for p in problems)


def put(row, column, value):
    def change(manifest):
        manifest.loc[row, column] = value
        return manifest

    return change


MANIFESTS = {
    "frames": (put(0, "n_frames", 34), "column n_frames: sample a: expected 33, found 34"),
    "missing value": (put(1, "width", pd.NA), "column width: sample b: expected 48, found <NA>"),
    "status": (put(2, "status", "x"), "column status: sample c: expected bad_skeleton, found x"),
    "split": (put(3, "split_xsub", "train"), "column split_xsub: sample d: expected test"),
    "known reason": (put(4, "detail", ""), "column detail: sample e: expected no e_rgb.avi"),
    "label": (put(slice(5, 6), "label", 2), "column label: sample f and 1 more: expected 0"),
    "place": (put(6, "shard_row", 0), "column shard_row: sample g: expected 1, found 0"),
    "fact": (put(6, "youtube_id", "g"), "column youtube_id: sample g: expected -g, found g"),
    "column gone": (lambda m: m.drop(columns="camera"), "column camera: expected the planned"),
    "row gone": (lambda m: m.iloc[:-2], "sample f and 1 more: expected a row, found none"),
    "row twice": (lambda m: pd.concat([m, m.iloc[[0]]]), "sample a: expected one row"),
    "row of another": (
        lambda m: pd.concat([m, m.iloc[[0]].assign(sample_id="z")]),
        "sample z: expected only planned samples",
    ),
}


@pytest.mark.parametrize(("change", "problem"), MANIFESTS.values(), ids=MANIFESTS)
def test_a_wrong_manifest_is_named(folder, change, problem):
    edit_manifest(folder, change)
    manifest = f"{folder / 'manifest.parquet'}: "
    found = [p for p in verify_dataset(folder, deep=False).problems if p.startswith(manifest)]
    assert len(found) == 1
    assert found[0].startswith(manifest + problem)


DESCRIPTIONS = {
    "fingerprint": ({"fingerprint": "0"}, "fingerprint: expected "),
    "names": ({"class_names": ["a", "b", "c"]}, "class_names: expected ('drink water', "),
    "default": ({"default_split": "xview"}, "default_split: expected xsub, found xview"),
    "count": (
        {"counts": {"planned": 6, "ok": 4, "bad_skeleton": 1, "missing_video": 1}},
        "counts: ok: expected 5, found 4",
    ),
    "sum": (
        {"counts": {"planned": 8, "ok": 5, "bad_skeleton": 1, "missing_video": 1}},
        "counts: planned: expected ok and all reasons, 7, found 8",
    ),
}


@pytest.mark.parametrize(("change", "problem"), DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_a_wrong_description_is_named(folder, change, problem):
    edit_json(folder / "dataset.json", lambda data: data.update(change))
    (found,) = verify_dataset(folder, deep=False).problems
    assert found.startswith(f"{folder / 'dataset.json'}: {problem}")


def spoil_first_picture(data):
    data[:4] = 0


# Shard 0: a in frames 0-32, b in 33-48; clips 0, 16, 32 of a, 33 of b.
DEEP = {
    "id": ("sample/id", setter(1, b"z"), "sample b: id: expected b, found z"),
    "label": ("sample/label", setter(0, 2), "sample a: label: expected 0, found 2"),
    "boundary": ("sample/row", setter(1, 0), "sample/row: expected boundaries rising"),
    "clip twice": ("clip/start", setter(1, 15), "clip/start: frame 15: expected one clip, found 2"),
    "clip short": ("clip/n_valid", setter(0, 15), "frame 15: expected one clip, found 0 clips"),
    "clip of another": ("clip/sample", setter(3, 0), "clip/start: expected clips inside"),
    "present": (
        "skeleton/present",
        setter((2, 0), 2),
        "sample a: frame 2: expected present 0 or 1",
    ),
    "nobody": (
        "skeleton/present",
        setter((slice(0, 33), 0), 0),
        "sample a: bodies: expected 1 to 1, found 0",
    ),
    "NaN": (
        "skeleton/joints",
        setter((slice(3, 6), 0, 4, 1), np.nan),
        "sample a: frame 3 and 2 more: expected finite joints, found NaN or infinity",
    ),
    "infinite": (
        "skeleton/pixels",
        setter((33, 1, 0, 0), np.inf),
        "sample b: frame 0: expected finite pixels",
    ),
    "absent": (
        "skeleton/joints",
        setter((7, 1, 0, 0), 1),
        "sample a: frame 7: expected zero joints of an absent body",
    ),
    "tracking": (
        "skeleton/tracking",
        setter((34, 0, 0), 3),
        "sample b: frame 1: expected tracking 0, 1 or 2",
    ),
    "drift": (
        "frame/drift_s",
        setter(1, -0.05),
        "sample a: largest drift: expected 0.0 ms, found 50.000 ms",
    ),
    "video frame": (
        "frame/video_index",
        setter(32, 33),
        "sample a: frame 32: expected video frames 0 to 32",
    ),
    "backwards": (
        "frame/video_index",
        setter(5, 3),
        "sample a: frame 5: expected video frames in order",
    ),
    "picture": ("rgb/data", spoil_first_picture, "sample a: frame 0: expected a picture of 48x32"),
    "picture bounds": ("rgb/offset", setter(1, 0), "rgb/offset: expected boundaries rising"),
}


@pytest.mark.parametrize(("table", "change", "problem"), DEEP.values(), ids=DEEP)
def test_a_deep_look_finds_what_the_hash_does_not(folder, table, change, problem):
    edit_shard(folder, 0, table, change)
    assert verify_dataset(folder, deep=False).ok
    problems = verify_dataset(folder, deep=True).problems
    assert all("00000.h5: " in p for p in problems)
    assert any(problem in p for p in problems)


def test_pictures_of_another_size_than_told_are_found(folder):
    edit_json(folder / "shards/00001.json", lambda s: s["rows"][1].update(width=50))
    edit_manifest(folder, put(3, "width", 50))
    (found,) = verify_dataset(folder, deep=True).problems
    wanted = "sample d: frame 0: expected a picture of 50x32, found a picture of 48x32"
    assert found.endswith(wanted)


def test_a_video_frame_without_video_is_found(tmp_path):
    folder = write_dataset(tmp_path / "out", RECORDINGS, MadeDataset(pictures=False))
    edit_shard(folder, 0, "frame/video_index", setter(4, 4))
    (found,) = verify_dataset(folder, deep=True).problems
    assert found.endswith("sample a: frame 4: expected no video frame, found one")


def test_another_data_sets_shard_is_found(folder, tmp_path):
    other = write_dataset(tmp_path / "other", RECORDINGS, MadeDataset(layout=OPENPOSE18))
    shutil.copy(other / "shards/00000.h5", folder / "shards/00000.h5")
    edit_shard(folder, 0, "sample/label", lambda labels: None)
    (found,) = verify_dataset(folder, deep=True).problems
    assert found.endswith("layout: expected ntu25, found another openpose18")


def test_a_build_under_way_is_told_and_its_shards_are_checked(tmp_path):
    folder = write_dataset(tmp_path / "out", RECORDINGS, MadeDataset(finished=False))
    flip_byte(folder / "shards/00000.h5")
    report = verify_dataset(folder, deep=False)
    assert report.n_shards == 2
    assert "found 2 of 3 shards done: run the same command again to go on" in report.problems[0]
    assert "00000.h5: sha256" in report.problems[1]
    assert len(report.problems) == 2


def write_and_plan(folder, name, text, settings):
    """Write a raw file and plan what lies in its folder now."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.skeleton").write_text(text)
    options = BuildOptions(source="ntu", align="frame", bodies="denoise", skeleton_only=True)
    return plan_build(list_ntu(folder, None), options, settings)


def test_a_build_being_extended_is_told_as_under_way(tmp_path):
    raw, settings = tmp_path / "raw", BuildSettings(tmp_path / "out")
    plan = write_and_plan(raw, "S001C001P001R001A001", "nonsense", settings)
    run_build(plan, settings, lambda rows: None)
    write_plan(write_and_plan(raw, "S001C001P001R001A002", "", settings), settings.out)
    (found,) = verify_dataset(settings.out, deep=False).problems
    assert "found 1 of 2 shards done: run the same command again to go on" in found


def test_a_sample_planned_anew_leaves_its_old_row_behind(tmp_path):
    """A failed recording whose file was replaced has a row in its old shard and one in its new."""
    settings = BuildSettings(tmp_path / "out")
    for text in ("nonsense", "still nonsense"):
        plan = write_and_plan(tmp_path / "raw", "S001C001P001R001A001", text, settings)
        run_build(plan, settings, lambda rows: None)
    report = verify_dataset(settings.out, deep=True)
    assert report.problems == ()
    assert report.n_shards == 2


def test_real_recordings_build_to_a_sound_data_set(samples_dir, tmp_path):
    settings = BuildSettings(tmp_path / "out")
    options = BuildOptions(source="ntu", align="frame", bodies="denoise", samples_per_shard=2)
    data = list_ntu(samples_dir / "ntu_skeleton", samples_dir / "ntu_rgb")
    run_build(plan_build(data, options, settings), settings, lambda rows: None)
    report = verify_dataset(settings.out, deep=True)
    assert report.problems == ()
    assert (report.n_samples, report.n_pictures) == (1, 103)
