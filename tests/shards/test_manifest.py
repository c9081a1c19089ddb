import pandas as pd
import pytest

from toolkit.errors import ShardError
from toolkit.shards import read_manifest
from toolkit.shards.manifest import COLUMNS, manifest_frame, splits_of, write_manifest

OK_ROW = {
    "sample_id": "-b1e5", "status": "ok", "detail": "", "label": 3, "label_name": "jump",
    "n_frames": 40, "n_clips": 3, "n_bodies": 2, "fps": 29.97, "video_frames": 41,
    "max_drift_ms": 12.5, "width": 228, "height": 128, "shard": 0, "shard_row": 7,
    "poses": "/raw/b.json", "video": "/raw/b.mp4", "poses_bytes": 2**40, "video_bytes": 5,
}  # fmt: skip
FAILED_ROW = {
    "sample_id": "1e5", "status": "no_body", "detail": "none", "label": -1, "label_name": "",
    "poses": "", "video": "", "poses_bytes": 0, "video_bytes": 0,
}  # fmt: skip


def test_rows_are_sorted_by_id_and_ids_stay_text():
    frame = manifest_frame([FAILED_ROW, OK_ROW, OK_ROW | {"sample_id": "007"}], [])
    assert frame["sample_id"].tolist() == ["-b1e5", "007", "1e5"]
    assert frame.index.tolist() == [0, 1, 2]


def test_columns_come_in_one_order_whatever_the_order_of_keys():
    row = OK_ROW | {"setup": 1, "camera": 2, "split_xsub": "train", "split_xview": "test"}
    backwards = dict(reversed(row.items()))
    splits = ["xsub", "xview"]
    expected = [*COLUMNS, "split_xsub", "split_xview", "camera", "setup"]
    assert manifest_frame([row], splits).columns.tolist() == expected
    assert manifest_frame([backwards], splits).columns.tolist() == expected


@pytest.mark.parametrize("rows", [[], [FAILED_ROW], [OK_ROW], [FAILED_ROW, OK_ROW]])
def test_types_do_not_depend_on_what_is_missing(rows):
    types = manifest_frame(rows, ["xsub"]).dtypes.astype(str).to_dict()
    assert types == COLUMNS | {"split_xsub": "string"}


def test_what_is_unknown_is_missing():
    frame = manifest_frame([FAILED_ROW], ["xsub"])
    assert frame[["n_frames", "fps", "shard", "split_xsub"]].isna().all(axis=None)


def test_large_numbers_are_exact_beside_gaps():
    frame = manifest_frame([OK_ROW | {"video_bytes": 2**53 + 1}, FAILED_ROW], [])
    assert frame["video_bytes"].tolist() == [2**53 + 1, 0]


@pytest.mark.parametrize(
    ("facts", "kind", "values"),
    [
        ([1, 2], "Int32", [1, 2]),
        ([1, None], "Int32", [1, pd.NA]),
        (["-a", "1e5"], "string", ["-a", "1e5"]),
        ([None, "007"], "string", [pd.NA, "007"]),
        ([1, "a"], "string", ["1", "a"]),
    ],
)
def test_facts_are_whole_numbers_or_text(facts, kind, values):
    rows = [
        OK_ROW | {"sample_id": str(i)} | ({} if fact is None else {"fact": fact})
        for i, fact in enumerate(facts)
    ]
    column = manifest_frame(rows, [])["fact"]
    assert str(column.dtype) == kind
    assert [str(v) for v in column] == [str(v) for v in values]


def test_a_manifest_comes_back(tmp_path):
    frame = manifest_frame([OK_ROW, FAILED_ROW], ["xsub"])
    write_manifest(frame, tmp_path)
    pd.testing.assert_frame_equal(read_manifest(tmp_path), frame)
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "manifest.parquet"), frame)


def test_pandas_alone_reads_the_manifest(tmp_path):
    frame = manifest_frame([OK_ROW, FAILED_ROW], ["xsub"])
    write_manifest(frame, tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "manifest.parquet"), frame)


def test_splits_are_read_off_the_columns():
    assert splits_of(manifest_frame([OK_ROW], ["xsub", "my_own"])) == ["xsub", "my_own"]


@pytest.mark.parametrize("content", [None, b"", b"PAR1", b"no parquet" * 50])
def test_a_damaged_manifest_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.parquet").write_bytes(content)
    with pytest.raises(ShardError, match=r"manifest\.parquet: file: expected a Parquet manifest"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("column", ["status", "shard_row"])
def test_a_manifest_without_a_column_is_refused(tmp_path, column):
    manifest_frame([OK_ROW], []).drop(columns=column).to_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(ShardError, match=f"columns: expected a column {column}, found none"):
        read_manifest(tmp_path)


def test_of_some_columns_nothing_else_is_read(tmp_path):
    write_manifest(
        manifest_frame([{"sample_id": "a", "status": "ok", "label": 1}], ["x"]), tmp_path
    )
    whole = read_manifest(tmp_path)
    part = read_manifest(tmp_path, ["label", "split_x"])
    pd.testing.assert_frame_equal(part, whole[["label", "split_x"]])


def test_a_column_asked_for_that_is_not_there_is_named(tmp_path):
    write_manifest(manifest_frame([], []), tmp_path)
    with pytest.raises(ShardError, match="columns: expected a column split_x, found none"):
        read_manifest(tmp_path, ["split_x"])
