"""Samples as columns are the samples they were made of."""

from hypothesis import given
from hypothesis import strategies as st

from toolkit.samples import Sample, SampleColumns

NAMES = st.sampled_from("abc")
SAMPLES = st.builds(
    Sample,
    sample_id=NAMES,
    label=st.integers(-1, 2),
    label_name=NAMES,
    subsets=st.dictionaries(NAMES, st.sampled_from(["train", "test"]), max_size=2),
    poses=st.none() | NAMES,
    video=st.none() | NAMES,
    facts=st.dictionaries(NAMES, st.integers(0, 2), max_size=2),
    reason=st.none() | st.just("no_label"),
    detail=NAMES,
)


@given(st.lists(SAMPLES, max_size=4))
def test_columns_give_the_samples_back(samples):
    assert list(SampleColumns.of(samples)) == samples


@given(st.lists(SAMPLES, min_size=3, max_size=4))
def test_a_part_of_columns_is_columns(samples):
    part = SampleColumns.of(samples)[1:3]
    assert isinstance(part, SampleColumns)
    assert (len(part), list(part), part[-1]) == (2, samples[1:3], samples[2])


def test_columns_are_not_made_twice():
    columns = SampleColumns.of([Sample("a", 0, "move", {})])
    assert SampleColumns.of(columns) is columns
