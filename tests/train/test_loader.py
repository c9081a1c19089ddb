import os
import pickle

import pytest
import torch
from shard_builders import write_dataset

from toolkit.shards import ShardError
from train.data_config import DataConfig
from train.loader import LoaderOptions, make_eval_loader, make_train_loader
from train.sampling import Key

CONFIG = DataConfig(frame_size=8, flip="both", random_move=True)
EVERY = range(5)


def batches_of(folder, options, epochs=(0, 1)):
    loader, sampler = make_train_loader(folder, EVERY, CONFIG, options)
    for epoch in epochs:
        sampler.set_epoch(epoch)
        yield from loader


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        for name, tensor in vars(a).items():
            other = getattr(b, name)
            assert other is None if tensor is None else torch.equal(tensor, other), name


def test_workers_change_nothing(dataset):
    alone = list(batches_of(dataset, LoaderOptions(2)))
    assert len(alone) == 6
    assert_same(alone, batches_of(dataset, LoaderOptions(2, workers=2)))


def test_workers_can_be_started_without_fork(dataset):
    loader, _ = make_train_loader(dataset, EVERY, CONFIG, LoaderOptions(2))
    sent = pickle.loads(pickle.dumps((loader.dataset, loader.collate_fn, loader.worker_init_fn)))
    clips, stack, _ = sent
    key = Key(0, 3)
    ours, theirs = loader.collate_fn([loader.dataset[key]]), stack([clips[key]])
    assert_same([ours.batch], [theirs.batch])


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_yield_the_items_of_one(dataset, world):
    def items(options):
        return {
            int(sample): joints
            for batch in batches_of(dataset, options, epochs=[4])
            for sample, weight, joints in zip(batch.sample, batch.weight, batch.joints, strict=True)
            if weight
        }

    alone = items(LoaderOptions(2))
    shared = [items(LoaderOptions(2, rank=rank, world=world)) for rank in range(world)]
    assert sum(map(len, shared)) == len(alone) == 5
    for rank in shared:
        assert all(torch.equal(joints, alone[sample]) for sample, joints in rank.items())


def test_a_resumed_epoch_goes_on_where_it_stopped(dataset):
    whole = list(batches_of(dataset, LoaderOptions(2), epochs=[3]))
    loader, sampler = make_train_loader(dataset, EVERY, CONFIG, LoaderOptions(2))
    sampler.set_epoch(3, start_step=1)
    assert len(loader) == 2
    assert_same(whole[1:], loader)


def test_loading_leaves_the_global_random_numbers_alone(dataset):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(batches_of(dataset, LoaderOptions(2, workers=1)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_keeps_the_order_of_clips(dataset, workers):
    loader = make_eval_loader(dataset, [3, 0, 2], CONFIG, LoaderOptions(4, workers))
    batches = list(loader)
    assert [batch.sample.tolist() for batch in batches] == [[3, 3, 3, 0], [0, 0, 2]]
    assert [batch.clip.tolist() for batch in batches] == [[0, 1, 2, 0], [1, 2, 0]]


def test_ranks_evaluate_whole_samples_once(dataset):
    found = []
    for rank in range(3):
        loader = make_eval_loader(dataset, EVERY, CONFIG, LoaderOptions(2, rank=rank, world=3))
        clips = [(int(s), int(c)) for b in loader for s, c in zip(b.sample, b.clip, strict=True)]
        assert {sample % 3 for sample, _ in clips} == {rank}
        found += clips
    assert sorted(found) == [
        (0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (3, 0), (3, 1), (3, 2), (4, 0), (4, 1),
    ]  # fmt: skip


def test_a_rank_may_have_nothing_to_evaluate(dataset):
    options = LoaderOptions(2, rank=1, world=2)
    assert list(make_eval_loader(dataset, [3], CONFIG, options)) == []


def test_pictures_can_be_left_alone(dataset):
    loader = make_eval_loader(dataset, EVERY, CONFIG, LoaderOptions(8, pictures=False))
    assert all(batch.rgb is None for batch in loader)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_arrives_as_one_sentence(tmp_path, workers):
    folder = write_dataset(tmp_path / "cut")
    loader = make_eval_loader(folder, EVERY, CONFIG, LoaderOptions(2, workers))
    os.truncate(folder / "shards" / "00000.h5", 100)
    with pytest.raises(ShardError) as caught:
        list(loader)
    assert "00000.h5: sample a, file: expected an HDF5 shard" in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_a_programming_error_is_not_hidden(dataset):
    loader, _ = make_train_loader(dataset, EVERY, CONFIG, LoaderOptions(2))
    loader.dataset.clips.source.reader = None
    with pytest.raises(AttributeError):
        list(loader)


def test_negative_workers_are_refused():
    with pytest.raises(ValueError, match="workers must not be negative"):
        LoaderOptions(workers=-1)
