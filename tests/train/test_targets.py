import os

import click
import pytest

from train.errors import TrainError
from train.targets import check_target, check_video_target, refuse_replacing


@pytest.fixture
def clip(tmp_path):
    (tmp_path / "clip.mp4").write_text("a video")
    return tmp_path / "clip.mp4"


def test_new_files_may_be_written(clip, tmp_path):
    targets = {"--json": tmp_path / "a.json", "--render": None}
    refuse_replacing(targets, [clip], overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_replaced(clip, overwrite):
    with pytest.raises(click.UsageError, match=r"--render .*clip\.mp4 is an input"):
        refuse_replacing({"--render": clip}, [clip], overwrite=overwrite)


def test_an_input_by_another_name_is_one_too(clip, tmp_path):
    os.link(clip, tmp_path / "hard.mp4")
    (tmp_path / "soft.mp4").symlink_to(clip)
    for name in ("hard.mp4", "soft.mp4"):
        with pytest.raises(click.UsageError, match="is an input"):
            refuse_replacing({"--render": tmp_path / name}, [clip], overwrite=True)


def test_a_folder_of_inputs_gets_no_further_file(clip, tmp_path):
    with pytest.raises(click.UsageError, match="is an input"):
        refuse_replacing({"--json": tmp_path / "new.json"}, [tmp_path], overwrite=True)


def test_another_file_is_replaced_only_when_told(clip):
    with pytest.raises(TrainError, match=r"clip\.mp4 is there: .* --json, or add --overwrite"):
        refuse_replacing({"--json": clip}, [], overwrite=False)
    refuse_replacing({"--json": clip}, [], overwrite=True)


def test_one_file_cannot_be_both(tmp_path):
    targets = {"--render": tmp_path / "a.mp4", "--json": tmp_path / "b" / ".." / "a.mp4"}
    with pytest.raises(click.UsageError, match="--render and --json name the same file"):
        refuse_replacing(targets, [], overwrite=True)


def test_a_folder_that_is_not_there_is_told_as_it_was_named(tmp_path):
    with pytest.raises(click.BadParameter, match=r"no folder .*nodir: make it first"):
        check_target(None, None, tmp_path / "nodir" / "a.json")
    assert check_target(None, None, tmp_path / "a.json") == tmp_path / "a.json"
    assert check_target(None, None, None) is None


def test_a_video_is_named_as_one(tmp_path):
    with pytest.raises(click.BadParameter, match=r"written as \.mp4, not as a\.gif"):
        check_video_target(None, None, tmp_path / "a.gif")
    assert check_video_target(None, None, tmp_path / "a.MP4") == tmp_path / "a.MP4"
