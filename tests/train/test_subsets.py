from collections import Counter

import numpy as np
import pytest
from shard_builders import Recording, write_dataset

from toolkit.shards import DatasetReader, ShardError
from train.data_config import DataConfig
from train.subsets import select_subsets


def build(folder, subsets, labels=None):
    """Write one-frame samples s00, s01, ... in the given subsets of split xsub."""
    labels = labels or [0] * len(subsets)
    recordings = [
        Recording(f"s{i:02d}", label, n_frames=1, subset=subset)
        for i, (subset, label) in enumerate(zip(subsets, labels, strict=True))
    ]
    return DatasetReader(write_dataset(folder, recordings))


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Twenty samples of class 0, ten of class 1 and one of class 2, all for training."""
    folder = tmp_path_factory.mktemp("classes") / "made"
    return build(folder, ["train"] * 31, [0] * 20 + [1] * 10 + [2])


def test_test_samples_are_left_alone(dataset):
    subsets = select_subsets(DatasetReader(dataset), DataConfig(validation_share=0.4), seed=0)
    assert subsets.test.tolist() == [1, 2]
    assert sorted([*subsets.train, *subsets.validation]) == [0, 3, 4]
    assert len(subsets.validation) == 1


def test_another_split(dataset):
    config = DataConfig(split="xview", validation_share=0)
    subsets = select_subsets(DatasetReader(dataset), config, seed=0)
    assert subsets.train.tolist() == [0, 1, 2, 3, 4]
    assert (len(subsets.validation), len(subsets.test)) == (0, 0)


def test_val_is_the_test_where_there_is_no_other(tmp_path):
    reader = build(tmp_path / "made", ["train", "train", "val"])
    subsets = select_subsets(reader, DataConfig(validation_share=0.5), seed=0)
    assert subsets.test.tolist() == [2]
    assert (len(subsets.train), len(subsets.validation)) == (1, 1)


def test_val_validates_where_there_is_a_test(tmp_path):
    reader = build(tmp_path / "made", ["train", "train", "val", "test"])
    subsets = select_subsets(reader, DataConfig(), seed=0)
    assert [part.tolist() for part in vars(subsets).values()] == [[0, 1], [2], [3]]


@pytest.mark.parametrize("seed", range(5))
def test_the_share_is_held_out_in_proportion_to_classes(classes, seed):
    subsets = select_subsets(classes, DataConfig(validation_share=0.2), seed)
    assert Counter(classes.labels[subsets.validation].tolist()) == {0: 4, 1: 2}
    assert sorted([*subsets.train, *subsets.validation]) == list(range(31))


def test_the_choice_repeats_and_depends_on_the_seed(classes):
    a, b, c = (select_subsets(classes, DataConfig(), seed).validation for seed in (0, 0, 1))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_a_small_share_holds_out_one_sample(classes):
    subsets = select_subsets(classes, DataConfig(validation_share=0.001), seed=0)
    assert len(subsets.validation) == 1


@pytest.mark.parametrize("seed", range(5))
def test_no_class_loses_its_last_sample(classes, seed):
    subsets = select_subsets(classes, DataConfig(validation_share=0.99), seed)
    assert Counter(classes.labels[subsets.train].tolist()) == {0: 1, 1: 1, 2: 1}


def test_nothing_to_train_on_is_refused(tmp_path):
    reader = build(tmp_path / "made", ["test"])
    with pytest.raises(ShardError, match="split xsub: expected usable training samples"):
        select_subsets(reader, DataConfig(), seed=0)


def test_an_unknown_split_is_refused(dataset):
    with pytest.raises(ValueError, match=r"xsub.*not 'xset'"):
        select_subsets(DatasetReader(dataset), DataConfig(split="xset"), seed=0)
