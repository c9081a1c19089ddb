import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.build.parts import Part, name_parts, read_count, write_count


@given(st.integers(1, 50), st.integers(0, 10_000))
def test_each_shard_is_in_exactly_one_part(count, shard):
    assert sum(shard in Part(index, count) for index in range(1, count + 1)) == 1


def test_a_part_takes_every_nth_shard():
    assert [n for n in range(8) if n in Part(2, 3)] == [1, 4, 7]


@pytest.mark.parametrize("text", ["1/1", "2/8", "32/32"])
def test_parts_read_as_they_are_written(text):
    assert str(Part.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "1", "1/", "0/1", "2/1", "1/0", " 1/2", "1/2\n", "-1/2", "1.5/2", "٢/٨"]
)
def test_what_is_no_part_is_refused(text):
    with pytest.raises(ValueError, match="part"):
        Part.parse(text)


def test_shards_are_named_by_their_parts_in_order():
    assert name_parts([7, 0, 3, 4], 4) == ["1/4", "4/4"]


def test_the_number_of_parts_is_noted_for_others(tmp_path):
    assert read_count(tmp_path) is None
    write_count(tmp_path, Part(2, 8))
    assert read_count(tmp_path) == 8


@pytest.mark.parametrize("note", [b"", b"0", b"x", b"-3", b"\xff", b"9" * 20])
def test_a_note_that_is_none_says_nothing(tmp_path, note):
    (tmp_path / ".parts").write_bytes(note)
    assert read_count(tmp_path) is None
