"""Objects of which few differ are parsed once, and say what JSON says."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.datasets.tables import read_json_object
from toolkit.errors import TableError

MEMBERS = st.sampled_from([
    '"a": {"x": 1}', '"b" : {"x": 1}', '"c":{"x": true}', '"d": {"x": "}"}', '"e": {"x": [1]}',
    '"f": {"x": {}}', '"g": {}', '"h": 1', '"\\u0069": {"x": 1}', '"j": {"x": 1', '{"x": 1}', '""',
])  # fmt: skip
MARKS = st.sampled_from([", ", ",\n", ",", ",", ",,", " ", ":", ""])
ENDS = st.sampled_from(
    [("{", "}"), ("{", "}"), (" {\n", "\n} "), ("", "{}"), ("{}", ""), ("{", ",}")]
)


def read(path, text):
    path.write_text(text)
    try:
        return read_json_object(path)[0]
    except TableError:
        return None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(MEMBERS, MARKS), max_size=4), MEMBERS, ENDS)
def test_every_text_says_what_json_says(tmp_path, members, last, ends):
    text = ends[0] + "".join(map("".join, members)) + last + ends[1]
    try:
        expected = json.loads(text)
    except ValueError:
        expected = None
    assert read(tmp_path / "a.json", text) == (expected if isinstance(expected, dict) else None)


def test_objects_with_the_same_text_are_one(tmp_path):
    table = read(tmp_path / "a.json", '{"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 2}}')
    assert table["a"] is table["b"]
    assert table == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 2}}


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ('{"a": {"x": 1}, "a": {"x": 2}}', ["a"]),
        ('{"a": {"x": 1, "x": 2}}', ["x"]),
        ('{"a": {"x": 1}, "b": {"x": 1}}', []),
    ],
)
def test_repeated_keys_are_told(tmp_path, text, repeated):
    (tmp_path / "a.json").write_text(text)
    assert read_json_object(tmp_path / "a.json") == (json.loads(text), repeated)
