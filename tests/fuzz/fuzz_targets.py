"""One function a reader: bytes in; its result, or its own one-line refusal, or a finding."""

import contextlib
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import fuzz_seeds as seeds
import numpy as np
import shard_builders

from toolkit.build.plan_file import read_plan
from toolkit.datasets.kinetics_labels import read_label_files, read_own_label, sort_json_files
from toolkit.datasets.openpose import list_openpose, read_layout
from toolkit.datasets.tables import find_id_fault
from toolkit.errors import FileError, ShardError, SkeletonFileError, TableError, VideoFileError
from toolkit.readers.kinetics_json import read_kinetics_json
from toolkit.readers.ntu_skeleton import read_ntu_skeleton
from toolkit.readers.openpose_json import read_openpose_file, read_openpose_folder
from toolkit.readers.pose_bytes import MAX_CELLS
from toolkit.readers.video import VideoReader
from toolkit.shards import DatasetReader, ShardReader, read_dataset_info, read_manifest
from toolkit.shards.codec import decode_picture
from toolkit.shards.h264 import Group, GroupFrames
from toolkit.shards.manifest import COLUMNS
from toolkit.shards.schema import DATASET_FILE, MANIFEST_FILE, PLAN_FILE
from toolkit.shards.sidecar import read_sidecar, shard_path, sidecar_path
from toolkit.skeleton import MAX_JOINTS, SkeletonSequence

# What a sentence may take up on a screen.
LONGEST_SENTENCE = 1100


class FindingError(AssertionError):
    """A reader took or said something it must not."""


# Of paths, which may hold any other character.
_CONTROLS = {*map(chr, range(32)), *map(chr, range(127, 160))}


@dataclass(frozen=True)
class Target:
    """A reader to attack.

    ``prepare`` fills an empty folder and returns valid inputs; ``read`` is called with the folder
    and one input, any number of times.  ``binary`` inputs are read by C libraries.
    """

    prepare: Callable[[Path], list[bytes]]
    read: Callable[[Path, bytes], None]
    binary: bool = False


def require(holds: object, what: str) -> None:
    """Raise a finding unless something holds."""
    if not holds:
        raise FindingError(what)


@contextlib.contextmanager
def refusing(kind: type[FileError], folder: Path) -> Iterator[None]:
    """Let errors of this kind pass if each is one short line that names a file in the folder."""
    try:
        yield
    except kind as error:
        sentence = str(error)
        require(sentence.startswith(str(folder)), f"no file is named: {sentence:.200}")
        require(sentence.isprintable(), f"not one line: {sentence!r:.200}")
        require(len(sentence) <= LONGEST_SENTENCE, f"{len(sentence)} characters: {sentence:.200}")


def check_sequence(poses: SkeletonSequence) -> None:
    """Check what a later stage relies on."""
    T, M, _, _ = poses.joints.shape
    require(T * M <= MAX_CELLS, f"{T} frames x {M} bodies")
    require(np.isfinite(poses.joints).all() and np.isfinite(poses.pixels).all(), "not finite")
    require((np.diff(poses.times) > 0).all(), "times that do not rise")
    require(not poses.pixels[~poses.present].any(), "pixels of an absent body")


def read_ntu(folder: Path, data: bytes) -> None:
    """Attack the reader of ``.skeleton`` files."""
    path = _put(folder / "S001C001P001R001A001.skeleton", data)
    with refusing(SkeletonFileError, folder):
        check_sequence(read_ntu_skeleton(path))


def read_kinetics(folder: Path, data: bytes) -> None:
    """Attack the reader of Kinetics-skeleton files."""
    path = _put(folder / "clip.json", data)
    with refusing(SkeletonFileError, folder):
        clip = read_kinetics_json(path)
        check_sequence(clip.sequence)
        require(clip.first_index in (0, 1) and 0 <= clip.n_gaps <= len(clip.sequence), "numbers")


def read_openpose(folder: Path, data: bytes) -> None:
    """Attack the reader of one OpenPose frame."""
    path = _put(folder / "frame.json", data)
    with refusing(SkeletonFileError, folder):
        check_sequence(read_openpose_file(path, picture=(340, 256)).sequence)


def read_folder(folder: Path, data: bytes) -> None:
    """Attack the reader of OpenPose folders, names included."""
    frames = folder / "frames"
    shutil.rmtree(frames, ignore_errors=True)
    frames.mkdir()
    lines = data.split(seeds.FOLDER_MARK)[:16]
    for name, content in zip(lines[::2], lines[1::2], strict=False):
        plain = name.replace(b"/", b"").replace(b"\0", b"").decode("utf-8", "replace")[:60]
        if plain not in ("", ".", ".."):
            _put(frames / plain, content)
    with refusing(SkeletonFileError, folder):
        check_sequence(read_openpose_folder(frames, picture=(340, 256)).sequence)


def read_table(folder: Path, data: bytes) -> None:
    """Attack the reader of tables of one's own recordings."""
    path = _put(folder / "table.csv", data)
    with refusing(TableError, folder):
        listed = list_openpose(path)
        for sample in listed.samples:
            require(not find_id_fault(sample.sample_id), f"id {sample.sample_id!r}")
            require(listed.class_names[sample.label] == sample.label_name, "another class")
            require(sample.label_name.isprintable(), f"class {sample.label_name!r}")
            require(not _CONTROLS & set(sample.detail), f"detail {sample.detail!r}")
        require(all(map(str.isprintable, listed.notices)), "a notice of several lines")


def read_labels(folder: Path, data: bytes) -> None:
    """Attack the readers of label files and of a pose file's own label."""
    path = _put(folder / "kinetics_train_label.json", data)
    sort_json_files([str(path)])
    own = read_own_label(str(path))
    require(own is None or (own.label + own.fault).isprintable(), f"own label {own}")
    with refusing(TableError, folder):
        entries, notices = read_label_files([path])
        for sample_id, entry in entries.items():
            require(not find_id_fault(sample_id), f"id {sample_id!r}")
            require(entry.label.isprintable() and entry.label, f"class {entry.label!r}")
            require(f"{entry.label_index!r:.20}", "an index that cannot be told")
        require(all(map(str.isprintable, notices)), "a notice of several lines")


def read_layout_file(folder: Path, data: bytes) -> None:
    """Attack the reader of layout files."""
    path = _put(folder / "layout.json", data)
    with refusing(TableError, folder):
        require(read_layout(path).n_joints <= MAX_JOINTS, "a giant")


def read_sidecar_file(folder: Path, data: bytes) -> None:
    """Attack the reader of sidecars."""
    _put(sidecar_path(folder, 0), data)
    with refusing(ShardError, folder):
        require(read_sidecar(folder, 0).shard == 0, "another shard")


def read_info(folder: Path, data: bytes) -> None:
    """Attack the reader of ``dataset.json``."""
    _put(folder / DATASET_FILE, data)
    with refusing(ShardError, folder):
        require(read_dataset_info(folder).layout.n_joints <= MAX_JOINTS, "a giant")


def read_manifest_file(folder: Path, data: bytes) -> None:
    """Attack the reader of manifests, and the one of whole data sets through it."""
    _put(folder / MANIFEST_FILE, data)
    with refusing(ShardError, folder):
        frame = read_manifest(folder)
        for name, kind in COLUMNS.items():
            require(str(frame[name].dtype) == kind, f"{name} is {frame[name].dtype}")
        with DatasetReader(folder) as reader:
            for sample in range(min(len(reader), 3)):
                reader.sample(sample)


def read_plan_file(folder: Path, data: bytes) -> None:
    """Attack the reader of plans."""
    _put(folder / PLAN_FILE, data)
    with refusing(ShardError, folder):
        plan = read_plan(folder)
        if plan is not None:
            plan.fingerprints()


def read_shard(folder: Path, data: bytes) -> None:
    """Attack the reader of shards."""
    path = _put(shard_path(folder, 0), data)
    with refusing(ShardError, folder), ShardReader(path) as reader:
        for sample in range(len(reader)):
            window = reader.window(sample, 0)
            require(len(window) == 16, f"{len(window)} frames")
            require(not reader.has_pictures or len(window.frames) == 16, "no pictures")
            if isinstance(window.frames, GroupFrames):
                require(window.pictures().shape[0] == 16, "pictures too few")
        for clip in range(min(reader.n_clips, 100)):
            reader.clip(clip)


def read_group(folder: Path, data: bytes) -> None:
    """Attack the decoder of groups of frames, behind a CRC-32 that is right."""
    packets = [memoryview(frame) for frame in data.split(seeds.FRAME_MARK)[:16] if frame]
    if not packets:
        return
    size = (shard_builders.WIDTH, shard_builders.HEIGHT)
    path = shard_path(folder, 0)
    group = Group(path, "a", 0, size, zlib.crc32(b"".join(packets)), packets)
    with refusing(ShardError, folder):
        pictures = group.decode(len(packets) // 2, len(packets))
        require(all(p.shape == (*size[::-1], 3) for p in pictures), "pictures of another size")
        require(len(pictures) == len(packets) - len(packets) // 2, "pictures too few")


def read_video(folder: Path, data: bytes) -> None:
    """Attack the reader of videos."""
    path = _put(folder / "clip.mp4", data)
    with refusing(VideoFileError, folder), VideoReader(path) as video:
        before = float("-inf")
        for frame in video:
            require(frame.time_s > before, "times that do not rise")
            before = frame.time_s


def read_picture(folder: Path, data: bytes) -> None:
    """Attack the decoder of stored pictures; ``folder`` is not used."""
    with contextlib.suppress(ValueError):
        require(decode_picture(data).ndim == 3, "not a colour picture")


def _put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _plain(contents: Callable[[], list[bytes]]) -> Callable[[Path], list[bytes]]:
    return lambda folder: contents()


def _of_dataset(name: str) -> Callable[[Path], list[bytes]]:
    def prepare(folder: Path) -> list[bytes]:
        folder.rmdir()
        seeds.write_dataset(folder)
        return [(folder / name).read_bytes()]

    return prepare


def _shards(folder: Path) -> list[bytes]:
    """Write data sets with frames of both kinds; the folder stays one of JPEGs."""
    other = folder.with_name(f"{folder.name}-h264")
    seeds.write_dataset(other, "h264")
    coded = (other / "shards/00000.h5").read_bytes()
    shutil.rmtree(other)
    return [*_of_dataset("shards/00000.h5")(folder), coded]


TARGETS = {
    "skeleton": Target(_plain(seeds.ntu_skeletons), read_ntu),
    "kinetics": Target(_plain(seeds.kinetics_files), read_kinetics),
    "openpose": Target(_plain(seeds.openpose_frames), read_openpose),
    "folder": Target(_plain(seeds.openpose_folders), read_folder),
    "table": Target(_plain(seeds.tables), read_table),
    "labels": Target(_plain(seeds.label_files), read_labels),
    "layout": Target(_plain(seeds.layout_files), read_layout_file),
    "sidecar": Target(_of_dataset("shards/00000.json"), read_sidecar_file),
    "dataset": Target(_of_dataset(DATASET_FILE), read_info),
    "manifest": Target(_of_dataset(MANIFEST_FILE), read_manifest_file, binary=True),
    "plan": Target(_of_dataset(PLAN_FILE), read_plan_file, binary=True),
    "shard": Target(_shards, read_shard, binary=True),
    "group": Target(_plain(seeds.groups), read_group, binary=True),
    "picture": Target(_plain(seeds.pictures), read_picture, binary=True),
    "video": Target(seeds.videos, read_video, binary=True),
}
