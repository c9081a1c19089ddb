"""Evaluations from a few numbers, worked out by hand."""

import json
from pathlib import Path

import numpy as np

from train.evaluation import Evaluation

NAMES = ("run", "jump", "sit")


# Right, right, wrong (1 for 0), right; of class 2 nothing is evaluated.
LABELS = [0, 0, 0, 1]
SCORES = [[0.7, 0.2, 0.1], [0.5, 0.1, 0.4], [0.3, 0.6, 0.1], [0.1, 0.8, 0.1]]


def make_evaluation(labels=LABELS, scores=SCORES, dropped=(0, 0, 0), **changes):
    """Return an evaluation of samples s0, s1, ... in the classes run, jump and sit."""
    fields = {
        "split": "xsub",
        "subset": "test",
        "average": "softmax",
        "class_names": NAMES,
        "sample_ids": tuple(f"s{i}" for i in range(len(labels))),
        "labels": np.array(labels, np.int64),
        "scores": np.array(scores, np.float32),
        "dropped": np.array(dropped, np.int64),
        "source": {"run": "r"},
    }
    return Evaluation(**(fields | changes))


def write_finished(out, config, top1, fingerprint):
    """Write what a finished and evaluated training leaves, as far as an ablation asks for it."""
    folder = Path(out)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    (folder / "checkpoints" / "step-000000007.pt").touch()
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    figures = {"top1": top1, "top5": 1.0, "n_samples": 512, "subset": "test"}
    found = {"checkpoint": "step-000000007.pt", "average": "softmax", "split": config.data.split}
    found["fingerprint"] = fingerprint
    (folder / "evaluation.json").write_text(json.dumps(figures | found))
    (folder / "result.json").write_text("{}")
