"""Synthetic Kinetics: one pose JSON and one H.264 video a recording, and the two label files."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manifests import read_facts
from toolkit.synthesis.defects import Defects, draw_defects, lay_down
from toolkit.synthesis.folder import Job, Tick, fill_folder
from toolkit.synthesis.latents import NAMES, SCENE, SKELETON, open_stream
from toolkit.synthesis.options import (
    Recording,
    SynthesisOptions,
    SynthesisReport,
    plan_recordings,
)
from toolkit.synthesis.poses import OPENPOSE_FIGURE, Poses, render_poses
from toolkit.synthesis.scene import iterate_frames, render_scene
from toolkit.video_file import H264, write_video

VIDEOS = "videos"
# What a file name promises, as in the real set; the video itself is shorter.
CLIP_S = 10
# The public data set has no test labels: what is not for training is for validation.
_SUBSETS = {"train": "train", "test": "val"}
_DIGITS = "0123456789"
_ID_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" + _DIGITS + "-_"


def synthesize_kinetics(
    out: Path, options: SynthesisOptions, tick: Tick | None = None
) -> SynthesisReport:
    """Write synthetic recordings in the Kinetics-skeleton format below ``out``.

    The classes are the first of the 30 Kinetics-Motion ones; the test recordings are called val.
    Raises ``PlanError`` when ``out`` holds other data.
    """
    recordings = [
        replace(recording, subset=_SUBSETS[recording.subset], name=name)
        for recording, name in zip(
            plan_recordings(options), iterate_ids(options.seed), strict=False
        )
    ]
    job = Job("kinetics", recordings, write_kinetics_recording, write_label_files)
    return fill_folder(out, options, job, tick)


@cache
def read_synthetic_classes() -> list[tuple[str, int]]:
    """Return name and place among the 400 of the classes that labels 0, 1, ... stand for."""
    places = {row["name"]: int(row["label"]) for row in read_facts("kinetics_classes")}
    names = [row["name"] for row in read_facts("kinetics_motion")]
    return [(name, places[name]) for name in names]


def iterate_ids(seed: int) -> Iterator[str]:
    """Yield 11-character ids without end, each once.

    Half of them are of the kinds that tools stumble over: a leading ``-`` or ``_`` (options,
    separators of the file name), digits alone, and what reads as a float (``12345678e05``).
    """
    taken = set()
    for number in count():
        name = _draw_id(number % 8, open_stream(seed, number, NAMES))
        if name not in taken:
            taken.add(name)
            yield name


def _draw_id(kind: int, rng: np.random.Generator) -> str:
    if kind == 0:
        return "-" + _draw_text(_ID_CHARACTERS, 10, rng)
    if kind == 1:
        return "_" + _draw_text(_ID_CHARACTERS, 10, rng)
    if kind == 2:
        return _draw_text(_DIGITS, 11, rng)
    if kind == 3:
        return _draw_text(_DIGITS, 8, rng) + "e" + _draw_text(_DIGITS, 2, rng)
    return _draw_text(_ID_CHARACTERS, 11, rng)


def _draw_text(characters: str, length: int, rng: np.random.Generator) -> str:
    return "".join(characters[i] for i in rng.integers(len(characters), size=length))


def write_kinetics_recording(out: Path, recording: Recording, options: SynthesisOptions) -> None:
    """Write the pose file and the video of one recording."""
    latents, seed, number = recording.latents, options.seed, recording.number
    poses = render_poses(
        OPENPOSE_FIGURE,
        latents.q,
        latents.a,
        open_stream(seed, number, SKELETON),
        n_frames=options.n_frames,
        occlusion=options.occlusion,
    )
    name, label_index = read_synthetic_classes()[recording.label]
    data = list_pose_frames(poses, draw_defects(options, number))
    folder = out / f"kinetics_{recording.subset}"
    folder.mkdir(exist_ok=True)
    content = {"data": data, "label": name, "label_index": label_index}
    (folder / f"{recording.name}.json").write_text(_dump(content), encoding="utf-8")

    rng = open_stream(seed, number, SCENE)
    picture = render_scene(latents.s, latents.p, options.sizes.P, options.size, rng)
    start = int(rng.integers(0, 200))
    video = out / VIDEOS / name / f"{recording.name}_{start:06}_{start + CLIP_S:06}.mp4"
    video.parent.mkdir(parents=True, exist_ok=True)
    write_video(video, iterate_frames(picture, options.n_frames, rng), H264)


def list_pose_frames(poses: Poses, defects: Defects) -> list[dict[str, Any]]:
    """Return the ``data`` list of a pose file, frames numbered from 1, three decimals."""
    phantom = _person(lay_down(OPENPOSE_FIGURE), np.full(18, 0.1))
    frames = []
    for frame, (xy, score) in enumerate(zip(poses.xy, poses.score, strict=True)):
        people = [] if frame in defects.gap else [_person(xy, score)]
        if people and frame in defects.phantom:
            people.insert(0 if defects.phantom_first else 1, phantom)
        frames.append({"frame_index": frame + 1, "skeleton": people})
    return frames


def _person(xy: NDArray[np.float64], score: NDArray[np.float64]) -> dict[str, list[float]]:
    return {"pose": xy.round(3).ravel().tolist(), "score": score.round(3).tolist()}


def write_label_files(out: Path, recordings: list[Recording]) -> None:
    """Write ``kinetics_train_label.json`` and ``kinetics_val_label.json``."""
    classes = read_synthetic_classes()
    for subset in _SUBSETS.values():
        labels = {}
        for recording in recordings:
            name, label_index = classes[recording.label]
            if recording.subset == subset:
                entry = {"has_skeleton": True, "label": name, "label_index": label_index}
                labels[recording.name] = entry
        (out / f"kinetics_{subset}_label.json").write_text(_dump(labels), encoding="utf-8")


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
