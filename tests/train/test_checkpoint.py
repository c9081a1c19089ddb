import errno
import re
import zipfile
from dataclasses import replace

import pytest
import torch

from toolkit.shards import LAYOUTS
from train.checkpoint import (
    Checkpoint,
    DataFacts,
    check_same_data,
    check_same_run,
    prune_checkpoints,
    read_checkpoint,
    read_latest,
    write_checkpoint,
)
from train.config import TrainConfig
from train.errors import CheckpointError
from train.files import RunFolder

FACTS = DataFacts("ntu60", "f00d", LAYOUTS["ntu25"], ("drink", "eat"))


def make_checkpoint(config=None, facts=FACTS):
    return Checkpoint(
        config=(config or TrainConfig()).to_dict(),
        data=facts.to_dict(),
        progress={"epoch": 1, "history": [{"loss": 0.1}], "best": None},
        model={"w": torch.arange(3.0)},
        optimiser={"state": {0: {"momentum_buffer": torch.ones(2)}}, "param_groups": [{"lr": 1}]},
        rng=torch.zeros(2, 8, dtype=torch.uint8),
        device_rng=torch.empty(2, 0, dtype=torch.uint8),
    )


def test_round_trip(tmp_path):
    path = tmp_path / "new" / "step-1.pt"
    before = make_checkpoint()
    write_checkpoint(path, before)
    after = read_checkpoint(path)
    assert (after.config, after.progress) == (before.config, before.progress)
    assert TrainConfig.from_dict(after.config) == TrainConfig()
    assert DataFacts.from_dict(after.data) == FACTS
    assert torch.equal(after.model["w"], before.model["w"])
    assert after.optimiser["state"][0]["momentum_buffer"].tolist() == [1, 1]
    assert after.weights is after.model


def test_the_average_is_used_where_there_is_one():
    averaged = replace(make_checkpoint(), ema={"w": torch.zeros(3)})
    assert averaged.weights is averaged.ema


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "step-1.pt"
    write_checkpoint(path, make_checkpoint())
    before = path.read_bytes()

    def fail(state, target):
        target.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(CheckpointError, match=r"step-1\.pt cannot be written: disk full; earlier"):
        write_checkpoint(path, make_checkpoint())
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["step-1.pt"]


class Evil:
    def __reduce__(self):
        return print, ("code ran",)


def test_a_file_that_would_run_code_is_refused(tmp_path, capsys):
    path = tmp_path / "evil.pt"
    torch.save({"format": Evil()}, path)
    with pytest.raises(CheckpointError, match=re.escape(f"{path} holds more than tensors")):
        read_checkpoint(path)
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_a_cut_file_is_named(tmp_path, share):
    path = tmp_path / "step-1.pt"
    write_checkpoint(path, make_checkpoint())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match=r"step-1\.pt is not a readable checkpoint"):
        read_checkpoint(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.pt is not a readable checkpoint"):
        read_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"w": torch.ones(1)}, "expected ctxtool-checkpoint version 1, found None None"),
        ([1], "found None None"),
        ({"format": "ctxtool-checkpoint", "version": 2}, "found ctxtool-checkpoint 2"),
        ({"format": "ctxtool-checkpoint", "version": 1}, "lacks the entry 'config'"),
    ],
)
def test_a_foreign_file_is_refused(tmp_path, content, message):
    path = tmp_path / "other.pt"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def test_the_last_few_and_the_best_stay(tmp_path):
    folder = RunFolder(tmp_path)
    folder.checkpoints.mkdir()
    for name in ("step-000000002", "step-000000010", "step-000000009", "best"):
        (folder.checkpoints / f"{name}.pt").touch()
    prune_checkpoints(folder, 2)
    left = sorted(path.stem for path in folder.checkpoints.iterdir())
    assert left == ["best", "step-000000009", "step-000000010"]
    assert folder.latest() == folder.checkpoints / "step-000000010.pt"


def test_the_same_run_may_go_on_with_other_workers():
    config = TrainConfig().replaced({"run.workers": 7, "run.log_every": 3, "run.keep_last": 9})
    check_same_run(make_checkpoint(), config, FACTS, ranks=2)


@pytest.mark.parametrize(
    ("changes", "facts", "ranks", "message"),
    [
        ({"optim.lr": 0.2}, FACTS, 2, "other settings (then, now): optim.lr: 0.1, 0.2; resume"),
        ({"run.seed": 1, "data.crop": "none"}, FACTS, 2, "data.crop: corners, none; run.seed: 0"),
        ({}, FACTS, 1, "begun on 2 ranks and cannot go on exactly on 1"),
        ({}, replace(FACTS, fingerprint="beef"), 2, "with fingerprint f00d, not beef"),
        ({}, replace(FACTS, layout=LAYOUTS["openpose18"]), 2, "layout ntu25 of 25 joints"),
        ({}, replace(FACTS, class_names=("eat", "drink")), 2, "or in another order"),
    ],
)
def test_another_run_is_refused_naming_the_difference(changes, facts, ranks, message):
    config = TrainConfig().replaced(changes)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        check_same_run(make_checkpoint(), config, facts, ranks)


def test_a_network_may_be_used_on_other_shards_of_its_layout_and_classes():
    check_same_data(make_checkpoint(), replace(FACTS, name="mine", fingerprint="beef"))


@pytest.fixture
def two(tmp_path):
    """A run of two checkpoints."""
    folder = RunFolder(tmp_path)
    for step in (1, 2):
        write_checkpoint(folder.checkpoints / f"step-{step}.pt", make_checkpoint())
    return folder


def trouble_with_newest(monkeypatch, error):
    class Troubled(zipfile.ZipFile):
        def testzip(self):
            if "step-2" in str(self.filename):
                raise error
            return super().testzip()

    monkeypatch.setattr(zipfile, "ZipFile", Troubled)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.EACCES, None])
def test_trouble_that_passes_is_no_damage(two, monkeypatch, number):
    error = MemoryError() if number is None else OSError(number, "trouble")
    trouble_with_newest(monkeypatch, error)
    with pytest.raises(CheckpointError, match=r"step-2\.pt is not .*may pass and is no"):
        read_latest(two)


def test_an_error_that_damage_causes_is_damage(two, monkeypatch, caplog):
    trouble_with_newest(monkeypatch, OSError(errno.EINVAL, "Invalid argument"))
    path, _ = read_latest(two)
    assert path.name == "step-1.pt"
    assert "step-2.pt is not a readable checkpoint (Invalid argument)" in caplog.text
