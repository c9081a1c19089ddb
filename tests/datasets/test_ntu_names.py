import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.datasets.ntu import (
    NtuName,
    count_splits,
    list_ntu_names,
    ntu_subsets,
    parse_ntu_name,
    read_class_names,
    read_listed_missing,
)

numbers = st.integers(1, 999)
names = st.builds(NtuName, numbers, numbers, numbers, numbers, numbers)


def test_name_is_setup_camera_subject_replication_action():
    assert parse_ntu_name("S017C003P020R002A054") == NtuName(17, 3, 20, 2, 54)


@given(names, st.sampled_from(["", ".skeleton", ".SKELETON", "_rgb.avi", "_RGB.AVI", "_rgb.mp4"]))
def test_every_name_is_parsed_back(name, ending):
    assert parse_ntu_name(f"{name}{ending}") == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "S1C1P1R1A1",
        "s001C001P001R001A001",
        "S001C001P001R001A001 ",
        "S001C001P001R001A001\n",
        "S001C001P001R001A0011",
        "S000C001P001R001A001",
        "S001C001P001R001A٠٠١",
        "S001C001P001R001A001.avi",
        "S001C001P001R001A001_ir.avi",
        "S001C001P001R001A001_rgb.avi.skeleton",
        "S001C001P001R001A001_rgbXavi",
    ],
)
def test_other_names_are_refused(text):
    with pytest.raises(ValueError, match="expected a name like S001C001P001R001A001"):
        parse_ntu_name(text)


# Digits that are none to the authors are digits to \d and to int().
digits = st.text("0123456789\N{ARABIC-INDIC DIGIT THREE}", min_size=3, max_size=3)


@given(st.tuples(*[digits] * 5), st.text("1_.\n ", max_size=2))
def test_whatever_is_parsed_is_a_name_at_the_beginning_of_the_text(numbers, ending):
    text = "S{}C{}P{}R{}A{}".format(*numbers) + ending
    try:
        name = parse_ntu_name(text)
    except ValueError:
        return
    assert text.startswith(str(name))


@pytest.mark.parametrize(
    ("name", "dataset", "subsets"),
    [
        ("S001C001P001R001A001", "ntu60", {"xsub": "train", "xview": "test"}),
        ("S001C002P003R001A001", "ntu60", {"xsub": "test", "xview": "train"}),
        ("S001C003P003R001A001", "ntu120", {"xsub": "test", "xset": "test"}),
        ("S018C001P045R001A061", "ntu120", {"xsub": "train", "xset": "train"}),
        ("S032C003P106R002A120", "ntu120", {"xsub": "test", "xset": "train"}),
    ],
)
def test_subsets_of_single_recordings(name, dataset, subsets):
    assert ntu_subsets(parse_ntu_name(name), dataset) == subsets


@pytest.mark.parametrize("name", ["S018C001P001R001A001", "S001C001P041R001A001"])
def test_recording_outside_the_data_set_has_no_subsets(name):
    with pytest.raises(ValueError, match="is not part of ntu60"):
        ntu_subsets(parse_ntu_name(name), "ntu60")


def test_unknown_data_set_is_refused():
    with pytest.raises(ValueError, match="ntu60 or ntu120, got 'ntu90'"):
        read_class_names("ntu90")


def test_split_sizes_are_the_published_ones():
    assert [tuple(row) for row in count_splits()] == [
        ("ntu60", 56_880, "xsub", 40_320, 16_560, 302, 40_091, 16_487),
        ("ntu60", 56_880, "xview", 37_920, 18_960, 302, 37_646, 18_932),
        ("ntu120", 114_480, "xsub", 63_360, 51_120, 535, 63_026, 50_919),
        ("ntu120", 114_480, "xset", 54_720, 59_760, 535, 54_468, 59_477),
    ]


@pytest.mark.parametrize(("dataset", "n_names"), [("ntu60", 56_880), ("ntu120", 114_480)])
def test_all_names_are_listed_once_in_order(dataset, n_names):
    names = list_ntu_names(dataset)
    assert len(names) == n_names
    assert names == sorted(set(names))
    assert read_listed_missing(dataset) < set(names)


@pytest.mark.parametrize(("dataset", "n_names"), [("ntu60", 56_578), ("ntu120", 113_945)])
def test_names_less_the_missing_ones_are_those_released(samples_dir, dataset, n_names):
    path = samples_dir / "ntu_facts" / f"{dataset}_available_names.txt.gz"
    released = gzip.decompress(path.read_bytes()).decode().split()
    assert len(released) == n_names
    assert set(list_ntu_names(dataset)) - read_listed_missing(dataset) == set(released)
