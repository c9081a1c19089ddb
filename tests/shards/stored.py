"""Shard files whose every number tells where it belongs."""

from dataclasses import replace

import numpy as np
from shard_builders import encode_group

from toolkit.aligned import AlignedSample
from toolkit.readers.group_encoder import name_encoder
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
