"""Synthetic NTU RGB+D: ``.skeleton`` text and XviD video under names that every split can use."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from manifests import read_facts
from toolkit.datasets.ntu import NtuName, read_listed_missing
from toolkit.synthesis.defects import Defects, draw_defects, lay_down
from toolkit.synthesis.folder import Job, Tick, fill_folder
from toolkit.synthesis.latents import SCENE, SKELETON, open_stream
from toolkit.synthesis.options import (
    Recording,
    SynthesisOptions,
    SynthesisReport,
    plan_recordings,
)
from toolkit.synthesis.poses import NTU_FIGURE, Poses, render_poses
from toolkit.synthesis.scene import iterate_frames, render_scene
from toolkit.video_file import XVID, write_video

# The folders of the real release.
SKELETONS = "nturgb+d_skeletons"
VIDEOS = "nturgb+d_rgb"

_N_CAMERAS, _N_SETUPS, _N_REPLICATIONS = 3, 17, 2
_FIRST_BODY_ID = 72057594037927936
_METRES = 1.8
_DEPTH_M = 3.0
# Focal length and centre of the depth (512 x 424) and colour (1920 x 1080) pictures, in pixels.
_DEPTH_CAMERA = 366.0, (256.0, 212.0)
_COLOUR_CAMERA = 1063.0, (960.0, 540.0)

_JOINT_LINE = " ".join(["%.7G"] * 12)
_BODY_LINES = "\n".join(["%d 0 %d %d %d %d 0 %.7G %.7G 2", "25", *[_JOINT_LINE] * 25])

Joints = NDArray[np.float64]


def synthesize_ntu(
    out: Path, options: SynthesisOptions, tick: Tick | None = None
) -> SynthesisReport:
    """Write synthetic recordings in the raw NTU format below ``out``; the action is label + 1.

    ``options.n_train`` of them are by training subjects of the xsub split; cameras and setups go
    round, so that xview and xset have both subsets too.  Raises ``PlanError`` when ``out`` holds
    other data, ``ValueError`` when there are not enough names for a class.
    """
    recordings = name_recordings(plan_recordings(options))
    return fill_folder(out, options, Job("ntu", recordings, write_ntu_recording), tick)


def name_recordings(recordings: list[Recording]) -> list[Recording]:
    """Give each recording a name of its own, none of those the authors list as missing."""
    taken = set(read_listed_missing("ntu120"))
    subjects = {
        subset: [int(r["subject"]) for r in read_facts("ntu_subjects") if r["ntu60_xsub"] == subset]
        for subset in ("train", "test")
    }
    named, counts = [], dict.fromkeys(subjects, 0)
    for recording in recordings:
        name = _find_name(recording, subjects[recording.subset], counts[recording.subset], taken)
        taken.add(name)
        counts[recording.subset] += 1
        named.append(replace(recording, name=name))
    return named


def _find_name(recording: Recording, subjects: list[int], start: int, taken: set[str]) -> str:
    """Return the first free name from the ``start``-th on.

    3 cameras, 17 setups and 20 subjects have no common divisor: counting all of them on together
    meets every combination once.
    """
    n_combinations = _N_CAMERAS * _N_SETUPS * len(subjects)
    n_names = n_combinations * _N_REPLICATIONS
    for place in range(start, start + n_names):
        number = place % n_names
        name = str(
            NtuName(
                setup=1 + number % _N_SETUPS,
                camera=1 + number % _N_CAMERAS,
                subject=subjects[number % len(subjects)],
                replication=1 + number // n_combinations,
                action=1 + recording.label,
            )
        )
        if name not in taken:
            return name
    raise ValueError(f"class {recording.label}: more {recording.subset} recordings than names")


def write_ntu_recording(out: Path, recording: Recording, options: SynthesisOptions) -> None:
    """Write the ``.skeleton`` file and the video of one recording."""
    latents, seed, number = recording.latents, options.seed, recording.number
    rng = open_stream(seed, number, SKELETON)
    poses = render_poses(
        NTU_FIGURE,
        latents.q,
        latents.a,
        rng,
        n_frames=options.n_frames,
        occlusion=options.occlusion,
    )
    text = format_skeleton(_joint_rows(poses, rng), draw_defects(options, number), rng)
    (out / SKELETONS).mkdir(exist_ok=True)
    (out / SKELETONS / f"{recording.name}.skeleton").write_text(text, newline="\n")
    rng = open_stream(seed, number, SCENE)
    picture = render_scene(latents.s, latents.p, options.sizes.P, options.size, rng)
    (out / VIDEOS).mkdir(exist_ok=True)
    video = out / VIDEOS / f"{recording.name}_rgb.avi"
    write_video(video, iterate_frames(picture, options.n_frames, rng), XVID)


def _joint_rows(poses: Poses, rng: np.random.Generator) -> Joints:
    """Return the 12 columns of every joint, (T, 25, 12), of a person at about 3 m."""
    jitter = rng.normal(0, 0.01, poses.score.shape)
    depth = _DEPTH_M * rng.uniform(0.9, 1.1) + jitter
    turn = rng.standard_normal((1, 25, 4))
    turn = turn / np.linalg.norm(turn, axis=-1, keepdims=True)
    state = np.where(poses.occluded, 1.0, 2.0)
    return _project(poses.xy, depth, turn, state)


def _project(xy: Joints, depth: Joints, turn: Joints, state: Joints) -> Joints:
    """Return x y z in metres (y up), depth and colour pixels by pinholes, rotation and state."""
    metres = (xy - 0.5) * _METRES
    rows = np.empty((*depth.shape, 12))
    rows[..., :3] = np.stack([metres[..., 0], -metres[..., 1], depth], axis=-1)
    for column, (focal, centre) in ((3, _DEPTH_CAMERA), (5, _COLOUR_CAMERA)):
        rows[..., column : column + 2] = centre + focal * metres / depth[..., None]
    rows[..., 7:11] = turn
    rows[..., 11] = state
    return rows


def format_skeleton(rows: Joints, defects: Defects, rng: np.random.Generator) -> str:
    """Return the text of a ``.skeleton`` file whose person has the joints ``rows`` (T, 25, 12)."""
    body_id = _FIRST_BODY_ID + int(rng.integers(1000, 20000))
    lean = rng.uniform(-0.1, 0.1, 2).tolist()
    phantom_rows = _project(
        lay_down(NTU_FIGURE), np.full(25, _DEPTH_M), np.zeros((25, 4)), np.ones(25)
    )
    blocks = [str(len(rows))]
    for frame, row in enumerate(rows):
        bodies = [] if frame in defects.gap else [_body_text(body_id, lean, row)]
        if bodies and frame in defects.phantom:
            # Ids differ by one: as floats they would be the same body.
            phantom = _body_text(body_id + 1, [0.0, 0.0], phantom_rows)
            bodies.insert(0 if defects.phantom_first else 1, phantom)
        blocks += [str(len(bodies)), *bodies]
    return "\n".join(blocks) + "\n"


def _body_text(body_id: int, lean: list[float], row: Joints) -> str:
    return _BODY_LINES % (body_id, 1, 1, 1, 1, *lean, *row.ravel().tolist())
