import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.datasets.kinetics import match_video
from toolkit.datasets.kinetics_labels import parse_subset, subset_of_folders

youtube_ids = st.text(string.ascii_letters + string.digits + "-_", min_size=11, max_size=11)
times = st.integers(0, 999_999).map(lambda t: f"{t:06d}")


@pytest.mark.parametrize(
    ("stem", "sample_id"),
    [
        ("abcdefghijk", "abcdefghijk"),
        ("abcdefghijk_000010_000020", "abcdefghijk"),
        ("-_c_e_g_i_k_000010_000020", "-_c_e_g_i_k"),
        ("___________", "___________"),
        ("____________000010_000020", "___________"),
        ("12345678901_000010_000020", "12345678901"),
        ("1_000010_00_000001_000011", "1_000010_00"),
        ("1e5", "1e5"),
        ("1e5_000010_000020", "1e5"),
        ("abcdefghijk_clip", "abcdefghijk"),
        ("abcdefghijk_000010", "abcdefghijk"),
        ("snowboarding_abcdefghijk", "abcdefghijk"),
        ("snowboarding_-_c_e_g_i_k_000010_000020", "-_c_e_g_i_k"),
    ],
)
def test_video_is_found_by_its_id(stem, sample_id):
    ids = {
        "abcdefghijk", "-_c_e_g_i_k", "___________", "12345678901", "1_000010_00", "1e5",
        "abcdefghijK",
    }  # fmt: skip
    assert match_video(stem, ids) == sample_id


@pytest.mark.parametrize(
    ("stem", "sample_id"),
    [
        ("abcdefghijk", "abcdefghijk"),
        ("abcdefghijk_000010_000020", "abcdefghijk"),
        ("abcdefghijk_clip", "abcdefghijk_clip"),
        ("abcdefghijk_00010_00020", "abcdefghijk_00010_00020"),
        ("_000010_000020", "_000010_000020"),
    ],
)
def test_video_of_no_known_id_keeps_its_name_without_times(stem, sample_id):
    assert match_video(stem, set()) == sample_id


def test_whole_name_goes_before_its_parts():
    assert match_video("abc_000010_000020", {"abc", "abc_000010_000020"}) == "abc_000010_000020"


@given(st.sets(youtube_ids, min_size=1, max_size=5), times, times, st.data())
def test_no_id_is_taken_for_another(ids, start, end, data):
    sample_id = data.draw(st.sampled_from(sorted(ids)))
    assert match_video(sample_id, ids) == sample_id
    assert match_video(f"{sample_id}_{start}_{end}", ids) == sample_id
    assert match_video(f"{sample_id}_{start}_{end}", ids - {sample_id}) == sample_id


@pytest.mark.parametrize(
    ("name", "subset"),
    [
        ("kinetics_train_label", "train"),
        ("kinetics_val_label", "test"),
        ("Validation-labels", "test"),
        ("test", ""),
        ("interval", ""),
        ("constraint", ""),
        ("train_val", ""),
        ("val_test", "test"),
        ("", ""),
    ],
)
def test_subset_is_a_word_of_the_name(name, subset):
    assert parse_subset(name) == subset


@pytest.mark.parametrize(
    ("path", "subset"),
    [
        ("kinetics_train/a.json", "train"),
        ("train/kinetics_val/x/a.json", "test"),
        ("poses/a.json", ""),
    ],
)
def test_nearest_folder_says_the_subset(tmp_path, path, subset):
    assert subset_of_folders(str(tmp_path / path), tmp_path) == subset


def test_searched_folder_itself_may_say_the_subset(tmp_path):
    root = tmp_path / "kinetics_val"
    assert subset_of_folders(str(root / "x" / "a.json"), root) == "test"
    assert (
        subset_of_folders(str(tmp_path / "train" / "x" / "a.json"), tmp_path / "train" / "x") == ""
    )
