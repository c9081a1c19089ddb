import pickle
import shutil
from multiprocessing import resource_sharer

import numpy as np
import pytest
import torch
from shard_builders import write_dataset
from tiny_runs import differing, make_trainer, tiny_config, weights_of, write_tiny_dataset

from toolkit.shards import DatasetReader, ShardError
from toolkit.shards.sidecar import shard_path
from train import picture_cache
from train.data_config import DataConfig
from train.errors import TrainError
from train.loader import LoaderOptions, make_eval_loader, make_train_loader
from train.picture_cache import fill_cache
from train.prepare import prepare

CONFIG = DataConfig(frame_size=8, flip="both", random_move=True)
EVERY = range(5)


@pytest.fixture(scope="module")
def cache(dataset):
    return fill_cache(DatasetReader(dataset), EVERY)


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        for name, tensor in vars(a).items():
            other = getattr(b, name)
            assert other is None if tensor is None else torch.equal(tensor, other), name


def test_a_cache_holds_every_frame_of_its_samples(dataset, cache):
    # 33 + 16 + 5 + 40 + 17 frames of 48x32 in RGB.
    assert (len(cache), cache.n_bytes) == (5, 111 * 48 * 32 * 3)
    reader = DatasetReader(dataset)
    np.testing.assert_array_equal(cache.read(3, 7, 16), reader.window(3, 7, 16).pictures())


def test_what_is_kept_cannot_be_changed(cache):
    assert not cache.read(0, 0, 2).flags.writeable


@pytest.mark.parametrize("workers", [0, 2])
def test_training_batches_are_the_same_with_and_without(dataset, cache, workers):
    def batches(options):
        loader, sampler = make_train_loader(dataset, EVERY, CONFIG, options)
        for epoch in range(3):
            sampler.set_epoch(epoch)
            yield from loader

    kept = LoaderOptions(2, workers=workers, cache=cache)
    assert_same(batches(kept), batches(LoaderOptions(2)))


def test_test_batches_are_the_same_with_and_without(dataset, cache):
    kept = make_eval_loader(dataset, EVERY, CONFIG, LoaderOptions(2, cache=cache))
    assert_same(kept, make_eval_loader(dataset, EVERY, CONFIG, LoaderOptions(2)))


def test_pictures_are_decoded_once(dataset, cache, monkeypatch):
    monkeypatch.setattr("train.data.decode_picture", None)
    assert len(list(make_eval_loader(dataset, EVERY, CONFIG, LoaderOptions(2, cache=cache)))) > 0


def test_a_cache_can_be_sent_to_a_process(cache):
    sent = pickle.loads(pickle.dumps(cache))
    resource_sharer.stop()
    np.testing.assert_array_equal(sent.read(1, 3, 4), cache.read(1, 3, 4))


def test_what_cannot_be_read_is_not_kept_and_refused_where_it_is_used(tmp_path):
    folder = write_dataset(tmp_path / "made")
    path = shard_path(folder, 1)
    path.write_bytes(path.read_bytes()[:4000])
    cache = fill_cache(DatasetReader(folder), EVERY)
    assert (len(cache), cache.read(2, 0, 5)) == (4, None)
    with pytest.raises(ShardError, match="sample d"):
        list(make_eval_loader(folder, EVERY, CONFIG, LoaderOptions(2, cache=cache)))


def test_no_samples_need_no_room(dataset):
    assert fill_cache(DatasetReader(dataset), []).n_bytes == 0


def test_what_does_not_fit_into_memory_is_refused(dataset, monkeypatch):
    # 111 frames of 4,608 bytes are 511,488; 0.8 of 639,000 are 511,200.
    monkeypatch.setattr(picture_cache, "read_free_memory", lambda: 639_000.0)
    with pytest.raises(TrainError, match=r"5 samples take 0\.0 GB.* leave it out"):
        fill_cache(DatasetReader(dataset), EVERY)
    monkeypatch.setattr(picture_cache, "read_free_memory", lambda: 640_000.0)
    assert len(fill_cache(DatasetReader(dataset), EVERY)) == 5
    with pytest.raises(TrainError, match="memory"):
        fill_cache(DatasetReader(dataset), EVERY, copies=2)


def test_what_does_not_fit_onto_the_disk_is_refused(dataset, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=511_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(TrainError, match="are free"):
        fill_cache(DatasetReader(dataset), EVERY)


def test_a_training_is_the_same_with_and_without(tmp_path):
    dataset = write_tiny_dataset(tmp_path / "data")
    weights = []
    for mode in ("off", "raw"):
        trainer = make_trainer(dataset, tmp_path / mode, {"run.cache": mode})
        trainer.run()
        weights.append(weights_of(trainer))
    assert differing(*weights) == []


def test_a_system_that_reads_no_pictures_keeps_none(tmp_path):
    dataset = write_tiny_dataset(tmp_path / "data")
    with pytest.raises(TrainError, match=r"run\.cache=raw .* skeleton system reads none"):
        prepare(tiny_config({"run.cache": "raw", "model.system": "skeleton"}), dataset)
