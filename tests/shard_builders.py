"""Small finished data set folders made from numbers alone: no raw files, no decoding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from toolkit import clips
from toolkit.aligned import BODIES, AlignedSample, Codec
from toolkit.build.options import BuildOptions
from toolkit.build.plan import Plan, PlannedSample, make_plan
from toolkit.build.plan_file import write_plan
from toolkit.build.run import BuildSettings, run_build
from toolkit.readers.group_encoder import GroupEncoder, name_encoder
from toolkit.readers.picture import Planes
from toolkit.samples import DataSet, Sample
from toolkit.shards.codec import Picture, decode_picture, encode_picture
from toolkit.shards.files import sha256_of
from toolkit.shards.manifest import OK
from toolkit.shards.schema import SHARD_FOLDER
from toolkit.shards.sidecar import Sidecar, shard_path, write_sidecar
from toolkit.shards.writer import Coding, ShardWriter
from toolkit.skeleton import METRES, NTU25, SkeletonLayout, SkeletonSequence

CLASS_NAMES = ("drink water", "eat meal", "brush teeth")
FPS = 30.0
WIDTH, HEIGHT = 48, 32


@dataclass(frozen=True)
class Recording:
    """One planned recording; usable unless it has a reason.

    A ``listed`` reason is known from the listing alone, any other was found by a shard's worker.
    ``drift_ms`` is the drift of the last frame, all others have none.
    """

    sample_id: str
    label: int = 0
    n_frames: int = 20
    n_bodies: int = 1
    drift_ms: float = 0.0
    subset: str = "train"
    reason: str = ""
    detail: str = ""
    listed: bool = False


# 5 usable, 1 damaged, 1 without video; shard 0 holds a b, shard 1 d, shard 2 f g, none e.
RECORDINGS = (
    Recording("a", 0, 33, 1, 0.0, "train"),
    Recording("b", 1, 16, 2, 8.0, "test"),
    Recording("c", 1, reason="bad_skeleton", detail="c.skeleton: line 3: expected 25, found 24"),
    Recording("d", 0, 5, 1, 4.0, "test"),
    Recording("e", 1, reason="missing_video", detail="no e_rgb.avi lies below raw", listed=True),
    Recording("f", 0, 40, 2, 0.0, "train"),
    Recording("g", 1, 17, 1, 20.0, "train"),
)


@dataclass(frozen=True)
class MadeDataset:
    """What to build besides the recordings; ``finished=False`` leaves it as a killed build does."""

    layout: SkeletonLayout = NTU25
    pictures: bool = True
    codec: Codec = "jpeg"
    samples_per_shard: int = 2
    finished: bool = True


def write_dataset(
    folder: Path,
    recordings: Sequence[Recording] = RECORDINGS,
    made: MadeDataset = MadeDataset(),
) -> Path:
    """Write a data set folder as a build leaves it and return the folder."""
    plan = plan_dataset(recordings, made)
    (folder / SHARD_FOLDER).mkdir(parents=True)
    write_plan(plan, folder)
    named = {r.sample_id: r for r in recordings}
    shards = sorted(plan.shards().items())
    for number, planned in shards if made.finished else shards[:-1]:
        write_shard(folder, number, plan, [(row, named[row.sample_id]) for row in planned])
    if made.finished:
        run_build(plan, BuildSettings(folder), lambda rows: None)
    return folder


def plan_dataset(recordings: Sequence[Recording], made: MadeDataset) -> Plan:
    """Plan recordings that no files lie behind; each is in splits xsub and xview."""
    samples = [
        Sample(
            sample_id=r.sample_id,
            label=r.label,
            label_name=CLASS_NAMES[r.label],
            subsets={"xsub": r.subset, "xview": "train"},
            facts={"camera": 1, "youtube_id": f"-{r.sample_id}"},
            reason=r.reason if r.listed else None,
            detail=r.detail if r.listed else "",
        )
        for r in recordings
    ]
    data = DataSet("made", made.layout, CLASS_NAMES, ("xsub", "xview"), "xsub", tuple(samples))
    options = BuildOptions(
        source="ntu",
        align="frame",
        bodies="denoise",
        codec=made.codec,
        encoder=name_encoder(20) if made.codec == "h264" else "",
        skeleton_only=not made.pictures,
        samples_per_shard=made.samples_per_shard,
    )
    return make_plan(data, options)


def write_shard(
    folder: Path, number: int, plan: Plan, rows: Sequence[tuple[PlannedSample, Recording]]
) -> None:
    """Write one shard and its sidecar through the writer that every build uses."""
    path = shard_path(folder, number)
    pictures = not plan.header.options.skeleton_only
    out: list[dict[str, Any]] = []
    coding = Coding(plan.header.options.codec, plan.header.options.encoder)
    with ShardWriter(path, plan.header.layout, pictures=pictures, coding=coding) as writer:
        for planned, recording in rows:
            outcome: dict[str, Any] = {"status": recording.reason, "detail": recording.detail}
            if not recording.reason:
                n_stored = sum(row["status"] == OK for row in out)
                outcome = _store(writer, recording) | {"shard": number, "shard_row": n_stored}
            out.append({**planned.columns(), **outcome})
    sidecar = Sidecar(
        number, plan.fingerprints()[number], sha256_of(path), path.stat().st_size, out
    )
    write_sidecar(folder, sidecar)


def make_sample(recording: Recording, layout: SkeletonLayout, *, video: bool) -> AlignedSample:
    """Return random poses, the same for the same recording, with zeros for absent bodies."""
    T, V, C = recording.n_frames, layout.n_joints, len(layout.channels)
    rng = np.random.default_rng(sum(recording.sample_id.encode()))
    present = np.zeros((T, BODIES), bool)
    present[:, : recording.n_bodies] = True
    pixels = rng.uniform(0.2, 0.8, (T, BODIES, V, 2)).astype(np.float32)
    joints = rng.uniform(0.1, 0.9, (T, BODIES, V, C)).astype(np.float32)
    if layout.channels != METRES:
        joints[..., :2] = pixels
    tracking = np.full((T, BODIES, V), 2 if layout.channels == METRES else 0, np.uint8)
    for table in (pixels, joints, tracking):
        table[~present] = 0
    poses = SkeletonSequence(
        layout=layout,
        joints=joints,
        present=present,
        times=np.arange(T) / FPS,
        pixels=pixels,
        body_ids=np.array([7, 8]),
        tracking=tracking,
    )
    drift_s = np.zeros(T, np.float32)
    drift_s[-1] = recording.drift_ms / 1000
    video_index = np.arange(T, dtype=np.int32) if video else np.full(T, -1, np.int32)
    return AlignedSample(
        recording.sample_id, recording.label, poses, video_index, drift_s * np.float32(video)
    )


def make_pictures(n_frames: int) -> Iterator[bytes]:
    """Yield JPEGs of 48x32 pixels, frame t in a grey of 5 t."""
    for t in range(n_frames):
        yield encode_picture(np.full((HEIGHT, WIDTH, 3), 5 * t % 256, np.uint8))


def make_groups(n_frames: int) -> Iterator[bytes]:
    """Yield the same pictures as frames of H.264."""
    yield from encode_group([decode_picture(jpeg) for jpeg in make_pictures(n_frames)])


def yuv_planes(rgb: Picture) -> Planes:
    """Return a picture as a JPEG has it: full-range BT.601, 4:2:0."""
    luma, red, blue = cv2.split(cv2.cvtColor(rgb, cv2.COLOR_RGB2YCrCb))
    half = rgb.shape[1] // 2, rgb.shape[0] // 2
    return [luma, *(cv2.resize(c, half, interpolation=cv2.INTER_AREA) for c in (blue, red))]


def encode_group(pictures: Sequence[Picture], crf: int = 20) -> list[bytes]:
    """Return pictures as a stream of H.264, the bytes of each frame."""
    height, width, _ = pictures[0].shape
    encoder = GroupEncoder(width, height, crf)
    frames = [frame for rgb in pictures for frame in encoder.add(yuv_planes(rgb))]
    return [*frames, *encoder.finish()]


def _store(writer: ShardWriter, recording: Recording) -> dict[str, Any]:
    columns = {
        "status": OK,
        "detail": "",
        "n_frames": recording.n_frames,
        "n_clips": len(clips.tile(recording.n_frames)[0]),
        "n_bodies": recording.n_bodies,
    }
    if writer.pictures:
        with writer.sample_pictures() as add:
            make = make_pictures if writer.coding.codec == "jpeg" else make_groups
            for stored in make(recording.n_frames):
                add(stored)
        columns |= {"fps": FPS, "video_frames": recording.n_frames}
        columns |= {"max_drift_ms": recording.drift_ms, "width": WIDTH, "height": HEIGHT}
    sample = make_sample(recording, writer.layout, video=writer.pictures)
    writer.add(replace(sample, picture_size=(WIDTH, HEIGHT)))
    return columns
