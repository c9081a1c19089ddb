"""Small valid files of every format: what mutations start from."""

import json
from collections.abc import Iterable
from pathlib import Path

import builders
import numpy as np
import shard_builders
import video_builders

from toolkit.aligned import Codec
from toolkit.shards.codec import encode_picture
from toolkit.skeleton import FRACTIONS, SkeletonLayout

STICK = SkeletonLayout(
    name="stick5",
    joints=("head", "left hand", "right hand", "left foot", "right foot"),
    bones=((1, 0), (2, 0), (3, 0), (4, 0)),
    centre=0,
    pairs=((1, 2), (3, 4)),
    channels=FRACTIONS,
)
# One byte string for a whole folder: each file's name on a line, its content on the next.
FOLDER_MARK = b"\n"
# The folder of the fixture samples_dir: what runs outside pytest has no fixtures.
SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples"
_SMALL_BYTES = 20_000
# Between frames of H.264, which hold no three zeros in a row but at their beginning.
FRAME_MARK = b"\xff\0\0\0\xff"


def ntu_skeletons() -> list[bytes]:
    """Return recordings with no, one, two and changing bodies."""
    first, second = builders.NTU_ID, builders.NTU_ID + 1
    cases = ([[first], [first]], [[], [second], [first, second], []], [[]], [])
    return [builders.ntu_text(builders.ntu_frames(*case)).encode() for case in cases]


def kinetics_files() -> list[bytes]:
    """Return clips with gaps, nobody and two people, and one of five joints."""
    person, other = builders.pose_person(1), builders.pose_person(2)
    frames = [builders.kinetics_frame(i, people) for i, people in ((1, [person, other]), (4, []))]
    labelled = {"data": frames, "label": "hopscotch", "label_index": 151}
    return [_json(labelled), _json({"data": frames[:1]}), _json({"data": []})]


def openpose_frames() -> list[bytes]:
    """Return a frame of COCO-18, one of BODY_25 and one without people."""
    cases = ([builders.pose_person(1)], [builders.pose_person(2, 25)] * 2, [])
    return [
        _json({"version": 1.3, "people": [_openpose_person(joints) for joints in people]})
        for people in cases
    ]


def openpose_folders() -> list[bytes]:
    """Return folders of frames, one with a gap, as alternating lines of names and contents."""
    frames = openpose_frames()
    return [
        _folder((number, frames[0]) for number in (0, 1)),
        _folder([(1, frames[1]), (5, frames[2])]),
    ]


def tables() -> list[bytes]:
    """Return tables with and without optional columns, one with quoted cells."""
    return [
        b"id,label,split,poses,video\na,squat,train,p/a.json,v/a.mp4\nb,jump,test,p/b,v/b.mp4\n",
        b"id,label,label_index,split,split_fold1,poses,age\n"
        b'"a",9,1,train,test,"p/a, first.json",\n"b",10,0,,val,p/b.json,3\n',
    ]


def label_files() -> list[bytes]:
    """Return label files of two ids, one of them like a number."""
    entry = {"has_skeleton": True, "label": "hopscotch", "label_index": 151}
    other = {"has_skeleton": False, "label": "deadlifting", "label_index": 88}
    return [_json({"-abcdefghij": entry, "1e5": other}), _json({"a": {"label": "x"}})]


def layout_files() -> list[bytes]:
    """Return a layout with and without what is optional."""
    whole = STICK.to_dict()
    return [_json(whole), _json({k: v for k, v in whole.items() if k not in ("pairs", "channels")})]


def write_dataset(folder: Path, codec: Codec = "jpeg") -> None:
    """Write a finished data set of few frames and joints, so that mutations hit what counts."""
    recordings = (
        shard_builders.Recording("a", 0, 3, 1),
        shard_builders.Recording("b", 1, 18, 2, subset="test"),
        shard_builders.Recording("c", 1, reason="bad_skeleton", detail="c: line 3: damaged"),
    )
    made = shard_builders.MadeDataset(layout=STICK, codec=codec, samples_per_shard=4)
    shard_builders.write_dataset(folder, recordings, made)


def videos(folder: Path) -> list[bytes]:
    """Return short videos of the usual containers and codecs."""
    pictures = video_builders.textured_pictures(6, 64, 48)
    recipes = {"a.avi": video_builders.XVID, "a.mp4": video_builders.H264}
    recipes["a.mkv"] = video_builders.H264
    paths = [video_builders.write_video(folder / n, pictures, r) for n, r in recipes.items()]
    contents = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    return [*contents, *real_videos()]


def real_videos() -> list[bytes]:
    """Return the small ones of the real videos where they lie beside the checkout, else none."""
    paths = sorted(path for path in SAMPLES.glob("videos/*") if path.is_file())
    return [path.read_bytes() for path in paths if path.stat().st_size <= _SMALL_BYTES]


def groups() -> list[bytes]:
    """Return frames of H.264, a mark after each: a group of greys, and one of noise."""
    size = (shard_builders.HEIGHT, shard_builders.WIDTH, 3)
    noise = list(np.random.default_rng(3).integers(0, 256, (4, *size), dtype=np.uint8))
    streams = [shard_builders.make_groups(16), shard_builders.encode_group(noise, crf=40)]
    return [FRAME_MARK.join(stream) for stream in streams]


def pictures() -> list[bytes]:
    """Return JPEGs of one grey and of noise."""
    noise = np.random.default_rng(3).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    return [encode_picture(rgb) for rgb in (np.full((16, 24, 3), 90, np.uint8), noise)]


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _openpose_person(joints) -> dict:
    return {"person_id": [-1], "pose_keypoints_2d": joints.ravel().tolist()}


def _folder(frames: Iterable[tuple[int, bytes]]) -> bytes:
    lines = [part for n, content in frames for part in (b"clip_%012d_keypoints.json" % n, content)]
    return FOLDER_MARK.join(lines)
