import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import OPTIONS, data_set, sample, write_poses

from toolkit.build.plan import Plan, PlannedSample, Stamp, make_plan
from toolkit.build.plan_file import is_stored, read_plan, write_plan
from toolkit.errors import ShardError

text = st.text(st.characters(codec="utf-8"), max_size=8)
numbers = st.integers(-(2**63), 2**63 - 1)
stamps = st.builds(Stamp, text, numbers, numbers)
planned = st.builds(
    PlannedSample,
    sample_id=text,
    label=numbers,
    label_name=text,
    subsets=st.dictionaries(text, text, max_size=2),
    # A fact is of one kind in the whole plan.
    facts=st.fixed_dictionaries({}, optional={"number": numbers, "": text, "label": text}),
    poses=stamps,
    video=stamps,
    reason=text,
    detail=text,
    shard=numbers,
    superseded=st.booleans(),
)


@pytest.fixture
def plan(tmp_path):
    samples = [sample("-a", write_poses(tmp_path, "a", 1)), sample("1e5")]
    return make_plan(data_set(*samples), OPTIONS)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(planned, max_size=4))
def test_a_plan_comes_back(tmp_path, plan, rows):
    plan = Plan.of(plan.header, rows)
    write_plan(plan, tmp_path)
    assert read_plan(tmp_path) == plan
    assert read_plan(tmp_path).rows == tuple(rows)


def test_a_plan_read_back_has_the_same_fingerprints(tmp_path, plan):
    write_plan(plan, tmp_path)
    assert read_plan(tmp_path).fingerprints() == plan.fingerprints()
    assert read_plan(tmp_path).fingerprint == plan.fingerprint


def test_whole_options_read_back_as_fractions_are_the_same(tmp_path, plan):
    # A command line may hand over 30 where the default is 30.0.
    header = dataclasses.replace(plan.header, options=dataclasses.replace(OPTIONS, pose_fps=30))
    write_plan(dataclasses.replace(plan, header=header), tmp_path)
    data = data_set(sample("1e5"))
    assert make_plan(data, OPTIONS, read_plan(tmp_path)).samples == plan.samples


def test_a_plan_that_was_read_from_a_folder_is_not_read_again(tmp_path, plan, monkeypatch):
    write_plan(plan, tmp_path)
    read = read_plan(tmp_path)
    monkeypatch.setattr("toolkit.build.plan_file.read_table", None)
    assert is_stored(read, tmp_path)


def test_a_plan_is_compared_with_the_one_that_lies_there_now(tmp_path, plan):
    assert not is_stored(plan, tmp_path)
    write_plan(plan, tmp_path)
    assert is_stored(plan, tmp_path)
    read = read_plan(tmp_path)
    write_plan(Plan(plan.header, plan.table.slice(1)), tmp_path)
    assert not is_stored(read, tmp_path)


def test_a_folder_without_a_plan_has_none(tmp_path):
    assert read_plan(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet" * 20])
def test_a_damaged_plan_is_refused(tmp_path, content):
    (tmp_path / "plan.parquet").write_bytes(content)
    with pytest.raises(ShardError, match=r"plan\.parquet: file: expected a build plan .*found"):
        read_plan(tmp_path)


def test_another_table_is_no_plan(tmp_path):
    import pandas as pd

    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "plan.parquet")
    with pytest.raises(ShardError, match=r"plan\.parquet: content: expected a build plan .*found"):
        read_plan(tmp_path)


def test_a_plan_of_another_version_is_refused_in_one_sentence(tmp_path, plan):
    write_plan(plan, tmp_path)
    path = tmp_path / "plan.parquet"
    table = pq.read_table(path)
    about = {k: v for k, v in table.schema.metadata.items() if k != b"ctxtool plan"}
    pq.write_table(table.replace_schema_metadata(about), path)
    with pytest.raises(ShardError, match=r"plan\.parquet: version: expected 2, .*, found 1$"):
        read_plan(tmp_path)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda table: table.drop_columns(["label"]), "no column label of int64"),
        (lambda table: table.cast(recast(table, "shard", pa.string())), "no column shard of int64"),
        (lambda table: with_gap(table, "sample_id"), "a gap in the column sample_id"),
    ],
)
def test_a_plan_with_wrong_columns_is_refused(tmp_path, plan, change, found):
    write_plan(plan, tmp_path)
    path = tmp_path / "plan.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(ShardError, match=f"expected a build plan .*, found .*{found}"):
        read_plan(tmp_path)


def recast(table, name, kind):
    return table.schema.set(table.schema.get_field_index(name), pa.field(name, kind))


def with_gap(table, name):
    place = table.column_names.index(name)
    return table.set_column(place, name, pa.nulls(len(table), table.schema.field(name).type))
