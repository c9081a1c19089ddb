import gc
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.datasets.discover import (
    collector_paused,
    describe_missing,
    find_files,
    find_kinds,
    keep_first,
    notice_twice,
)
from toolkit.errors import CtxtoolError, DataNotFoundError


def names(found, root):
    return [Path(path).relative_to(root).as_posix() for path in found.paths]


def test_suffix_counts_in_any_case_and_paths_are_sorted(tmp_path):
    for name in ("b/two.AVI", "a.avi", "b.json", "avi"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert names(find_files(tmp_path, (".avi",)), tmp_path) == ["a.avi", "b/two.AVI"]


def test_kinds_are_told_apart_and_every_folder_is_read_once(tmp_path, monkeypatch):
    for name in ("a.json", "b/c.MP4", "b/d.json", "b/e.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    asked, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: asked.append(folder) or scandir(folder))
    poses, videos = find_kinds(tmp_path, (".json",), (".avi", ".mp4"))
    assert names(poses, tmp_path) == ["a.json", "b/d.json"]
    assert names(videos, tmp_path) == ["b/c.MP4"]
    assert asked == [str(tmp_path), str(tmp_path / "b")]


def test_folder_that_does_not_exist_holds_no_files(tmp_path):
    assert find_files(tmp_path / "none", (".avi",)).paths == ()


def test_folder_named_like_a_file_is_searched(tmp_path):
    (tmp_path / "x.avi").mkdir()
    (tmp_path / "x.avi" / "y.avi").touch()
    assert names(find_files(tmp_path, (".avi",)), tmp_path) == ["x.avi/y.avi"]


def test_linked_folder_is_followed(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "x.avi").touch()
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far")
    root = tmp_path / "near"
    assert names(find_files(root, (".avi",)), root) == ["link/x.avi"]


def test_folders_linked_in_a_circle_are_read_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.avi").touch()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    assert names(find_files(tmp_path, (".avi",)), tmp_path) == ["a/x.avi"]


def test_first_name_of_a_folder_counts_whatever_was_made_first(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "x.avi").touch()
    (tmp_path / "z").symlink_to(tmp_path / "m")
    (tmp_path / "a").symlink_to(tmp_path / "m")
    assert names(find_files(tmp_path, (".avi",)), tmp_path) == ["a/x.avi"]


def test_link_to_nothing_is_told(tmp_path):
    (tmp_path / "x.avi").symlink_to(tmp_path / "gone")
    found = find_files(tmp_path, (".avi",))
    assert found.paths == ()
    assert "x.avi" in found.notices[0]


def test_file_in_the_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "x.avi").touch()
    with pytest.raises(DataNotFoundError, match="expected a folder, found a file"):
        find_files(tmp_path / "x.avi", (".avi",))


def test_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(CtxtoolError, match="cannot be read: Permission denied") as caught:
        find_files(tmp_path, (".avi",))
    assert str(tmp_path) in str(caught.value)


def test_path_that_is_not_utf8_is_refused(tmp_path):
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.avi")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(CtxtoolError, match="expected a path in UTF-8"):
        find_files(tmp_path, (".avi",))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.uuids().map(str)), unique_by=lambda p: p[1]))
def test_every_path_is_kept_or_told(pairs):
    first, twice = keep_first([key for key, _ in pairs], [path for _, path in pairs])
    assert all(paths[0] == first[key] and len(paths) > 1 for key, paths in twice.items())
    told = {path for paths in twice.values() for path in paths}
    assert {path for _, path in pairs} == told | set(first.values())


def test_many_repetitions_make_one_short_sentence():
    (notice,) = notice_twice("video", {f"id{n}": ["a", "b"] for n in range(9)})
    assert notice.startswith("9 recordings have more than one video; the first path is used: id0:")
    assert notice.endswith("and 6 more")


@pytest.mark.parametrize("dataset", ["ntu60", "ntu120", "kinetics", "kinetics-motion"])
@pytest.mark.parametrize("kind", ["poses", "videos"])
def test_missing_data_is_told_in_one_paragraph(dataset, kind):
    text = describe_missing(dataset, kind, [Path("data/one"), Path("data/two")])
    assert "\n" not in text
    assert "data/one or data/two" in text
    assert "registration" in text
    assert f"ctxtool synthesize {'ntu' if 'ntu' in dataset else 'kinetics'}" in text


def test_missing_data_of_an_unknown_set_is_refused():
    with pytest.raises(ValueError, match="ucf101"):
        describe_missing("ucf101", "poses", [])


def test_the_collector_is_paused_and_comes_back_even_after_an_error():
    with pytest.raises(ValueError, match="inside"), collector_paused():
        assert not gc.isenabled()
        raise ValueError("inside")
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
