import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from train.context_file import write_context_file
from train.data import EvalClips
from train.data_config import DataConfig
from train.pairing import PairedClips, shuffle_pairs

# Samples a b d f g have 33, 16, 5, 40 and 17 frames: 3, 1, 1, 3 and 2 clips.
CONFIG = DataConfig(frame_size=8)


@given(st.lists(st.integers(0, 99), unique=True, max_size=30), st.integers(0, 2**31))
def test_a_shuffle_gives_everything_to_somebody(samples, seed):
    pairs = shuffle_pairs(samples, seed)
    assert list(pairs) == samples
    assert sorted(pairs.values()) == sorted(samples)
    assert pairs == shuffle_pairs(samples, seed)


def test_another_seed_is_another_shuffle():
    assert shuffle_pairs(range(20), 0) != shuffle_pairs(range(20), 1)


def test_joints_stay_and_pictures_change(dataset):
    plain, paired = EvalClips(dataset, [0, 3], CONFIG), PairedClips(dataset, [0, 3], CONFIG, {0: 3})
    assert len(paired) == len(plain) == 6
    for number in range(3):
        clip, own, other = paired[number], plain[number], plain[number + 3]
        assert (clip.sample, clip.clip, clip.label) == (0, number, own.label)
        assert torch.equal(clip.joints, own.joints)
        assert torch.equal(clip.rgb, other.rgb)


def test_a_sample_that_is_not_named_keeps_its_own(dataset):
    plain, paired = EvalClips(dataset, [0, 3], CONFIG), PairedClips(dataset, [0, 3], CONFIG, {0: 3})
    assert all(torch.equal(paired[i].rgb, plain[i].rgb) for i in (3, 4, 5))


def test_a_shorter_sample_begins_again(dataset):
    paired, other = PairedClips(dataset, [0], CONFIG, {0: 4}), EvalClips(dataset, [4], CONFIG)
    assert len(paired) == 3
    assert len(other) == 2
    for number, place in enumerate((0, 1, 0)):
        assert torch.equal(paired[number].rgb, other[place].rgb)


def test_pictures_can_be_left_alone(dataset):
    assert PairedClips(dataset, [0], CONFIG, {0: 1}, pictures=False)[0].rgb is None


def test_stored_context_is_exchanged_too(dataset, tmp_path):
    frames = {"a": 33, "b": 16, "d": 5, "f": 40, "g": 17}
    features = [(name, torch.full((n, 1, 2), n).numpy()) for name, n in frames.items()]
    write_context_file(tmp_path / "context.h5", [(n, f.astype("float32")) for n, f in features])
    config = DataConfig(context_file=str(tmp_path / "context.h5"))
    clip = PairedClips(dataset, [0], config, {0: 3})[0]
    assert clip.rgb is None
    assert (clip.context == 40).all()


def test_a_sample_that_does_not_exist_is_refused(dataset):
    with pytest.raises(ValueError, match="has usable samples 0 to 4, got 9"):
        PairedClips(dataset, [0], CONFIG, {0: 9})
