"""Builds with ``--codec h264``: the right frames, and what every command makes of them."""

import json

import h5py
import numpy as np
import pytest
from raw_folders import in_process, numbers_of, shards, write_kinetics, write_ntu
from video_builders import quadrant_picture, set_rotation, write_video

from toolkit.shards import DatasetReader, ShardError, ShardReader, read_dataset_info
from toolkit.shards.sidecar import shard_path
from train.data import ClipSource, View
from train.data_config import DataConfig
from train.sampling import Span

# 20 frames are a group of 16 and one of 4.
NAMES = ("--33Lscn6sk", "12345678e05", "abcdefghij0")


def extract(raw, out, *options):
    return in_process("extract-kinetics", "--raw", raw, "--out", out, "--jobs", 1, *options)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    for name in NAMES:
        write_kinetics(folder, name, 20)
    return folder


@pytest.fixture(scope="module")
def built(raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "out"
    ran = extract(raw, out, "--codec", "h264", "--samples-per-shard", 2)
    assert ran.status == 0, ran.err
    return out


def test_every_pose_has_its_own_frame(built):
    with DatasetReader(built) as data:
        for sample in range(3):
            assert numbers_of(data.sample(sample).pictures()) == list(range(20))
            assert numbers_of(data.window(sample, 3).pictures()) == list(range(3, 19))


def test_a_video_frame_of_several_poses_is_stored_for_each(tmp_path):
    write_kinetics(tmp_path / "raw", "slow", 20)
    ran = extract(tmp_path / "raw", tmp_path / "out", "--codec", "h264", "--pose-fps", 90)
    assert ran.status == 0, ran.err
    with DatasetReader(tmp_path / "out") as data:
        window = data.sample(0)
    assert len(set(window.video_index.tolist())) < len(window)
    assert numbers_of(window.pictures()) == window.video_index.tolist()


def test_ntu_is_stored_alike(tmp_path):
    write_ntu(tmp_path / "raw", "S001C001P001R001A001", 18)
    out = tmp_path / "out"
    ran = in_process(
        "extract-ntu", "--raw", tmp_path / "raw", "--out", out, "--jobs", 1, "--codec", "h264"
    )
    assert ran.status == 0, ran.err
    with DatasetReader(out) as data:
        assert numbers_of(data.sample(0).pictures()) == list(range(18))


def test_a_turned_video_is_stored_turned(tmp_path):
    raw = tmp_path / "raw"
    write_kinetics(raw, "turned", 5, video=None)
    set_rotation(write_video(raw / "turned.mp4", [quadrant_picture()] * 5), 90)
    pictures = []
    for codec in ("jpeg", "h264"):
        assert extract(raw, tmp_path / codec, "--codec", codec).status == 0
        with DatasetReader(tmp_path / codec) as data:
            pictures.append(data.sample(0).pictures().astype(float))
    assert pictures[0].shape == pictures[1].shape == (5, 96, 64, 3)
    middles = np.ix_(range(5), [20, 76], [16, 48], range(3))
    assert np.abs(pictures[0][middles] - pictures[1][middles]).max() <= 4


def test_a_real_recording_takes_a_tenth_of_the_room(samples_dir, tmp_path):
    n_bytes, pictures = [], []
    for codec in ("jpeg", "h264"):
        folders = ("--skeletons", samples_dir / "ntu_skeleton", "--videos", samples_dir / "ntu_rgb")
        options = ("--out", tmp_path / codec, "--codec", codec, "--jobs", 1, "--allow", "all")
        assert in_process("extract-ntu", *folders, *options).status == 0
        with DatasetReader(tmp_path / codec) as data:
            window = data.sample(0)
        n_bytes.append(sum(map(len, window.frames.stored)))
        pictures.append(window.pictures().astype(np.float32))
    assert n_bytes[0] > 10 * n_bytes[1]
    jpeg, coded = pictures
    loss = np.mean((jpeg - coded) ** 2)
    assert 10 * np.log10(255**2 / loss) > 39
    assert loss < min(np.mean((jpeg[1:] - coded[:-1]) ** 2), np.mean((jpeg[:-1] - coded[1:]) ** 2))


def test_what_decides_the_bytes_is_told(built):
    parameters = read_dataset_info(built).parameters
    assert (parameters["codec"], parameters["crf"]) == ("h264", 20)
    with h5py.File(shard_path(built, 0)) as file:
        assert file.attrs["encoder"].decode() == parameters["encoder"]


def test_the_bytes_do_not_depend_on_the_number_of_processes(raw, built, tmp_path):
    out = tmp_path / "out"
    options = ("--codec", "h264", "--samples-per-shard", 2, "--jobs", 2)
    ran = in_process("extract-kinetics", "--raw", raw, "--out", out, *options)
    assert ran.status == 0, ran.err
    for number in (0, 1):
        assert shard_path(out, number).read_bytes() == shard_path(built, number).read_bytes()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "built with codec h264, now it is jpeg"),
        (("--codec", "h264", "--crf", 25), "built with crf 20, now it is 25"),
    ],
)
def test_a_build_goes_on_with_the_same_codec_only(raw, built, options, told):
    before = shards(built)
    ran = extract(raw, built, "--samples-per-shard", 2, *options)
    assert ran.status == 1
    assert told in ran.err
    assert shards(built) == before


def test_a_build_goes_on_with_the_same_encoder_only(raw, built, monkeypatch):
    monkeypatch.setattr(
        "toolkit.readers.group_encoder.name_encoder", lambda crf: "libx264 core 1, others"
    )
    ran = extract(raw, built, "--samples-per-shard", 2, "--codec", "h264")
    assert ran.status == 1
    assert "built with encoder libx264 core " in ran.err
    assert "now it is libx264 core 1, others" in ran.err


def test_the_same_command_leaves_it_as_it_is(raw, built):
    before = shards(built)
    assert extract(raw, built, "--codec", "h264", "--samples-per-shard", 2).status == 0
    assert shards(built) == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--codec", "h264", "--quality", 80), "--quality has no effect beside --codec h264"),
        (("--crf", 20), "--crf has no effect beside --codec jpeg"),
        (("--quality", 80, "--codec", "h264"), "--quality has no effect beside --codec h264"),
        (("--codec", "h264", "--crf", 0), "0 is not in the range 1<=x<=51"),
    ],
)
def test_options_of_the_other_codec_are_refused(raw, tmp_path, options, told):
    ran = extract(raw, tmp_path / "out", *options)
    assert ran.status == 2
    assert told in ran.err


# What reads frames.


def test_all_of_it_passes_verification(built):
    ran = in_process("verify", built, "--deep", "--jobs", 1, "--json")
    report = json.loads(ran.out)
    assert (ran.status, report["problems"], report["n_pictures"]) == (0, [], 60)


def test_commands_that_draw_show_them(built, tmp_path):
    sheet, page, look = (tmp_path / name for name in ("sheet.png", "page.html", "look.png"))
    for arguments in (
        ("inspect", built),
        ("inspect", built, "--picture", look),
        ("render", built, "--sample", NAMES[0], "-o", sheet),
        ("report", built, "-o", page),
    ):
        ran = in_process(*arguments)
        assert ran.status == 0, ran.err
    assert all(path.stat().st_size > 3000 for path in (sheet, page, look))


def test_training_sees_what_is_stored(built):
    source = ClipSource(built, range(3), DataConfig(frame_size=16, crop="none"))
    clip = source.read(1, View(Span(2, 16), "whole"))
    levels = clip.rgb.float().mean((1, 2, 3)) * 219 / 255 + 16
    assert ((levels - 20) / 10).round().int().tolist() == list(range(2, 18))


def test_samples_are_taken_over_byte_by_byte(built, tmp_path):
    out = tmp_path / "motion"
    ran = in_process("build-kinetics-motion", "--from", built, "--out", out, "--jobs", 1)
    assert ran.status == 0, ran.err
    with DatasetReader(built) as was, DatasetReader(out) as now:
        assert now.info.parameters["encoder"] == was.info.parameters["encoder"]
        for sample in range(3):
            a, b = was.sample(sample), now.sample(sample)
            assert list(a.frames.stored) == list(b.frames.stored)
            assert np.array_equal(a.pictures(), b.pictures())
    assert in_process("verify", out, "--deep", "--jobs", 1).status == 0


def spoil(path, group):
    with h5py.File(path) as file:
        at = file["rgb/data"].id.get_offset() + int(file["rgb/offset"][16 * group]) + 40
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def test_damage_is_told_by_frame_and_mended(raw, built, tmp_path):
    out = tmp_path / "out"
    options = ("--codec", "h264", "--samples-per-shard", 2)
    assert extract(raw, out, *options).status == 0
    path = shard_path(out, 0)
    spoil(path, 0)
    ran = in_process("verify", out, "--deep", "--jobs", 1)
    assert ran.status == 1
    assert f"{path}: sample {NAMES[0]}: frames 0 to 15: expected frames of CRC-32" in ran.err
    with pytest.raises(ShardError) as told:
        ClipSource(out, range(3), DataConfig()).read(0, View(Span(0, 16)))
    assert str(told.value).startswith(f"{path}: sample {NAMES[0]}: frames 0 to 15: expected ")
    with ShardReader(path) as reader:
        assert numbers_of(reader.sample(1).pictures()) == list(range(20))
    mended = extract(raw, out, *options, "--verify-existing")
    assert mended.status == 0
    assert path.read_bytes() == shard_path(built, 0).read_bytes()


def test_no_shard_is_done_whose_frames_cannot_be_decoded(raw, tmp_path, monkeypatch):
    def refuse(group, begin, end):
        raise group._refusal("H.264", "others")

    monkeypatch.setattr("toolkit.shards.h264.Group.decode", refuse)
    ran = extract(raw, tmp_path / "out", "--codec", "h264")
    assert ran.status == 1
    assert f"sample {NAMES[0]}: frames 0 to 15: expected H.264, found others" in ran.err
    assert list((tmp_path / "out" / "shards").iterdir()) == []
