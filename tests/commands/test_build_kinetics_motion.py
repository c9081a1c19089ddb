import json
import shutil

import pandas as pd
import pytest
from raw_folders import in_process, rows, shards, statuses, write_kinetics
from running import ctxtool
from video_builders import gray_pictures, write_video

from toolkit.shards import read_dataset_info

# Two recordings of Kinetics-Motion classes and one of another class between them.
MOTION = {"--33Lscn6sk": "hopscotch", "12345678e05": "deadlifting"}
OTHERS = {"_12345678e0": "abseiling"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A working directory with synthetic data, built by the commands of the README alone."""
    cwd = tmp_path_factory.mktemp("demo")
    options = ("--train", 5, "--test", 3, "--frames", 6, "--size", "32x24", "--jobs", 1)
    made = in_process("synthesize", "kinetics", *options, cwd=cwd)
    assert made.status == 0, made.err
    return cwd, ctxtool("build-kinetics-motion", cwd=cwd)


@pytest.fixture
def raw(tmp_path):
    for name, label in (MOTION | OTHERS).items():
        write_kinetics(tmp_path / "raw", name, 20, label=label)
    return tmp_path / "raw"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of an extraction of every class, with pictures."""
    folder = tmp_path_factory.mktemp("made")
    for name, label in (MOTION | OTHERS).items():
        write_kinetics(folder / "raw", name, 20, label=label)
    return extract_all(folder / "raw")


@pytest.fixture
def extraction(made, tmp_path):
    """The same in a folder of its own, for a test to spoil."""
    shutil.copytree(made, tmp_path / "all")
    return tmp_path / "all"


def extract_all(raw, *options):
    """Extract every class into the folder ``all`` beside the raw data."""
    out = raw.parent / "all"
    ran = in_process("extract-kinetics", "--raw", raw, "--out", out, "--jobs", 1, *options)
    assert ran.status in (0, 3), ran.err
    return out


def build(cwd, *options):
    ran = in_process("build-kinetics-motion", "--out", cwd / "out", "--jobs", 1, *options)
    return ran, cwd / "out"


def test_defaults_need_no_path(demo):
    _, ran = demo
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == "out/kinetics-motion: 8 planned = 8 ok\nsplit kinetics: train 5, test 3\n"


def test_the_manifest_opens_in_pandas_alone(demo):
    latents = pd.read_csv(demo[0] / "data/kinetics/latents.csv", dtype={"id": str}).set_index("id")
    manifest = pd.read_parquet(demo[0] / "out/kinetics-motion/manifest.parquet")
    manifest = manifest.set_index("sample_id")
    assert manifest["youtube_id"].tolist() == manifest.index.tolist() == sorted(latents.index)
    assert manifest["label"].to_dict() == latents["label"].to_dict()
    expected = latents["subset"].replace("val", "test").to_dict()
    assert manifest["split_kinetics"].to_dict() == expected


def test_the_thirty_classes_are_numbered_by_name(demo):
    info = read_dataset_info(demo[0] / "out" / "kinetics-motion")
    assert len(info.class_names) == 30
    assert list(info.class_names) == sorted(info.class_names)


def test_no_data_is_one_paragraph_with_a_way_out(tmp_path):
    ran = ctxtool("build-kinetics-motion", cwd=tmp_path)
    assert ran.status == 1
    assert ran.err.startswith("Error: No raw Kinetics-skeleton data was found")
    assert ran.err.endswith("run: ctxtool synthesize kinetics\n")
    assert ran.err.count("\n") == 1


def test_other_classes_are_left_out(raw):
    ran, out = build(raw.parent, "--raw", raw)
    assert (ran.status, statuses(out)) == (0, dict.fromkeys(MOTION, "ok"))


@pytest.mark.parametrize(
    ("spelled", "name"), [("hopsotch", "hopscotch"), ("dead lifting", "deadlifting")]
)
def test_the_spelling_of_the_paper_is_known(tmp_path, spelled, name):
    write_kinetics(tmp_path / "raw", "--33Lscn6sk", 3, label=spelled)
    _, out = build(tmp_path, "--raw", tmp_path / "raw", "--skeleton-only")
    assert rows(out).loc["--33Lscn6sk", ["status", "label_name"]].tolist() == ["ok", name]


def test_raw_data_without_any_of_the_classes_is_refused(tmp_path):
    write_kinetics(tmp_path / "raw", "--33Lscn6sk", 3, label="abseiling")
    ran, out = build(tmp_path, "--raw", tmp_path / "raw")
    assert ran.status == 1
    assert "kinetics-motion: none of the recordings found belongs to this data set" in ran.err
    assert not out.exists()


@pytest.mark.parametrize("options", [(), ("--skeleton-only",)], ids=["pictures", "skeletons"])
def test_from_an_extraction_makes_the_bytes_of_a_build_from_raw(raw, options):
    taken, out = build(raw.parent, "--from", extract_all(raw, *options))
    fresh = raw.parent / "fresh"
    ran = in_process("build-kinetics-motion", "--raw", raw, "--out", fresh, "--jobs", 1, *options)
    assert (taken.status, ran.status) == (0, 0)
    assert shards(out)["00000.h5"][1] == shards(fresh)["00000.h5"][1]
    origin = ["poses", "video", "poses_bytes", "video_bytes"]
    taken_rows, fresh_rows = rows(out), rows(fresh)
    for name in ("poses", "video"):
        assert taken_rows.pop(f"raw_{name}").tolist() == fresh_rows[name].tolist()
    pd.testing.assert_frame_equal(taken_rows.drop(columns=origin), fresh_rows.drop(columns=origin))


def test_damage_in_the_extraction_is_not_copied(extraction):
    (shard,) = (extraction / "shards").glob("*.h5")
    data = bytearray(shard.read_bytes())
    data[-100] ^= 1
    shard.write_bytes(data)
    ran, out = build(extraction.parent, "--from", extraction)
    assert set(statuses(out).values()) == {"bad_shard"}
    assert "expected the digest in its sidecar, found another" in rows(out)["detail"].iloc[0]
    assert ran.status == 3


def test_from_needs_no_raw_data(raw):
    extraction = extract_all(raw)
    raw.rename(raw.parent / "gone")
    ran, out = build(raw.parent, "--from", extraction)
    assert (ran.status, statuses(out)) == (0, dict.fromkeys(MOTION, "ok"))


def test_from_carries_failed_recordings_and_their_reasons(raw):
    write_video(raw / "12345678e05.mp4", gray_pictures(3))
    ran, out = build(raw.parent, "--from", extract_all(raw))
    assert ran.status == 3
    row = rows(out).loc["12345678e05"]
    assert row["status"] == "misaligned"
    assert "pose frame 19 at 0.633 s is 567 ms from the nearest video frame" in row["detail"]


def test_an_extraction_that_grew_extends_what_was_taken_from_it(raw):
    first, out = build(raw.parent, "--from", extract_all(raw))
    before = shards(out)
    write_kinetics(raw, "-zzzzzzzzzz", 4, label="hopscotch")
    second, _ = build(raw.parent, "--from", extract_all(raw))
    assert first.out.startswith(f"{out}: 2 planned = 2 ok")
    assert second.out.startswith(f"{out}: 3 planned = 3 ok")
    assert {name: shards(out)[name] for name in before} == before


UNUSABLE = {
    "--raw": ".", "--poses": ".", "--videos": ".", "--labels": __file__, "--bodies": "clip",
    "--pose-fps": 25, "--max-drift": 5, "--skeleton-only": None, "--frame-size": 64,
    "--codec": "h264", "--quality": 50, "--min-frames": 3,
}  # fmt: skip


@pytest.mark.parametrize("option", UNUSABLE)
def test_options_that_cannot_be_honoured_beside_from_are_refused(tmp_path, option):
    value = UNUSABLE[option]
    given = [option] if value is None else [option, value]
    ran, out = build(tmp_path, "--from", tmp_path, *given)
    assert ran.status == 2
    assert f"{option} has no effect beside --from: the samples are copied" in ran.err
    assert not out.exists()


def test_an_extraction_is_never_replaced_by_what_is_taken_from_it(extraction):
    before = shards(extraction)
    places = ("--from", extraction, "--out", extraction / ".." / "all", "--overwrite")
    ran = in_process("build-kinetics-motion", *places)
    assert ran.status == 2
    assert "--out must be another folder than --from" in ran.err
    assert shards(extraction) == before


def test_options_of_the_run_are_honoured_beside_from(extraction):
    options = ("--samples-per-shard", 1, "--limit", 1, "--allow", "all", "--overwrite")
    ran, out = build(extraction.parent, "--from", extraction, *options)
    assert (ran.status, statuses(out)) == (0, {"--33Lscn6sk": "ok"})
    dry, _ = build(extraction.parent, "--from", extraction, "--samples-per-shard", 1, "--dry-run")
    assert "2 samples planned, 1 to copy" in dry.out
    assert "1 lie in finished shards and are kept" in dry.out
    assert statuses(out) == {"--33Lscn6sk": "ok"}


def test_a_folder_that_is_no_extraction_is_named(tmp_path):
    ran, out = build(tmp_path, "--from", tmp_path)
    assert ran.status == 1
    assert ran.err.startswith(f"Error: {tmp_path}/dataset.json: file: expected ")
    assert not out.exists()


def test_an_extraction_of_other_data_is_refused(extraction):
    description = json.loads((extraction / "dataset.json").read_text())
    manifest = pd.read_parquet(extraction / "manifest.parquet")
    manifest["label_name"] = "abseiling"
    manifest.to_parquet(extraction / "manifest.parquet")
    ran, _ = build(extraction.parent, "--from", extraction)
    told = f"Error: {extraction} ({description['name']}) holds no class of Kinetics-Motion\n"
    assert (ran.status, ran.err) == (1, told)
