"""Run folders as a finished training leaves them, written by hand: no training, no torch model."""

import json

import numpy as np
from shard_builders import MadeDataset, Recording, write_dataset

from toolkit.shards import LAYOUTS, read_dataset_info
from train.config import read_recipe
from train.evaluation import Evaluation
from train.scores_file import write_scores

HOSTILE = "</script><img src=x onerror=alert(1)>"
NAMES = ("run", HOSTILE, "sit")
# Right, wrong with .9, right, wrong with .6, right; nothing of class 2 is answered.
LABELS = (0, 0, 1, 2, 1)
SCORES = ((0.7, 0.2, 0.1), (0.05, 0.9, 0.05), (0.3, 0.6, 0.1), (0.6, 0.2, 0.2), (0.1, 0.8, 0.1))
EPOCHS = (
    {"epoch": 1, "step": 2, "lr": 0.1, "loss": 2.0, "top1": 0.25, "val_loss": 2.5, "val_top1": 0.5},
    {"epoch": 2, "step": 4, "lr": 0.05, "loss": 1.5, "top1": 0.625},
    {"epoch": 3, "step": 6, "lr": 0.01, "loss": 0.125, "top1": 0.875, "val_loss": 1.25,
     "val_top1": 0.75},
)  # fmt: skip


def write_shards(folder):
    """Write the five evaluated recordings, the third of two bodies."""
    recordings = [
        Recording(f"s{i}", label % 3, n_frames=20, n_bodies=1 + (i == 3), subset="test")
        for i, label in enumerate(LABELS)
    ]
    return write_dataset(folder, recordings, MadeDataset(LAYOUTS["openpose18"]))


def write_run(folder, shards, *, names=NAMES, scores=SCORES):
    """Write config, environment, metrics and scores of a run on these shards."""
    folder.mkdir(parents=True)
    config = read_recipe("demo").replaced({"data.split": "xsub", "optim.lr": 0.25})
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    fingerprint = read_dataset_info(shards).fingerprint
    data = {"folder": str(shards), "name": "made", "fingerprint": fingerprint, "train": 8}
    start = {"command": "python -m train.run --recipe demo", "python": "3.12.1", "data": data}
    (folder / "environment.json").write_text(json.dumps({"starts": [start]}))
    records = [{"kind": "epoch", **epoch} for epoch in EPOCHS]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in records))
    evaluation = Evaluation(
        split="xsub",
        subset="test",
        average="softmax",
        class_names=names,
        sample_ids=tuple(f"s{i}" for i in range(len(LABELS))),
        labels=np.array(LABELS),
        scores=np.array(scores, np.float32),
        dropped=np.zeros(len(names), np.int64),
        source={"checkpoint": "step-000000006.pt", "fingerprint": fingerprint},
    )
    write_scores(evaluation, folder / "scores.parquet")
    (folder / "evaluation.json").write_text(json.dumps(evaluation.to_dict()))
    return folder
