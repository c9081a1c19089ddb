import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from shard_builders import Recording
from tiny_runs import RECORDINGS, tiny_config, write_tiny_dataset

from toolkit.shards import DatasetReader, ShardError
from train.dataset_folder import find_run_dataset
from train.errors import CheckpointError, TrainError
from train.evaluate import EvaluationOptions, count_dropped, evaluate, evaluate_run, make_loader
from train.job import run_job
from train.pairing import shuffle_pairs
from train.request import Job
from train.saved_run import load_run

# Test samples of 3, 2, 3 clips of 8 frames, two of them dropped for different reasons.
DROPPED = (
    Recording("lost", 1, subset="test", reason="missing_video", detail="no video", listed=True),
    Recording("torn", 2, subset="test", reason="bad_skeleton", detail="line 3"),
    Recording("torn too", 2, subset="train", reason="bad_skeleton", detail="line 3"),
)
TEST = tuple(
    Recording(f"test{i}", label=i, n_frames=n, subset="test") for i, n in enumerate((20, 16, 23))
)
TRAIN = tuple(recording for recording in RECORDINGS if recording.subset == "train")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    return write_tiny_dataset(folder / "made", recordings=TRAIN + TEST + DROPPED)


@pytest.fixture(scope="module")
def run(tmp_path_factory, shards):
    """A cross-attention network after two epochs; it reads pictures and joints."""
    config = tiny_config({"optim.epochs": 2})
    return run_job(Job(config, shards, tmp_path_factory.mktemp("runs") / "tiny")).path


@pytest.fixture(scope="module")
def evaluation(run, shards):
    return evaluate_run(run, shards)


def score_by_hand(run, shards, change=lambda logits: logits.softmax(0)):
    """One clip at a time, averaged in a loop."""
    loaded = load_run(run)
    reader = loaded.open_dataset(shards)
    by_sample = {}
    with torch.inference_mode():
        for batch in make_loader(loaded, shards, reader.subset("xsub", "test"), OPTIONS):
            logits = loaded.forward(loaded.model, batch)[0]
            by_sample.setdefault(int(batch.sample), []).append(change(logits).numpy())
    names = reader.samples["sample_id"]
    return {names[sample]: np.mean(scores, 0) for sample, scores in by_sample.items()}


OPTIONS = EvaluationOptions(batch_size=1, workers=0)


def test_scores_are_averaged_over_all_clips(run, shards, evaluation):
    expected = score_by_hand(run, shards)
    assert evaluation.sample_ids == ("test0", "test1", "test2") == tuple(expected)
    assert np.allclose(evaluation.scores, list(expected.values()), atol=1e-6)
    assert np.allclose(evaluation.scores.sum(1), 1)
    assert evaluation.labels.tolist() == [0, 1, 2]


def test_logits_can_be_averaged(run, shards):
    expected = score_by_hand(run, shards, lambda logits: logits)
    found = evaluate_run(run, shards, EvaluationOptions(average="logits"))
    assert np.allclose(found.scores, list(expected.values()), atol=1e-6)


def test_every_clip_is_seen_once(run, shards):
    loaded = load_run(run)
    samples = DatasetReader(shards).subset("xsub", "test")
    seen = Counter()
    for batch in make_loader(loaded, shards, samples, EvaluationOptions(batch_size=3)):
        seen.update(zip(batch.sample.tolist(), batch.clip.tolist(), strict=True))
    assert len(seen) == 3 + 2 + 3
    assert set(seen.values()) == {1}


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (3, 0), (100, 1)])
def test_batch_size_and_workers_change_nothing(run, shards, evaluation, batch_size, workers):
    options = EvaluationOptions(batch_size=batch_size, workers=workers)
    found = evaluate_run(run, shards, options)
    # Matrix products of other sizes round differently in the last bits, and nothing else.
    assert np.allclose(found.scores, evaluation.scores, rtol=0, atol=1e-6)
    assert found.sample_ids == evaluation.sample_ids
    assert found.to_dict() == evaluation.to_dict()


def test_workers_alone_do_not_change_a_bit(run, shards):
    one, two = (
        evaluate_run(run, shards, EvaluationOptions(batch_size=3, workers=n)) for n in (0, 2)
    )
    assert np.array_equal(one.scores, two.scores)


def test_dropped_samples_are_counted_by_class(evaluation):
    assert evaluation.dropped.tolist() == [0, 1, 1]
    assert evaluation.top1_with_dropped == pytest.approx(evaluation.top1 * 3 / 5)


@pytest.mark.parametrize(("subset", "dropped"), [("train", [0, 0, 1]), ("validation", [0, 0, 0])])
def test_other_subsets_have_their_own(run, shards, subset, dropped):
    found = evaluate_run(run, shards, EvaluationOptions(subset=subset))
    assert found.dropped.tolist() == dropped
    assert all(name.startswith("train") for name in found.sample_ids)


def test_subsets_are_those_of_the_training(run, shards):
    parts = [
        evaluate_run(run, shards, EvaluationOptions(subset=subset)).sample_ids
        for subset in ("train", "validation")
    ]
    validation = json.loads((run / "environment.json").read_text())["starts"][0]["data"]
    assert [len(part) for part in parts] == [validation["train"], validation["validation"]]
    assert sorted(parts[0] + parts[1]) == sorted(r.sample_id for r in TRAIN)


def test_val_stands_in_for_a_test_subset(tmp_path):
    torn = Recording("torn", 2, subset="val", reason="bad_video", detail="cut")
    usable = (Recording("a", 0), Recording("b", 1, subset="val"))
    reader = DatasetReader(write_tiny_dataset(tmp_path / "made", recordings=(*usable, torn)))
    assert count_dropped(reader, "xsub", "test").tolist() == [0, 0, 1]
    assert count_dropped(reader, "xsub", "validation").tolist() == [0, 0, 0]


def test_val_beside_test_is_validation(tmp_path):
    recordings = (
        Recording("a", 0),
        Recording("b", 1, subset="test"),
        Recording("c", 1, subset="val", reason="bad_video", detail="cut"),
    )
    reader = DatasetReader(write_tiny_dataset(tmp_path / "made", recordings=recordings))
    assert count_dropped(reader, "xsub", "test").tolist() == [0, 0, 0]
    assert count_dropped(reader, "xsub", "validation").tolist() == [0, 1, 0]


def test_pictures_of_another_sample_change_what_the_network_sees(run, shards, evaluation):
    numbers = DatasetReader(shards).subset("xsub", "test").tolist()
    alone = dict(zip(numbers, numbers, strict=True))
    same = evaluate_run(run, shards, EvaluationOptions(pairing=alone))
    assert np.array_equal(same.scores, evaluation.scores)
    paired = evaluate_run(run, shards, EvaluationOptions(pairing={numbers[0]: numbers[2]}))
    assert paired.labels.tolist() == evaluation.labels.tolist()
    # The made recordings' frames differ in their numbers only, so another length shows.
    assert np.array_equal(paired.scores[1:], evaluation.scores[1:])
    assert not np.array_equal(paired.scores[0], evaluation.scores[0])


def test_shuffled_context_is_a_pairing(run, shards):
    numbers = DatasetReader(shards).subset("xsub", "test")
    pairing = shuffle_pairs(numbers, seed=5)
    expected = evaluate_run(run, shards, EvaluationOptions(pairing=pairing))
    found = evaluate_run(run, shards, EvaluationOptions(shuffle_context=5))
    assert np.array_equal(found.scores, expected.scores)


def test_checkpoints_are_told_apart(run):
    last, best = load_run(run, "last"), load_run(run, "best")
    assert last.checkpoint.name.startswith("step-")
    assert last.epoch == 2
    assert best.checkpoint.name == "best.pt"
    assert load_run(run, last.checkpoint).checkpoint == last.checkpoint


def test_the_moving_average_is_used_where_there_is_one(tmp_path, shards):
    config = tiny_config({"run.ema": 0.5, "optim.epochs": 1})
    folder = run_job(Job(config, shards, tmp_path / "ema"))
    saved = torch.load(folder.latest(), weights_only=True)
    loaded = load_run(folder.path).model.head.weight
    assert torch.equal(loaded, saved["ema"]["head.weight"])
    assert not torch.equal(loaded, saved["model"]["head.weight"])


def test_a_loaded_network_is_ready(run, shards):
    loaded = load_run(run)
    assert not loaded.model.training
    assert loaded.config.data.split == "xsub"
    assert find_run_dataset(loaded.folder) == shards


def test_a_missing_checkpoint_is_named(run):
    with pytest.raises(CheckpointError, match=r"nowhere\.pt does not exist; give last, best or a"):
        load_run(run, "nowhere.pt")


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        load_run(tmp_path / "none")
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        load_run(tmp_path)
    with pytest.raises(CheckpointError, match="never validated; use last"):
        load_run(tmp_path, "best")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": {}}, "weights of another network"),
        ({"config": {"optimum": {}}}, "settings that cannot be read: there is no setting optimum"),
        ({"data": {}}, "settings that cannot be read"),
    ],
)
def test_a_checkpoint_at_odds_with_itself_is_named(run, tmp_path, changes, sentence):
    state = torch.load(load_run(run).checkpoint, weights_only=True) | changes
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(CheckpointError, match=rf"odd\.pt holds {sentence}"):
        load_run(run, tmp_path / "odd.pt")


def test_shards_of_other_classes_are_refused(run, tmp_path):
    folder = write_tiny_dataset(tmp_path / "made")
    about = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(about | {"class_names": ["a", "b", "d"]}))
    with pytest.raises(CheckpointError, match="trained for 3 classes"):
        evaluate_run(run, folder)


def test_pictures_that_are_not_stored_are_missed(run, tmp_path):
    folder = write_tiny_dataset(tmp_path / "made", pictures=False)
    with pytest.raises(ShardError, match="expected stored pictures"):
        evaluate_run(run, folder)


def test_an_unknown_split_is_refused(run, shards):
    with pytest.raises(TrainError, match="has no split 'nil'; choose out of xsub, xview"):
        evaluate_run(run, shards, EvaluationOptions(split="nil"))


def test_a_split_without_test_samples_is_told(run, shards):
    with pytest.raises(TrainError, match="split xview has no usable test sample"):
        evaluate_run(run, shards, EvaluationOptions(split="xview"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"subset": "val"}, "subset must be one of test, validation, train; got 'val'"),
        ({"average": "max"}, "average must be one of softmax, logits"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"shuffle_context": 1, "pairing": {}}, "not both"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(EvaluationOptions(), **changes)


def test_the_command_writes_beside_the_run(run, evaluation):
    done = CliRunner().invoke(evaluate, [str(run)])
    assert done.exit_code == 0, done.output
    assert f"{evaluation.top1:.2%}" in done.stdout.splitlines()[2]
    found = json.loads((run / "evaluation.json").read_text())
    assert found == evaluation.to_dict()
    scores = pd.read_parquet(run / "scores.parquet")
    assert scores["predicted"].tolist() == evaluation.predicted.tolist()
    assert (run / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_writes_elsewhere_if_asked(run, shards, tmp_path):
    options = ["--shards", str(shards.parent), "--average", "logits", "--out", str(tmp_path / "x")]
    done = CliRunner().invoke(evaluate, [str(run), *options])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "x" / "evaluation.json").read_text())["average"] == "logits"
