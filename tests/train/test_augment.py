from dataclasses import replace

import numpy as np
import pytest
import torch
from shard_builders import MadeDataset, Recording, write_dataset

from toolkit.shards import LAYOUTS, DatasetReader
from train.augment import UNCHANGED, Augmentation, add_noise, change_light, draw_augmentation
from train.data import EvalClips, TrainClips, draw_view
from train.data_config import DataConfig
from train.loader import LoaderOptions, make_train_loader
from train.sampling import Key, draw_span
from train.transforms import PLACES

PLAIN = DataConfig(frame_size=8, crop="none", clip_length=8)
NOISE = {"joint_noise": 0.05}
LIGHT = {"brightness": 0.4, "contrast": 0.4}
ALONE = {"drop_second": 1.0}
ALL = NOISE | LIGHT | {"drop_second": 0.5}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Samples of one and of two bodies, in turn."""
    recordings = [Recording(f"s{i}", n_frames=12, n_bodies=1 + i % 2) for i in range(6)]
    folder = tmp_path_factory.mktemp("augment") / "made"
    return write_dataset(folder, recordings, MadeDataset(LAYOUTS["openpose18"]))


def read_clip(dataset, changes, sample=1, epoch=0, seed=0):
    clips = TrainClips(dataset, [sample], replace(PLAIN, **changes), seed)
    return clips[Key(epoch, sample)]


def drawn(n=2000, **changes):
    config = DataConfig(**changes)
    return [draw_augmentation(config, np.random.default_rng(i)) for i in range(n)]


def test_nothing_is_changed_by_default():
    assert set(drawn(20)) == {UNCHANGED}


def test_factors_lie_on_both_sides_within_their_reach():
    values = np.array([change.brightness for change in drawn(brightness=0.2)])
    assert values.min() == pytest.approx(0.8, abs=0.01)
    assert values.max() == pytest.approx(1.2, abs=0.01)
    assert {change.contrast for change in drawn(20, brightness=0.2)} == {1.0}


def test_the_second_body_goes_as_often_as_asked():
    share = np.mean([change.drops_second for change in drawn(drop_second=0.3)])
    assert share == pytest.approx(0.3, abs=0.04)


def test_switching_one_on_changes_no_other_draw(dataset):
    for one, other in zip(drawn(20, **LIGHT), drawn(20, **ALL), strict=True):
        assert (one.brightness, one.contrast) == (other.brightness, other.contrast)
    moved = {"random_move": True, "window": "uniform", "flip": "both"}
    plain, lit = (read_clip(dataset, moved | more) for more in ({}, LIGHT))
    assert torch.equal(plain.joints, lit.joints)
    assert not torch.equal(plain.rgb, lit.rgb)


@pytest.mark.parametrize("other", [{"random_move": True}, LIGHT])
def test_noise_is_the_same_whatever_else_is_on(dataset, other):
    noises = [
        read_clip(dataset, changes | NOISE).joints - read_clip(dataset, changes).joints
        for changes in ({}, other)
    ]
    assert noises[0].any()
    assert noises[0].numpy() == pytest.approx(noises[1].numpy(), abs=1e-6)


def test_augmentation_leaves_the_draws_of_windows_and_moves_alone():
    with_it, without = np.random.default_rng(0), np.random.default_rng(0)
    draw_view(12, PLAIN, with_it)
    draw_span(12, PLAIN.clip_length, PLAIN.window, without)
    for n_choices in (len(PLACES), len(PLAIN.crop_scales), 2):
        without.integers(n_choices)
    assert with_it.bit_generator.state == without.bit_generator.state


def test_noise_has_the_spread_asked_for_where_joints_are_seen():
    seen = np.zeros((50, 2, 18), bool)
    seen[:, 0] = True
    joints = np.ones((50, 2, 18, 3), np.float32)
    layout = LAYOUTS["openpose18"]
    out = add_noise(joints, seen, layout, 0.1, np.random.default_rng(0)) - joints
    assert out[:, 0, :, :2].std() == pytest.approx(0.1, rel=0.05)
    assert abs(out[:, 0, :, :2].mean()) < 0.01
    # Neither scores nor a body that is absent.
    assert not out[..., 2].any()
    assert not out[:, 1].any()


def test_metres_have_noise_on_all_axes():
    joints, seen = np.zeros((50, 2, 25, 3), np.float32), np.ones((50, 2, 25), bool)
    out = add_noise(joints, seen, LAYOUTS["ntu25"], 0.1, np.random.default_rng(0))
    assert out.std((0, 1, 2)) == pytest.approx([0.1] * 3, rel=0.1)


def test_absent_bodies_stay_zero_in_a_clip(dataset):
    clip = read_clip(dataset, NOISE, sample=0)
    assert not clip.joints[..., 1].any()
    assert not torch.equal(clip.joints, read_clip(dataset, {}, sample=0).joints)


def test_light_is_one_for_all_frames():
    # Frame t is grey 40 + 10 t on its left, 80 + 10 t on its right half.
    frames = torch.full((3, 4, 4, 3), 40, dtype=torch.uint8)
    frames[:, :, 2:] = 80
    frames += 10 * torch.arange(3, dtype=torch.uint8)[:, None, None, None]
    brighter = change_light(frames, Augmentation(brightness=1.5))
    assert brighter[:, 0, 0, 0].tolist() == [60, 75, 90]
    # The halves of each frame go from 20 to 10 from their mean; grey is a rounded sum of colours.
    flatter = change_light(frames, Augmentation(contrast=0.5))
    assert flatter[:, 0, 0, 0].tolist() == pytest.approx([50, 60, 70], abs=1)
    assert flatter[:, 0, 3, 2].tolist() == pytest.approx([70, 80, 90], abs=1)
    assert flatter.shape == frames.shape
    assert flatter.is_contiguous()


def test_a_clip_can_be_left_with_its_first_body(dataset):
    plain, alone = (read_clip(dataset, changes) for changes in ({}, ALONE))
    assert plain.present[:, 1].all()
    assert not alone.present[:, 1].any()
    assert not alone.joints[..., 1].any()
    assert torch.equal(alone.joints[..., 0], plain.joints[..., 0])


def test_an_only_body_stays_whichever_it_is(dataset, monkeypatch):
    window = DatasetReader.window

    def without_the_first(self, *place):
        found = window(self, *place)
        present = found.present.copy()
        present[:, 0] = 0
        return replace(found, present=present)

    monkeypatch.setattr(DatasetReader, "window", without_the_first)
    plain, alone = (read_clip(dataset, changes) for changes in ({}, ALONE))
    assert alone.present[:, 1].all()
    assert torch.equal(plain.joints, alone.joints)


def same(one, other):
    return torch.equal(one.joints, other.joints) and torch.equal(one.rgb, other.rgb)


def test_a_clip_is_a_function_of_seed_epoch_and_sample(dataset):
    first = read_clip(dataset, ALL)
    assert same(first, read_clip(dataset, ALL))
    assert not same(first, read_clip(dataset, ALL, epoch=1))
    assert not same(first, read_clip(dataset, ALL, seed=1))


def test_reading_processes_change_nothing(dataset):
    batches = []
    for workers in (0, 2):
        options = LoaderOptions(batch_size=3, workers=workers, pictures=True)
        loader, sampler = make_train_loader(dataset, range(6), replace(PLAIN, **ALL), options)
        sampler.set_epoch(1)
        batches.append(list(loader))
    for one, other in zip(*batches, strict=True):
        assert torch.equal(one.joints, other.joints)
        assert torch.equal(one.rgb, other.rgb)


def test_testing_changes_nothing(dataset):
    plain, changed = (
        EvalClips(dataset, [1], replace(PLAIN, **changes)) for changes in ({}, ALL | ALONE)
    )
    assert same(plain[0], changed[0])


def test_features_have_no_light():
    with pytest.raises(ValueError, match="brightness and contrast need pictures"):
        DataConfig(context_file="features.h5", brightness=0.1)
