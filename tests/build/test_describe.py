import dataclasses

import pytest
from recordings import OPTIONS, data_set, sample

from toolkit.build.describe import describe_plan
from toolkit.build.plan import make_plan


@pytest.fixture
def shared(tmp_path):
    """Two recordings in one file of 3 MB, and a third in one of 1 MB."""
    sizes = {"many.h5": 3_000_000, "one.h5": 1_000_000}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(bytes(size))
    files = {"a": "many.h5", "b": "many.h5", "c": "one.h5"}
    return data_set(*(sample(name, tmp_path / file) for name, file in files.items()))


@pytest.mark.parametrize(
    ("source", "told", "splits"),
    [
        ("shards", "3 to copy (4.0 MB of shards) into 2 shards", "by split (samples to copy)"),
        ("ntu", "3 to extract (4.0 MB of raw files) into 2", "by split (samples to extract)"),
    ],
)
def test_a_file_of_many_recordings_is_counted_once(shared, source, told, splits):
    text = describe_plan(make_plan(shared, dataclasses.replace(OPTIONS, source=source)))
    first, second, *_ = text.splitlines()
    assert told in first
    assert second == splits
