import os
import pickle
import shutil
import signal
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
from train.distributed import World
from train.errors import Interrupted, TrainError
from train.job import run_job
from train.loader import LoaderOptions, make_eval_loader, make_train_loader
from train.picture_cache import fill_cache, refuse_lack_of_room
from train.prepare import keep_pictures, prepare
from train.request import Job
from train.signals import StopWish

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
    reader = DatasetReader(dataset)
    monkeypatch.setattr(picture_cache, "read_free_memory", lambda: 639_000)
    with pytest.raises(TrainError, match=r"5 samples take 0\.0 GB.* leave it out"):
        refuse_lack_of_room(reader, EVERY)
    monkeypatch.setattr(picture_cache, "read_free_memory", lambda: 640_000)
    refuse_lack_of_room(reader, EVERY)
    with pytest.raises(TrainError, match="memory"):
        refuse_lack_of_room(reader, EVERY, copies=2)


def test_a_system_that_does_not_tell_its_memory_refuses_nothing(dataset, monkeypatch):
    monkeypatch.setattr(picture_cache, "read_free_memory", lambda: None)
    refuse_lack_of_room(DatasetReader(dataset), EVERY)


def test_the_limit_of_a_container_or_a_job_counts(dataset, tmp_path, monkeypatch):
    texts = {"max": "700000", "current": "100000", "stat": "inactive_file 30000"}
    for name, text in texts.items():
        (tmp_path / f"memory.{name}").write_text(text)
    (tmp_path / "membership").write_text("0::/\n")
    monkeypatch.setattr("toolkit.memory._CGROUP", tmp_path)
    monkeypatch.setattr("toolkit.memory._MEMBERSHIP", tmp_path / "membership")
    with pytest.raises(TrainError, match=r"0\.0 GB of memory"):
        refuse_lack_of_room(DatasetReader(dataset), EVERY)


def test_what_does_not_fit_onto_the_disk_is_refused(dataset, monkeypatch):
    usage = shutil.disk_usage("/")._replace(free=511_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(TrainError, match="are free"):
        refuse_lack_of_room(DatasetReader(dataset), EVERY)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_dataset(tmp_path_factory.mktemp("cached") / "data")


@pytest.fixture
def decoded(monkeypatch):
    """The samples and numbers of frames that are decoded for keeping."""
    calls, decode = [], picture_cache._decode

    def note(reader, sample, n_frames):
        calls.append((sample, n_frames))
        return decode(reader, sample, n_frames)

    monkeypatch.setattr(picture_cache, "_decode", note)
    return calls


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
# 11 samples are measured before the first of them is decoded.
@pytest.mark.parametrize("n_decoded", [3, 14])
def test_a_signal_is_obeyed_between_two_samples(
    tiny, tmp_path, decoded, monkeypatch, number, n_decoded
):
    decode = picture_cache._decode

    def decode_and_stop(*arguments):
        pictures = decode(*arguments)
        if len(decoded) == n_decoded:
            os.kill(os.getpid(), number)
        return pictures

    monkeypatch.setattr(picture_cache, "_decode", decode_and_stop)
    with pytest.raises(Interrupted) as caught:
        run_job(Job(tiny_config({"run.cache": "raw"}), tiny, tmp_path / "run"))
    assert (caught.value.signal_number, len(decoded)) == (number, n_decoded)


def test_a_finished_training_decodes_nothing_more(tiny, tmp_path, decoded):
    config = tiny_config({"run.cache": "raw", "optim.epochs": 1})
    run_job(Job(config, tiny, tmp_path / "run"))
    assert len(decoded) == 22
    run_job(Job(config, tiny, tmp_path / "run", resume=True))
    assert len(decoded) == 22


def test_what_is_refused_leaves_no_run_behind(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(picture_cache, "read_free_memory", lambda: 1000)
    with pytest.raises(TrainError, match="leave it out"):
        run_job(Job(tiny_config({"run.cache": "raw"}), tiny, tmp_path / "run"))
    assert not (tmp_path / "run" / "config.json").exists()


class Meeting:
    """The other rank, which wants to stop in the second meeting or never; notes what was done."""

    def __init__(self, monkeypatch, wish=0):
        self.wish, self.done = wish, []
        monkeypatch.setattr("train.prepare.sum_over_ranks", self.add)
        for name in ("refuse_too_large", "_write"):
            monkeypatch.setattr(picture_cache, name, self.noting(name))

    def noting(self, name):
        act = getattr(picture_cache, name)

        def note(*arguments):
            self.done.append(name)
            return act(*arguments)

        return note

    def add(self, values, world):
        self.done.append("meet")
        return values + self.wish * (self.done.count("meet") == 2)


TWO_RANKS = World(size=2, local_size=2)


def test_no_rank_writes_before_all_have_found_room(tiny, monkeypatch):
    meeting = Meeting(monkeypatch)
    prepared = prepare(tiny_config({"run.cache": "raw"}), tiny)
    assert len(keep_pictures(prepared, TWO_RANKS, StopWish())) == 11
    assert meeting.done == ["refuse_too_large", "meet", "_write", "meet"]


def test_ranks_stop_together_when_one_is_asked_to(tiny, monkeypatch):
    Meeting(monkeypatch, wish=15)
    prepared = prepare(tiny_config({"run.cache": "raw"}), tiny)
    with pytest.raises(Interrupted) as caught:
        keep_pictures(prepared, TWO_RANKS, StopWish())
    assert caught.value.signal_number == 15


def test_a_training_is_the_same_with_and_without(tiny, tmp_path):
    weights = []
    for mode in ("off", "raw"):
        trainer = make_trainer(tiny, tmp_path / mode, {"run.cache": mode})
        trainer.keep_pictures()
        trainer.run()
        weights.append(weights_of(trainer))
    assert differing(*weights) == []


def test_a_system_that_reads_no_pictures_keeps_none(tiny):
    with pytest.raises(TrainError, match=r"run\.cache=raw .* skeleton system reads none"):
        prepare(tiny_config({"run.cache": "raw", "model.system": "skeleton"}), tiny)
