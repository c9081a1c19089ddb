"""End to end: raw recordings to a data set by the command, and shards to a trained network.

    python tests/benchmarks/bench_end.py [--rounds 3]

Extraction: recordings with XviD videos of 1280x720 by ``ctxtool extract-ntu --jobs 1``, its start
and its checks included, against a script that parses line by line and writes JPEG files, and
against decoding alone.  Training: epochs of a small network on one thread, against its plain form
fed from JPEG files, and against steps on one batch in memory.  Rates are per CPU second.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import torch
from bench_loader import FILES, N_SAMPLES, Rival, Stored, store
from bench_parse import loop_over_lines
from bench_video import decode_only
from timing import Names, Row, measure, print_table, read_cpu_s, summarise
from torch.utils.data import DataLoader
from video_peers import store_rawframes

from train.batch import Batch, Clip, collate
from train.config import TrainConfig
from train.distributed import open_world
from train.learner import Learner
from train.prepare import make_loaders, prepare

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from running import CTXTOOL

# Recordings that are drawn, and how often each is there under another setup's name.
N_TRAIN, N_TEST, N_COPIES, SIZE = 3, 1, 6, "1280x720"
SCRIPT, DECODE = "script: line loop, rawframes by cv2", "decoding alone"
PLAIN, MEMORY = "plain network, JPEG files", "steps on one batch"
PIXELS, BATCH = 56, 16
SETTINGS = {
    "data.frame_size": PIXELS,
    "model.width": 16,
    "model.context_width": 16,
    "run.batch_size": BATCH,
    "run.workers": 0,
    "run.device": "cpu",
    "run.missing_classes": "allow",
    "data.validation_share": 0.0,
}


def run_command(*arguments: object) -> None:
    subprocess.run([*CTXTOOL, *map(str, arguments)], check=True, capture_output=True)


def extraction(folder: Path) -> dict[str, Callable[[], int]]:
    """Return the ways to turn raw recordings into samples."""
    raw, numbers = folder / "raw", count()
    size = ("--train", N_TRAIN, "--test", N_TEST, "--frames", 64, "--size", SIZE)
    run_command("synthesize", "ntu", "--out", raw, *size, "--jobs", 1)
    multiply(raw)
    videos = sorted(raw.rglob("*.avi"))
    (folder / "frames").mkdir()

    def extract() -> int:
        out = folder / f"out{next(numbers)}"
        run_command("extract-ntu", "--raw", raw, "--out", out, "--jobs", 1)
        return len(videos)

    def by_script() -> int:
        for video in videos:
            name = video.name.removesuffix("_rgb.avi")
            poses = loop_over_lines(next(raw.rglob(f"{name}.skeleton")))
            np.savez(folder / f"{name}.npz", *poses.values())
            store_rawframes(video, folder / "frames", (228, 128))
        return len(videos)

    def decode() -> int:
        return len([decode_only(video) for video in videos])

    return {"extract": extract, SCRIPT: by_script, DECODE: decode}


def multiply(raw: Path) -> None:
    """Link every recording under the names of further setups."""
    for path in [*raw.rglob("S*.avi"), *raw.rglob("S*.skeleton")]:
        for setup in range(11, 10 + N_COPIES):
            os.link(path, path.with_name(f"S{setup:03d}{path.name[4:]}"))


def train_epoch(learner: Learner, batches: Iterator[Batch]) -> int:
    """Take a step on each batch; return the number of clips."""
    n_clips = 0
    for batch in batches:
        learner.backward(batch, len(batch), is_last=True)
        learner.update(0.01)
        n_clips += len(batch)
    return n_clips


def read_files(stored: Stored) -> Iterator[Batch]:
    rival = Rival(stored, FILES, PIXELS)
    present = torch.ones(16, 2, dtype=torch.bool)
    for items in DataLoader(rival, BATCH, shuffle=True, collate_fn=list):
        yield collate([Clip(j, present, label, 0, rgb=rgb) for rgb, j, label in items])


def training(stored: Stored) -> dict[str, Callable[[], int]]:
    """Return the ways to train for an epoch."""
    config = TrainConfig().replaced(SETTINGS)
    plain_config = config.replaced({"model.attention.form": "naive"})
    with open_world("cpu") as world:
        prepared = prepare(config, stored.shards)
        learner = Learner(prepared, world)
        plain = Learner(prepare(plain_config, stored.shards), world)
        loader, _, _ = make_loaders(prepared, world)
    batch = next(iter(loader))
    n_steps = N_SAMPLES // BATCH
    return {
        "train": lambda: train_epoch(learner, iter(loader)),
        PLAIN: lambda: train_epoch(plain, read_files(stored)),
        MEMORY: lambda: train_epoch(learner, iter([batch] * n_steps)),
    }


def bench(rounds: int = 3) -> list[Row]:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    clocked = partial(measure, rounds=rounds, clock=read_cpu_s)
    with tempfile.TemporaryDirectory() as name:
        extracting = clocked(extraction(Path(name)))
    print_table("raw recordings to shards", extracting, peer=SCRIPT, unit="samples/CPU s")
    with tempfile.TemporaryDirectory() as name:
        learning = clocked(training(store(Path(name))))
    print_table("shards to a network", learning, peer=PLAIN, unit="clips/CPU s")
    return [
        summarise(
            "extract-ntu", extracting, Names("extract", SCRIPT, DECODE), unit="samples/CPU s"
        ),
        summarise("training", learning, Names("train", PLAIN, MEMORY), unit="clips/CPU s"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    bench(parser.parse_args().rounds)


if __name__ == "__main__":
    main()
