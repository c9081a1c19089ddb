import dataclasses
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import shard_builders
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_builders import MadeDataset, Recording, write_dataset

from toolkit.shards import LAYOUTS, DatasetReader, ShardError, encode_picture
from train import transforms
from train.data import (
    ClipSource,
    EvalClips,
    TrainClips,
    View,
    draw_view,
)
from train.data_config import DataConfig
from train.sampling import Key, Span

SMALL = DataConfig(frame_size=8, crop="none")
EVERY = range(5)
OPEN_FILES = Path("/proc/self/fd")


def grey(frames):
    """Frame numbers of a clip, told by its pictures: frame t is stored in a grey of 5 t."""
    return (frames.float().mean((1, 2, 3)) / 5).round().int().tolist()


def same(a, b):
    return all(
        torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y
        for x, y in zip(vars(a).values(), vars(b).values(), strict=True)
    )


# ---- configuration


def test_defaults_are_the_papers():
    config = DataConfig()
    assert (config.clip_length, config.frame_size) == (16, 112)
    assert config.crop_scales == pytest.approx([2 ** (-n / 4) for n in range(5)], abs=1e-4)
    assert (config.flip, config.random_move, config.window) == ("none", False, "centre")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window", "middle"),
        ("short", "repeat"),
        ("partial", "maybe"),
        ("crop", "random"),
        ("flip", "skeleton"),
        ("clip_length", 0),
        ("frame_size", 0),
        ("crop_scales", ()),
        ("crop_scales", (1.0, 1.1)),
        ("crop_scales", (0.0,)),
        ("rgb_mean", (1.0, 2.0)),
        ("rgb_mean", (1.0, 2.0, 256.0)),
        ("rgb_scale", 0.0),
        ("joint_noise", -0.1),
        ("joint_noise", float("nan")),
        ("brightness", 1.0),
        ("contrast", -0.1),
        ("drop_second", 1.1),
        ("validation_share", 1.0),
        ("validation_share", -0.1),
    ],
)
def test_bad_values_are_named(field, value):
    with pytest.raises(ValueError, match=field):
        DataConfig(**{field: value})


def test_features_cannot_be_mirrored():
    with pytest.raises(ValueError, match="context_file cannot be mirrored"):
        DataConfig(context_file="features.h5", flip="both")


def test_lists_from_a_recipe_become_tuples():
    config = DataConfig(crop_scales=[1.0], rgb_mean=[0, 0, 0])
    assert (config.crop_scales, config.rgb_mean) == ((1.0,), (0, 0, 0))
    assert hash(config)


# ---- training clips


def test_a_training_clip_pairs_pictures_with_joints(dataset):
    clips = TrainClips(dataset, EVERY, SMALL, seed=0)
    whole = DatasetReader(dataset).sample(3)
    for epoch in range(5):
        clip = clips[Key(epoch, 3)]
        frames = grey(clip.rgb)
        assert frames == list(range(frames[0], frames[0] + 16))
        stored = whole.joints[frames].transpose(3, 0, 2, 1)
        assert np.array_equal(clip.joints.numpy(), stored)
        assert (clip.label, clip.sample, clip.clip, clip.weight) == (0, 3, -1, 1.0)


def test_epochs_draw_different_windows(dataset):
    clips = TrainClips(dataset, EVERY, SMALL, seed=0)
    assert len({grey(clips[Key(epoch, 3)].rgb)[0] for epoch in range(12)}) > 3


@pytest.fixture(scope="module")
def augmented(dataset):
    """Two data sets that draw everything there is to draw, each with state of its own."""
    config = dataclasses.replace(SMALL, crop="corners", flip="both", random_move=True)
    return [TrainClips(dataset, EVERY, config, seed=0) for _ in range(2)]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(0, 99), st.permutations(list(EVERY)))
def test_an_item_does_not_depend_on_those_before(augmented, seed, epoch, order):
    for clips in augmented:
        clips.seed = seed
    first, second = augmented
    found = {sample: first[Key(epoch, sample)] for sample in order}
    assert all(same(second[Key(epoch, sample)], found[sample]) for sample in EVERY)


def test_an_item_depends_on_seed_epoch_and_sample(augmented):
    clips, found = augmented[0], set()
    for seed, epoch, sample in [(0, 0, 3), (1, 0, 3), (0, 1, 3), (0, 0, 0)]:
        clips.seed = seed
        found.add(float(clips[Key(epoch, sample)].joints.sum()))
    assert len(found) == 4


def test_padding_is_the_same_clip_without_weight(dataset):
    clips = TrainClips(dataset, EVERY, SMALL, seed=0)
    item, padding = clips[Key(2, 1)], clips[Key(2, 1, weight=0.0)]
    assert (item.weight, padding.weight) == (1.0, 0.0)
    assert torch.equal(item.rgb, padding.rgb)


def test_the_same_windows_without_pictures(dataset):
    config = dataclasses.replace(SMALL, random_move=True)
    seeing = TrainClips(dataset, EVERY, config, seed=0)
    blind = TrainClips(dataset, EVERY, config, seed=0, pictures=False)
    for key in (Key(0, 3), Key(1, 3), Key(7, 0)):
        assert blind[key].rgb is None
        assert torch.equal(blind[key].joints, seeing[key].joints)


def test_a_short_sample_loops_in_pictures_and_joints(dataset):
    clip = TrainClips(dataset, EVERY, SMALL, seed=0)[Key(0, 2)]
    order = [0, 1, 2, 3, 4] * 3 + [0]
    assert grey(clip.rgb) == order
    assert torch.equal(clip.joints, clip.joints[:, order])
    assert clip.present[:, 0].all()


def test_a_short_sample_can_end_in_zeros(dataset):
    config = dataclasses.replace(SMALL, short="zero")
    clip = TrainClips(dataset, EVERY, config, seed=0)[Key(0, 2)]
    assert grey(clip.rgb[:5]) == [0, 1, 2, 3, 4]
    assert clip.joints[:, :5, :, 0].all()
    assert not clip.joints[:, 5:].any()
    assert clip.present[:, 0].tolist() == [True] * 5 + [False] * 11
    normalised = transforms.normalise_rgb(
        clip.rgb[5:].permute(3, 0, 1, 2)[None], config.rgb_mean, config.rgb_scale
    )
    assert normalised.abs().max() < 0.5 / 255 + 1e-6


def test_other_clip_lengths(dataset):
    config = dataclasses.replace(SMALL, clip_length=20)
    clips = TrainClips(dataset, EVERY, config, seed=0)
    assert clips[Key(0, 3)].joints.shape == (3, 20, 25, 2)
    assert grey(clips[Key(0, 4)].rgb) == [*range(17), 0, 1, 2]


def draws(config, n=400):
    rng = np.random.default_rng(0)
    return [draw_view(40, config, rng) for _ in range(n)]


def test_corner_crops_reach_every_place_and_scale():
    views = draws(DataConfig())
    assert {v.place for v in views} == set(transforms.PLACES)
    assert {v.scale for v in views} == set(DataConfig().crop_scales)
    assert not any(v.mirror for v in views)


@pytest.mark.parametrize(("crop", "place"), [("centre", "centre"), ("none", "whole")])
def test_other_crops_stay_at_their_place(crop, place):
    assert {v.place for v in draws(DataConfig(crop=crop))} == {place}


def test_half_of_the_clips_are_mirrored():
    assert 160 < sum(v.mirror for v in draws(DataConfig(flip="both"))) < 240


# ---- flips on a picture that shows where a joint is


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """One sample whose pictures show its nose as a white spot on black."""
    made, nose = MadeDataset(layout=LAYOUTS["openpose18"]), Recording("spot", n_frames=16)
    poses = shard_builders.make_sample(nose, made.layout, video=True).poses

    def pictures(n_frames):
        for x, y in poses.pixels[:n_frames, 0, 0] * (shard_builders.WIDTH, shard_builders.HEIGHT):
            picture = np.zeros((shard_builders.HEIGHT, shard_builders.WIDTH, 3), np.uint8)
            picture[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] = 255
            yield encode_picture(picture)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard_builders, "make_pictures", pictures)
        return write_dataset(tmp_path_factory.mktemp("spot") / "spot", [nose], made)


def spots(clip):
    """Places of the white spots, (T, 2), as fractions of the picture minus 0.5."""
    size = clip.rgb.shape[1]
    white = clip.rgb[..., 0] > 128
    return (
        torch.stack([frame.nonzero().float().mean(0).flip(0) + 0.5 for frame in white]) / size - 0.5
    )


@pytest.mark.parametrize("mirror", [False, True])
def test_flipping_both_keeps_joints_on_their_pictures(marked, mirror):
    config = DataConfig(frame_size=96, crop="none", flip="both")
    clip = ClipSource(marked, [0], config).read(0, View(Span(0, 16), "whole", mirror=mirror))
    nose = clip.joints[:2, :, 0, 0].T
    assert (spots(clip) - nose).abs().max() < 0.03


def test_flipping_rgb_only_leaves_the_joints(marked):
    config = DataConfig(frame_size=96, crop="none", flip="rgb")
    source = ClipSource(marked, [0], config)
    plain = source.read(0, View(Span(0, 16), "whole"))
    flipped = source.read(0, View(Span(0, 16), "whole", mirror=True))
    assert torch.equal(plain.joints, flipped.joints)
    assert torch.equal(plain.rgb.flip(2), flipped.rgb)


# ---- evaluation clips


def test_evaluation_tiles_every_sample(dataset):
    clips = EvalClips(dataset, [2, 0], SMALL)
    found = [clips[i] for i in range(len(clips))]
    assert [(c.sample, c.clip, c.weight) for c in found] == [
        (2, 0, 1.0), (0, 0, 1.0), (0, 1, 1.0), (0, 2, 1.0),
    ]  # fmt: skip
    assert grey(found[1].rgb) == list(range(16))
    assert grey(found[3].rgb) == [32] * 16


def test_evaluation_reads_the_clips_that_the_shards_list(dataset):
    clips, reader = EvalClips(dataset, EVERY, SMALL), DatasetReader(dataset)
    listed = [clip for sample in EVERY for clip in reader.clips(sample)]
    assert len(clips) == len(listed)
    for i, window in enumerate(listed):
        assert np.array_equal(clips[i].joints.numpy(), window.joints.transpose(3, 0, 2, 1))
        assert np.array_equal(clips[i].present.numpy(), window.present != 0)


def test_short_last_clips_can_be_dropped(dataset):
    config = dataclasses.replace(SMALL, partial="drop")
    clips = EvalClips(dataset, EVERY, config)
    assert [clips[i].sample for i in range(len(clips))] == [0, 0, 1, 2, 3, 3, 4]


def test_evaluation_cuts_the_centre(marked):
    clip = EvalClips(marked, [0], DataConfig(frame_size=32))[0]
    # Pictures are 48x32: the centre square is 32 wide and its centre is the picture's.
    nose = clip.joints[:2, :, 0, 0].T * torch.tensor([48 / 32, 1.0])
    inside = nose.abs().max(1).values < 0.4
    assert inside.any()
    assert (spots(clip) - nose)[inside].abs().max() < 0.04


def test_evaluation_sees_whole_pictures_where_training_does(marked):
    clip = EvalClips(marked, [0], DataConfig(frame_size=96, crop="none"))[0]
    assert (spots(clip) - clip.joints[:2, :, 0, 0].T).abs().max() < 0.03


def test_evaluation_is_not_random(dataset):
    config = dataclasses.replace(SMALL, crop="corners", flip="both", random_move=True)
    a, b = (EvalClips(dataset, EVERY, config)[4] for _ in range(2))
    plain = EvalClips(dataset, EVERY, dataclasses.replace(SMALL, crop="centre"))[4]
    assert same(a, b)
    assert same(a, plain)


# ---- processes, broken data


def test_data_sets_are_small_to_send_and_open_late(dataset):
    clips = TrainClips(dataset, EVERY, SMALL, seed=0)
    clips[Key(0, 0)]
    again = pickle.loads(pickle.dumps(clips))
    assert same(again[Key(1, 3)], clips[Key(1, 3)])
    assert len(pickle.dumps(clips)) < 20_000


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="lists open files by /proc")
def test_making_a_data_set_leaves_no_file_open(dataset):
    before = len(list(OPEN_FILES.iterdir()))
    kept = [TrainClips(dataset, EVERY, SMALL, seed=0), EvalClips(dataset, EVERY, SMALL)]
    assert len(list(OPEN_FILES.iterdir())) == before
    assert len(kept) == 2


@pytest.mark.parametrize("samples", [[5], [-1, 2]])
def test_samples_that_do_not_exist_are_refused(dataset, samples):
    with pytest.raises(ValueError, match="usable samples 0 to 4"):
        EvalClips(dataset, samples, SMALL)


def test_pictures_wanted_but_not_stored(tmp_path):
    folder = write_dataset(tmp_path / "bare", made=MadeDataset(pictures=False))
    with pytest.raises(ShardError, match="expected stored pictures, found a skeleton-only"):
        TrainClips(folder, EVERY, SMALL, seed=0)
    clip = TrainClips(folder, EVERY, SMALL, seed=0, pictures=False)[Key(0, 0)]
    assert clip.rgb is None


def spoil_picture(folder, shard):
    """Overwrite the first stored picture of a shard with zeros, leaving all tables whole."""
    path = folder / "shards" / f"{shard:05d}.h5"
    data = bytearray(path.read_bytes())
    begin = data.index(b"\xff\xd8\xff\xe0")
    data[begin : begin + 200] = bytes(200)
    path.write_bytes(data)
    return path


def test_a_damaged_picture_is_named_with_shard_and_sample(tmp_path):
    folder = write_dataset(tmp_path / "spoilt")
    path = spoil_picture(folder, 1)
    clips = EvalClips(folder, EVERY, SMALL)
    with pytest.raises(ShardError, match=r"00001\.h5: sample d: .*not a .*JPEG") as caught:
        clips[4]
    assert caught.value.path == str(path)


def test_a_truncated_shard_is_named_with_the_sample(tmp_path):
    folder = write_dataset(tmp_path / "cut")
    clips = EvalClips(folder, EVERY, SMALL)
    clips[4]
    path = folder / "shards" / "00001.h5"
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ShardError, match=r"00001\.h5: sample d, .*truncated"):
        clips[4]
