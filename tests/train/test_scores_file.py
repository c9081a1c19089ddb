import json
import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_evaluations import LABELS, SCORES, make_evaluation

from train import scores_file
from train.errors import TrainError
from train.scores_file import read_scores, write_scores


@pytest.fixture
def path(tmp_path):
    write_scores(make_evaluation(LABELS, SCORES, dropped=[0, 2, 0]), tmp_path / "scores.parquet")
    return tmp_path / "scores.parquet"


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(n=st.integers(1, 9), seed=st.integers(0, 2**31))
def test_round_trip(tmp_path, n, seed):
    rng = np.random.default_rng(seed)
    written = make_evaluation(rng.integers(0, 3, n), rng.normal(size=(n, 3)), rng.integers(0, 9, 3))
    write_scores(written, tmp_path / "scores.parquet")
    read = read_scores(tmp_path / "scores.parquet")
    for name, value in vars(written).items():
        assert np.array_equal(getattr(read, name), value), name
    assert read.to_dict() == written.to_dict()


def test_pandas_reads_it(path):
    frame = pd.read_parquet(path)
    assert list(frame.columns) == ["sample_id", "label", "predicted", "scores"]
    assert frame["sample_id"].tolist() == ["s0", "s1", "s2", "s3"]
    assert frame["predicted"].tolist() == [0, 0, 1, 1]
    assert np.allclose(np.stack(frame["scores"]), SCORES)


def change(path, column=None, values=None, about=None):
    table = pq.read_table(path)
    metadata = json.loads(table.schema.metadata[b"ctxtool-scores"])
    if column is not None:
        at = table.schema.get_field_index(column)
        table = table.drop([column]) if values is None else table.set_column(at, column, values)
    metadata = {b"ctxtool-scores": json.dumps(metadata | about).encode()} if about else None
    if about is not None:
        table = table.replace_schema_metadata(metadata)
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"column": "label"}, "is no readable score file: .*label"),
        ({"about": {}}, "metadata: expected ctxtool-scores version 1, found none"),
        ({"about": {"version": 2}}, "metadata: expected ctxtool-scores version 1, found 2"),
        (
            {"column": "label", "values": pa.array([0, 0, 3, 1])},
            "column label: expected 0 to 2, found 0 to 3",
        ),
        (
            {"column": "label", "values": pa.array([0, 0, None, 1])},
            "column label: expected a whole number in every row",
        ),
        (
            {"column": "label", "values": pa.array(["0", "0", "0", "1"])},
            "column label: expected a whole number in every row",
        ),
        (
            {"column": "sample_id", "values": pa.array(["a", "b", "a", "c"])},
            "column sample_id: expected every sample once",
        ),
        (
            {"column": "scores", "values": pa.array([[0.1, 0.2, 0.7]] * 3 + [[0.5, 0.5]])},
            "column scores: expected 3 numbers in every row",
        ),
        (
            {"column": "scores", "values": pa.array([0.1, 0.2, 0.3, 0.4])},
            "column scores: expected 3 numbers in every row",
        ),
        (
            {"column": "scores", "values": pa.array([["0.1", "0.2", "0.7"]] * 4)},
            "column scores: expected 3 numbers in every row, found list<.*string>",
        ),
        (
            {"column": "scores", "values": pa.array([[0.1, None, 0.7]] * 4)},
            r"scores\.parquet: the scores of 4 of 4 samples are no finite numbers",
        ),
        (
            {"column": "sample_id", "values": pa.array(["a", "b", None, "c"])},
            "column sample_id: expected a text in every row, found string with 1 rows empty",
        ),
        (
            {"column": "sample_id", "values": pa.array([1, 2, 3, 4])},
            "column sample_id: expected a text in every row, found int64",
        ),
        ({"about": {"dropped": [0, -1, 0]}}, "dropped .* 3 classes, found 3 numbers from -1 on"),
        ({"about": {"dropped": [0, 0]}}, "metadata: expected dropped samples of 3 classes"),
        ({"about": {"class_names": 3}}, "metadata: expected what an evaluation holds"),
    ],
)
def test_a_damaged_file_is_named_with_the_place(path, changes, sentence):
    change(path, **changes)
    with pytest.raises(TrainError, match=sentence) as caught:
        read_scores(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all" * 9])
def test_a_foreign_file_is_named(tmp_path, content):
    (tmp_path / "scores.parquet").write_bytes(content)
    with pytest.raises(TrainError, match=r"scores\.parquet is no readable score file"):
        read_scores(tmp_path / "scores.parquet")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TrainError, match=r"none\.parquet is no readable score file"):
        read_scores(tmp_path / "none.parquet")


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_a_cut_file_is_named(path, keep):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(TrainError, match="is no readable score file"):
        read_scores(path)


def test_a_folder_or_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(TrainError, match="expected a file, found a folder, a pipe or a device"):
            read_scores(place)


@pytest.mark.parametrize("limit", ["MAX_VALUES", "MAX_BYTES"])
def test_a_claim_of_too_much_is_not_believed(path, monkeypatch, limit):
    monkeypatch.setattr(scores_file, limit, 20)
    what = "values" if limit == "MAX_VALUES" else "bytes"
    with pytest.raises(TrainError, match=f"file: expected parts of .* {what}, together at most 20"):
        read_scores(path)


def test_a_claim_of_fewer_than_none_hides_no_other(path):
    content = path.read_bytes()
    # Three of four columns: 4 values, told as 8 between the heads of two numbers; 7 tells -4.
    assert content.count(b"\x16\x08\x16") == 3
    path.write_bytes(content.replace(b"\x16\x08\x16", b"\x16\x07\x16", 1))
    with pytest.raises(TrainError, match=r"found parts of -4 to 12, together 16$"):
        read_scores(path)


@pytest.mark.parametrize("kind", [pa.float16(), pa.float64(), pa.int64(), pa.uint8()])
@pytest.mark.parametrize("make_list", [pa.list_, pa.large_list, lambda kind: pa.list_(kind, 3)])
def test_scores_of_other_writers_are_read(path, kind, make_list):
    values = [[3, 1, 2], [2, 3, 1], [1, 2, 3], [0, 1, 0]]
    rows = [np.array(row, kind.to_pandas_dtype()) for row in values]
    change(path, column="scores", values=pa.array(rows, make_list(kind)))
    read = read_scores(path).scores
    assert read.dtype == np.float32
    assert read.tolist() == values
