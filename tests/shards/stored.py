"""Shard files whose every number tells where it belongs."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
from shard_builders import encode_group

from toolkit.aligned import AlignedSample
from toolkit.errors import ShardError
from toolkit.readers.group_encoder import name_encoder
from toolkit.shards import ShardReader
from toolkit.shards.codec import encode_picture
from toolkit.shards.writer import Coding, ShardWriter
from toolkit.skeleton import NTU25, SkeletonSequence

# 103 frames in all: loops, exact clips, and a last clip of one frame.
LENGTHS = (3, 16, 40, 33, 11)


def value_of(sample, frame):
    """Return the number that marks a frame in every table."""
    return 100 * sample + frame


def grey_of(sample, frame):
    """Return the grey of a frame's picture, far enough from its neighbours' to survive JPEG."""
    return value_of(sample, frame) * 6 % 256


def marked_sample(sample, n_frames, layout=NTU25):
    """Return a sample of which every table holds ``value_of`` each frame."""
    marks = np.array([value_of(sample, t) for t in range(n_frames)])
    V, C = layout.n_joints, len(layout.channels)

    def spread(numbers, dtype, *rest):
        columns = numbers.reshape(-1, *[1] * len(rest))
        return np.broadcast_to(columns, (n_frames, *rest)).astype(dtype)

    poses = SkeletonSequence(
        layout=layout,
        joints=spread(marks, np.float32, 2, V, C),
        present=np.stack([marks % 2 == 0, marks % 3 == 0], axis=1),
        times=np.arange(n_frames) / 30,
        pixels=spread(marks / 1000, np.float32, 2, V, 2),
        body_ids=np.array([7, 8]),
        tracking=spread(marks % 3, np.uint8, 2, V),
    )
    drift_s = (marks / 1e4).astype(np.float32)
    return AlignedSample(f"s{sample}", sample + 10, poses, marks.astype(np.int32), drift_s)


def marked_jpeg(sample, frame):
    return encode_picture(np.full((16, 24, 3), grey_of(sample, frame), np.uint8))


def write_shard(path, lengths=LENGTHS, *, pictures=True, layout=NTU25):
    """Write samples of these lengths, sample i with id ``s<i>`` and label i + 10."""
    with ShardWriter(path, layout, pictures=pictures) as writer:
        for sample, n_frames in enumerate(lengths):
            if pictures:
                with writer.sample_pictures() as add:
                    for t in range(n_frames):
                        add(marked_jpeg(sample, t))
            writer.add(marked_sample(sample, n_frames, layout))
    return path


# Of H.264 frames: (width, height), and a grey for each frame that no neighbour comes near.
SIZE = (48, 32)
GREYS = tuple(20 + 5 * t for t in range(40))


def frame_rgb(frame):
    """Return a picture in the grey of a frame, with some texture."""
    texture = np.random.default_rng(frame).integers(-8, 9, (SIZE[1], SIZE[0], 1))
    return (GREYS[frame] + texture - texture.mean()).round().repeat(3, 2).astype(np.uint8)


def write_h264_shard(path, lengths=LENGTHS):
    """Write samples as ``write_shard`` does, frame t of each in grey ``GREYS[t]``."""
    coding = Coding("h264", name_encoder(20))
    with ShardWriter(path, NTU25, pictures=True, coding=coding) as writer:
        for sample, n_frames in enumerate(lengths):
            with writer.sample_pictures() as add:
                for frame in encode_group([frame_rgb(t) for t in range(n_frames)]):
                    add(frame)
            writer.add(replace(marked_sample(sample, n_frames), picture_size=SIZE))
    return path


def frames_of(window, sample):
    """Return the frame numbers that a window's tables say it holds; they must all agree."""
    frames = [round(v) - value_of(sample, 0) for v in window.joints[:, 0, 0, 0].tolist()]
    assert frames == [v - value_of(sample, 0) for v in window.video_index.tolist()]
    marks = np.array(frames) + value_of(sample, 0)
    np.testing.assert_array_equal(
        window.joints, np.broadcast_to(window.joints[:, :1, :1, :1], window.joints.shape)
    )
    np.testing.assert_array_equal(window.present, np.stack([marks % 2 == 0, marks % 3 == 0], 1))
    np.testing.assert_allclose(window.pixels[:, 1, 24, 1], marks / 1000, rtol=1e-6)
    np.testing.assert_allclose(window.drift_s, marks / 1e4, rtol=1e-6)
    np.testing.assert_array_equal(window.tracking[:, 1, 24], marks % 3)
    assert [bytes(j) for j in window.jpegs] == [marked_jpeg(sample, t) for t in frames]
    return frames


def refusal(path):
    """Return what a reader says of a shard, without the path; it must be refused."""
    with pytest.raises(ShardError) as caught, ShardReader(path) as reader:
        len(reader)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}: ")
    return sentence.removeprefix(f"{path}: ")


def replace_table(path, name, data, **storage):
    """Put another table in the place of one."""
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, data=data, **storage)


def table(path, name):
    with h5py.File(path) as file:
        return file[name][()]
