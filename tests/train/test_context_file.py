import pickle

import h5py
import numpy as np
import pytest
import torch

from toolkit.shards import DatasetReader, ShardError
from train.context_file import ContextFile, write_context_file
from train.data import DataConfig, EvalClips, TrainClips
from train.loader import LoaderOptions, make_train_loader
from train.sampling import Key

N_FRAMES = {"a": 33, "b": 16, "d": 5, "f": 40, "g": 17}
K, M = 3, 4
FALLING = np.array([0, 33, 32, 54, 94, 111])
NOT_UTF8 = np.array([b"\xff"] * 5)


def features(n_rows, base=0, dtype=np.float32):
    """Row j is filled with base + j."""
    return np.broadcast_to((base + np.arange(n_rows))[:, None, None], (n_rows, K, M)).astype(dtype)


def write(path, s=1, dtype=np.float32, **changes):
    rows = {name: -(-n // s) for name, n in N_FRAMES.items()} | changes
    pairs = [(name, features(n, 100 * i, dtype)) for i, (name, n) in enumerate(rows.items()) if n]
    write_context_file(path, pairs, s)
    return path


def first_values(context):
    assert (context == context[:, :1, :1]).all()
    return context[:, 0, 0].tolist()


def test_each_frame_gets_its_row(dataset, tmp_path):
    path = write(tmp_path / "features.h5")
    context = ContextFile(path, DatasetReader(dataset), range(5))
    assert (context.shape, context.frames_per_row) == ((K, M), 1)
    assert first_values(context.read(0, np.arange(3, 19))) == list(range(3, 19))
    assert first_values(context.read(3, np.array([38, 39, 38, 39]))) == [338, 339, 338, 339]


@pytest.mark.parametrize(
    ("s", "start", "rows"),
    [
        # Middle frames 2, 6, 10, 14 of the clip, each in the row of 4 frames that holds it.
        (4, 0, [0, 1, 2, 3]),
        (4, 1, [0, 1, 2, 3]),
        (4, 2, [1, 2, 3, 4]),
        (4, 23, [6, 7, 8, 9]),
        # Middle frames 2, 7, 12 and, of the single one left over, the last frame 15.
        (5, 0, [0, 1, 2, 3]),
        (16, 7, [0]),
        (16, 8, [1]),
    ],
)
def test_rows_of_several_frames_are_those_nearest_in_time(dataset, tmp_path, s, start, rows):
    path = write(tmp_path / "features.h5", s)
    context = ContextFile(path, DatasetReader(dataset), [3])
    found = context.read(3, start + context.places(16))
    assert first_values(found) == [300 + row for row in rows]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_features_come_back_as_float32(dataset, tmp_path, dtype):
    path = write(tmp_path / "features.h5", dtype=dtype)
    with h5py.File(path) as file:
        assert file["data"].dtype == (np.float16 if dtype == np.float16 else np.float32)
    found = ContextFile(path, DatasetReader(dataset), [0]).read(0, np.arange(2))
    assert found.dtype == np.float32


def clips_with(kind, dataset, path, *args):
    return kind(dataset, range(5), DataConfig(context_file=str(path)), *args)


def test_clips_carry_context_in_place_of_pictures(dataset, tmp_path):
    clips = clips_with(EvalClips, dataset, write(tmp_path / "features.h5"))
    assert clips[1].rgb is None
    assert first_values(clips[1].context) == list(range(16, 32))


def test_context_belongs_to_the_frames_of_the_joints(dataset, tmp_path):
    clips = clips_with(TrainClips, dataset, write(tmp_path / "features.h5"), 0)
    stored = DatasetReader(dataset).sample(3).joints
    for epoch in range(4):
        clip = clips[Key(epoch, 3)]
        frames = [int(value) - 300 for value in first_values(clip.context)]
        assert np.array_equal(clip.joints.numpy(), stored[frames].transpose(3, 0, 2, 1))


def test_context_of_a_short_sample_loops_or_ends_in_zeros(dataset, tmp_path):
    path = str(write(tmp_path / "features.h5"))
    loop, zero = (
        EvalClips(dataset, [2], DataConfig(context_file=path, short=short))[0].context
        for short in ("loop", "zero")
    )
    assert first_values(loop) == [200 + i % 5 for i in range(16)]
    assert first_values(zero) == [200, 201, 202, 203, 204, *[0] * 11]


def test_workers_read_context_too(dataset, tmp_path):
    config = DataConfig(context_file=str(write(tmp_path / "features.h5")))
    for workers in (0, 2):
        loader, _ = make_train_loader(dataset, range(5), config, LoaderOptions(5, workers))
        (batch,) = loader
        assert batch.context.shape == (5, 16, K, M)
        assert torch.equal((batch.context[:, 0, 0, 0] / 100).floor().long(), batch.sample)


def damage_rows_of_a(path):
    """Let the rows 0 to 19, all of sample a, fail their checksum."""
    with h5py.File(path, "r+") as file:
        values = file["data"][()]
        del file["data"]
        file.create_dataset("data", data=values, chunks=(20, K, M), fletcher32=True)
        offset = file["data"].id.get_chunk_info(0).byte_offset
    with path.open("r+b") as raw:
        raw.seek(offset)
        raw.write(b"damage")


def spoil_rows_of_a(path):
    with h5py.File(path, "r+") as file:
        file["data"][3, 1, 2] = np.nan


@pytest.mark.parametrize("spoil", [damage_rows_of_a, spoil_rows_of_a])
def test_features_that_cannot_be_used_are_named(dataset, tmp_path, spoil):
    path = write(tmp_path / "features.h5")
    spoil(path)
    clips = clips_with(EvalClips, dataset, path)
    sentence = r"features\.h5: sample a, rows 0 to 15: expected finite numbers"
    with pytest.raises(ShardError, match=sentence):
        clips[0]
    assert clips[3].sample == 1


def test_a_sample_without_usable_features_can_be_skipped(dataset, tmp_path):
    path = write(tmp_path / "features.h5")
    spoil_rows_of_a(path)
    config = DataConfig(context_file=str(path), clip_length=33)
    options = LoaderOptions(batch_size=5, skip_bad=True)
    (batch,) = make_train_loader(dataset, range(5), config, options)[0]
    assert dict(zip(batch.sample.tolist(), batch.weight.tolist(), strict=True)) == {
        0: 0, 1: 1, 2: 1, 3: 1, 4: 1
    }  # fmt: skip
    assert batch.context.isfinite().all()


def test_an_open_file_is_not_sent(dataset, tmp_path):
    context = ContextFile(write(tmp_path / "features.h5"), DatasetReader(dataset), [0])
    context.read(0, np.arange(2))
    again = pickle.loads(pickle.dumps(context))
    assert first_values(again.read(0, np.arange(2))) == [0, 1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"d": 0}, "sample d: expected 5 rows of features, found 0"),
        ({"f": 41}, "sample f: expected 40 rows of features, found 41"),
    ],
)
def test_features_that_do_not_fit_the_data_set(dataset, tmp_path, change, sentence):
    path = write(tmp_path / "features.h5", **change)
    with pytest.raises(ShardError, match=sentence):
        clips_with(EvalClips, dataset, path)


def damage(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def replace(file, name, content):
    del file[name]
    file[name] = content


def claim(file, chunks):
    """Ask for a huge table of which not a byte is stored."""
    del file["data"]
    file.create_dataset("data", (1 << 40, 2, 3), "f4", chunks=chunks)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda f: f.attrs.modify("format", "other"), "format: expected ctxtool-context version 1"),
        (lambda f: f.attrs.modify("format_version", 2), "found ctxtool-context version 2"),
        (lambda f: f.attrs.modify("frames_per_row", 0), "expected tables that fit"),
        (lambda f: f.pop("data"), "data: expected a table in this file, found nothing"),
        (lambda f: replace(f, "data", h5py.ExternalLink("x.h5", "d")), "a link elsewhere"),
        (lambda f: replace(f, "sample", h5py.SoftLink("/data")), "sample/id: expected a table"),
        (lambda f: replace(f, "data", np.zeros((111, 2, 3), "i4")), "data: expected 3 axes"),
        (lambda f: replace(f, "sample/id", ["a", "b"]), "sample/id: expected 1 axes of kind 'S'"),
        (
            lambda f: replace(f, "sample/id", NOT_UTF8),
            "content: expected all tables",
        ),
        (lambda f: replace(f, "sample/row", [0, 9, 4]), "expected tables that fit"),
        (
            lambda f: f["sample/row"].write_direct(FALLING),
            "sample/row: expected rising",
        ),
        (lambda f: claim(f, chunks=(1 << 24, 2, 3)), "at most 67108864 bytes at once"),
        (lambda f: f.attrs.pop("frames_per_row"), "content: expected all tables"),
        (lambda f: f["data"].resize(7, axis=0), "sample/row: expected rising numbers from 0 to 7"),
    ],
)
def test_a_file_that_is_none(dataset, tmp_path, change, sentence):
    path = write(tmp_path / "features.h5")
    damage(path, change)
    with pytest.raises(ShardError, match=sentence):
        ContextFile(path, DatasetReader(dataset), range(5))


@pytest.mark.parametrize("content", [None, b"not HDF5"])
def test_a_file_that_cannot_be_opened(dataset, tmp_path, content):
    path = tmp_path / "features.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ShardError, match=r"features\.h5: file: expected an HDF5 file"):
        ContextFile(path, DatasetReader(dataset), range(5))


def spoilt(value):
    features = np.zeros((6, 3, 4))
    features[4, 1, 2] = value
    return features


@pytest.mark.parametrize(
    ("pairs", "s", "sentence"),
    [
        ([], 1, "at least one sample"),
        ([("a", np.zeros((2, 3)))], 1, "sample a must be"),
        ([("a", np.zeros((0, 3, 4)))], 1, "sample a must be"),
        ([("a", np.zeros((2, 3, 4))), ("b", np.zeros((2, 3, 5)))], 1, "sample b are"),
        ([("a", np.zeros((2, 3, 4)))], 0, "frames_per_row"),
        ([("a", spoilt(np.nan))], 1, "sample a must be finite .* of 1 rows are not, .* row 4"),
        ([("a", spoilt(-np.inf))], 1, "sample a must be finite numbers that fit float32"),
        ([("a", spoilt(1e39))], 1, "sample a must be finite numbers that fit float32"),
        ([("a", spoilt(0)), ("a", spoilt(0))], 1, "sample a has features twice"),
    ],
)
def test_wrong_features_write_nothing(tmp_path, pairs, s, sentence):
    with pytest.raises(ValueError, match=sentence):
        write_context_file(tmp_path / "features.h5", pairs, s)
    assert list(tmp_path.iterdir()) == []
