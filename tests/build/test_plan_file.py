import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import OPTIONS, data_set, sample, write_poses

from toolkit.build.plan import Plan, PlannedSample, Stamp, make_plan
from toolkit.build.plan_file import read_plan, write_plan
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
    facts=st.dictionaries(text, text | numbers, max_size=2),
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
    plan = Plan(plan.header, tuple(rows))
    write_plan(plan, tmp_path)
    assert read_plan(tmp_path) == plan


def test_a_plan_read_back_has_the_same_fingerprints(tmp_path, plan):
    write_plan(plan, tmp_path)
    assert read_plan(tmp_path).fingerprints() == plan.fingerprints()
    assert read_plan(tmp_path).fingerprint == plan.fingerprint


def test_whole_options_read_back_as_fractions_are_the_same(tmp_path, plan):
    # A command line may hand over 30 where the default is 30.0.
    header = dataclasses.replace(plan.header, options=dataclasses.replace(OPTIONS, pose_fps=30))
    write_plan(Plan(header, plan.rows), tmp_path)
    data = data_set(sample("1e5"))
    assert make_plan(data, OPTIONS, read_plan(tmp_path)).samples == plan.samples


def test_a_folder_without_a_plan_has_none(tmp_path):
    assert read_plan(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no parquet" * 20])
def test_a_damaged_plan_is_refused(tmp_path, content):
    (tmp_path / "plan.parquet").write_bytes(content)
    with pytest.raises(ShardError, match=r"plan\.parquet: content: expected a build plan, found"):
        read_plan(tmp_path)


def test_another_table_is_no_plan(tmp_path):
    import pandas as pd

    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "plan.parquet")
    with pytest.raises(ShardError, match=r"plan\.parquet: content: expected a build plan, found"):
        read_plan(tmp_path)
