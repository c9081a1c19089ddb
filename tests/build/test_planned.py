"""Many files are looked up as one is."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.build.planned import FileStamp, look_up, look_up_all

TEXTS = (
    "c", "a/b", "a//b", "./c", "a/../c", "a/.", "a/..", "a", "a/", ".", "..", "", "no such",
    "a/no such", "no such/c",
)  # fmt: skip
PATHS = st.none() | st.sampled_from(TEXTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files a/b (1 byte) and c (2 bytes)."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "a").mkdir()
    for name, text, seconds in (("a/b", b"1", 7), ("c", b"22", 8)):
        (folder / name).write_bytes(text)
        os.utime(folder / name, (seconds, seconds))
    return folder


@given(st.lists(PATHS, max_size=6), st.booleans())
def test_each_of_many_files_is_looked_up_as_if_alone(folder, paths, absolute):
    before = Path.cwd()
    os.chdir(folder)
    try:
        texts = [f"{folder}/{p}" if absolute and p is not None else p for p in paths]
        assert list(zip(*look_up_all(texts), strict=True)) == [look_up(text) for text in texts]
    finally:
        os.chdir(before)


def test_many_files_are_looked_up_as_columns(folder):
    found = look_up_all([folder / "a" / "b", f"{folder}/c", None, f"{folder}/a/x"])
    assert found.folder == [f"{folder}/a/", f"{folder}/", "", f"{folder}/a/"]
    assert found.name == ["b", "c", "", "x"]
    assert found.bytes == [1, 2, 0, 0]
    assert found.mtime_ns == [7 * 10**9, 8 * 10**9, 0, 0]


def test_a_folder_is_its_files_together(folder):
    assert look_up_all([str(folder)]).bytes == [2]
    assert look_up(folder) == FileStamp(f"{folder.parent}/", folder.name, 2, 8 * 10**9)
