"""All that one shard holds, looked at: tables against the manifest, pictures, clips and windows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from toolkit import clips
from toolkit.errors import ShardError
from toolkit.shards.codec import Buffer, decode_picture
from toolkit.shards.frames import JpegFrames
from toolkit.shards.reader import ShardReader, Window
from toolkit.skeleton import SkeletonLayout

Row = Mapping[str, Any]

# The manifest rounds to a microsecond what the shard stores as 32-bit seconds.
_DRIFT_ROUNDING_MS = 6e-4
_DRIFT_PRECISION = 1e-6
_END_OF_JPEG = b"\xff\xd9"


def say_problem(path: Path, place: str, expected: object, found: object) -> str:
    """Return one problem in the words of a ``ShardError``, long values cut short."""
    return str(ShardError(path, place, expected=_short(expected), found=_short(found)))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def collect_problems(problems: Iterable[str]) -> list[str]:
    """Return all sentences, the last of them what stopped the search, if anything did."""
    out: list[str] = []
    try:
        for problem in problems:
            out.append(problem)
    except ShardError as error:
        out.append(str(error))
    return out


def iterate_shard_problems(
    path: Path, rows: Sequence[Row], layout: SkeletonLayout, *, pictures: bool
) -> Iterator[str]:
    """Yield a sentence for everything in a shard that is not as its usable manifest rows say.

    ``rows`` are those of status ok in the order they are stored.  Raises ``ShardError`` where the
    file cannot be read at all.
    """
    with ShardReader(path) as reader:
        told = {"layout": layout.name, "pictures": pictures, "samples": len(rows)}
        found = {
            "layout": layout.name if reader.layout == layout else f"another {reader.layout.name}",
            "pictures": reader.has_pictures,
            "samples": len(reader),
        }
        wrong = [name for name in told if told[name] != found[name]]
        yield from (say_problem(path, name, told[name], found[name]) for name in wrong)
        if wrong:
            return
        yield from _clip_problems(path)
        for number, row in enumerate(rows):
            sample = _Sample(path, row, reader.sample(number))
            yield from _index_problems(reader, number, sample)
            yield from _skeleton_problems(sample)
            yield from _video_problems(sample) if pictures else _no_video_problems(sample)
            yield from _picture_problems(sample)
            yield from _window_problems(reader, number, sample)


@dataclass(frozen=True)
class _Sample:
    """One stored sample and its manifest row."""

    path: Path
    row: Row
    window: Window

    def say(self, what: str, expected: object, found: object) -> str:
        return say_problem(self.path, f"sample {self.row['sample_id']}: {what}", expected, found)

    def say_frames(self, bad: NDArray[np.bool_], expected: object, found: object) -> Iterator[str]:
        """Yield one sentence for the frames marked in ``bad`` (T, ...), none without any."""
        frames = np.flatnonzero(bad.reshape(len(bad), -1).any(1))
        if len(frames):
            more = f" and {len(frames) - 1} more" if len(frames) > 1 else ""
            yield self.say(f"frame {frames[0]}{more}", expected, found)


def _clip_problems(path: Path) -> Iterator[str]:
    """Count for each frame the clips it is in, whoever cut them."""
    with h5py.File(path, "r", locking=False) as file:
        n_frames = len(file["frame/video_index"])
        start, n_valid = file["clip/start"][()], file["clip/n_valid"][()]
    change = np.zeros(n_frames + 1, np.int64)
    np.add.at(change, start, 1)
    np.add.at(change, start + n_valid, -1)
    n_clips = change.cumsum()[:-1]
    wrong = np.flatnonzero(n_clips != 1)
    if len(wrong):
        frame = int(wrong[0])
        yield say_problem(path, f"clip/start: frame {frame}", "one clip", f"{n_clips[frame]} clips")
    if (n_valid > clips.CLIP_LENGTH).any():
        clip = int(n_valid.argmax())
        wanted = f"at most {clips.CLIP_LENGTH} frames"
        yield say_problem(path, f"clip/n_valid: clip {clip}", wanted, n_valid[clip])


def _index_problems(reader: ShardReader, number: int, sample: _Sample) -> Iterator[str]:
    row = sample.row
    for what, expected, found in (
        ("id", row["sample_id"], reader.sample_ids[number]),
        ("label", row["label"], int(reader.labels[number])),
        ("number of frames", row["n_frames"], len(sample.window)),
        ("number of clips", row["n_clips"], len(reader.clips_of(number))),
    ):
        if expected != found:
            yield sample.say(what, expected, found)


def _skeleton_problems(sample: _Sample) -> Iterator[str]:
    window = sample.window
    absent = window.present == 0
    tables: dict[str, NDArray[Any]] = {
        "joints": window.joints,
        "pixels": window.pixels,
        "tracking": window.tracking,
    }
    yield from sample.say_frames(window.present > 1, "present 0 or 1", "another number")
    yield from sample.say_frames(window.tracking > 2, "tracking 0, 1 or 2", "another number")
    for name, table in tables.items():
        bodies = table.reshape(*absent.shape, -1)
        bad = ~np.isfinite(bodies)
        yield from sample.say_frames(bad, f"finite {name}", "NaN or infinity")
        filled = bodies.any(-1) & absent
        yield from sample.say_frames(filled, f"zero {name} of an absent body", "others")
    n_bodies, most = int((~absent).any(0).sum()), int(sample.row["n_bodies"])
    if not 1 <= n_bodies <= most:
        yield sample.say("bodies", f"1 to {most}", n_bodies)


def _video_problems(sample: _Sample) -> Iterator[str]:
    index, drift_s = sample.window.video_index, sample.window.drift_s
    n_video, told_ms = sample.row["video_frames"], sample.row["max_drift_ms"]
    outside = (index < 0) | (index >= n_video)
    yield from sample.say_frames(outside, f"video frames 0 to {n_video - 1}", "another")
    back = np.diff(index, prepend=index[:1]) < 0
    yield from sample.say_frames(back, "video frames in order", "an earlier one")
    worst_ms = float(np.abs(drift_s.astype(np.float64)).max()) * 1000
    if not abs(worst_ms - told_ms) <= _DRIFT_ROUNDING_MS + _DRIFT_PRECISION * worst_ms:
        yield sample.say("largest drift", f"{told_ms} ms", f"{worst_ms:.3f} ms")


def _no_video_problems(sample: _Sample) -> Iterator[str]:
    yield from sample.say_frames(sample.window.video_index != -1, "no video frame", "one")
    yield from sample.say_frames(sample.window.drift_s != 0, "no drift", "some")


def _picture_problems(sample: _Sample) -> Iterator[str]:
    """Decode every picture, a repeated one once; yield the first of each sample that is wrong."""
    wanted = f"a picture of {sample.row.get('width')}x{sample.row.get('height')}"
    frames, earlier = sample.window.frames, None
    for frame, stored in enumerate(frames.stored):
        try:
            found = wanted if stored == earlier else _look_at(frames[frame])
        except ShardError as error:
            yield str(error)
            return
        # A frame of H.264 means nothing without those before it.
        earlier = stored if isinstance(frames, JpegFrames) else None
        if found != wanted:
            yield sample.say(f"frame {frame}", wanted, found)
            return


def _look_at(stored: Buffer) -> str:
    """Return what a frame holds, in the words of what it should."""
    try:
        height, width, _ = decode_picture(stored).shape
    except ValueError as error:
        return str(error)
    # The decoder fills a truncated picture with grey and says nothing.
    if isinstance(stored, memoryview) and stored[-2:] != _END_OF_JPEG:
        return "a JPEG picture without its end"
    return f"a picture of {width}x{height}"


def _window_problems(reader: ShardReader, number: int, sample: _Sample) -> Iterator[str]:
    """Read the first and the last window as training does and compare them with the sample."""
    n_frames = len(sample.window)
    last = max(0, n_frames - clips.CLIP_LENGTH)
    order = clips.loop(0, min(clips.CLIP_LENGTH, n_frames))
    for start in sorted({0, last}):
        if not _is_same(reader.window(number, start), sample.window, start + order):
            yield sample.say(f"window from frame {start}", "the sample's own frames", "others")


def _is_same(window: Window, whole: Window, order: NDArray[np.int64]) -> bool:
    tables = ("joints", "present", "tracking", "pixels", "video_index", "drift_s")
    same = all(
        getattr(window, name).tobytes() == getattr(whole, name)[order].tobytes() for name in tables
    )
    stored = whole.frames.stored
    return same and list(window.frames.stored) == [stored[i] for i in order if stored]
