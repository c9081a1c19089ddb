"""``extract-ntu`` on the genuine recordings, where they lie beside the checkout."""

import pytest
from raw_folders import in_process, rows
from running import ctxtool

from toolkit.shards import DatasetReader

REAL = "S001C001P001R001A001"


@pytest.fixture(scope="module")
def real(samples_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("real") / "out"
    places = ("--skeletons", samples_dir / "ntu_skeleton", "--videos", samples_dir / "ntu_rgb")
    return out, ctxtool("extract-ntu", *places, "--split", "xsub", "--out", out, "--jobs", 1)


def test_the_real_recording_is_extracted_whole(real):
    row = rows(real[0]).loc[REAL]
    told = row[["status", "n_frames", "n_clips", "n_bodies", "video_frames", "max_drift_ms"]]
    assert told.tolist() == ["ok", 103, 7, 1, 103, 0.0]
    with DatasetReader(real[0]) as data:
        window = data.sample(0)
        assert [len(clip) for clip in data.clips(0)] == [16] * 7
    assert window.video_index.tolist() == list(range(103))
    assert not window.drift_s.any()
    # 1920x1080 to a short side of 128: 1920 * 128 / 1080 = 227.6, the nearest even is 228.
    assert window.pictures().shape == (103, 128, 228, 3)


def test_every_other_real_recording_has_its_reason(real):
    manifest = rows(real[0])
    assert real[1].status == 3
    assert real[1].out.startswith(
        f"{real[0]}: 8 planned = 1 ok + 5 missing_video + 2 missing_skeleton"
    )
    without_pose = manifest[manifest["status"] == "missing_skeleton"].index.tolist()
    assert without_pose == ["S004C002P003R001A055", "S004C002P003R002A048"]
    failed = manifest.drop(REAL)
    assert all(f"no {name}" in detail for name, detail in failed["detail"].items())


def test_real_skeletons_alone_are_all_usable(samples_dir, tmp_path):
    out = tmp_path / "out"
    options = ("--skeletons", samples_dir / "ntu_skeleton", "--skeleton-only", "--jobs", 1)
    ran = in_process("extract-ntu", *options, "--out", out)
    assert (ran.status, ran.out) == (
        0, f"{out}: 6 planned = 6 ok\nsplit xsub: train 4, test 2\n",
    )  # fmt: skip
    told = rows(out)[["n_frames", "n_bodies"]].values.tolist()
    assert told == [[103, 1], [74, 2], [70, 2], [71, 1], [42, 2], [80, 2]]
