import pytest
from raw_folders import in_process
from running import ctxtool
from shard_builders import Recording, write_dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A working directory whose one data set holds a good recording and a failed one."""
    cwd = tmp_path_factory.mktemp("cwd")
    failed = Recording(
        "waving-hands-2", reason="no_body", detail="none of the 5 frames holds a body"
    )
    write_dataset(cwd / "out" / "made", [Recording("waving-hands-1", n_frames=4), failed])
    return cwd / "out" / "made"


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """The data set; the working directory is an empty one."""
    monkeypatch.chdir(tmp_path)
    return made


def test_report_is_written_into_the_only_data_set(made):
    ran = ctxtool("report", cwd=made.parents[1])
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("wrote out/made/report.html, ")
    assert ran.out.endswith("KB: 2 samples, 1 of them with frames\n")
    assert (made / "report.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_report_replaces_no_other_file(folder, tmp_path):
    (tmp_path / "notes.html").write_text("mine")
    ran = in_process("report", folder, "-o", "notes.html", cwd=tmp_path)
    assert (ran.status, (tmp_path / "notes.html").read_text()) == (1, "mine")
    assert ran.err.startswith("Error: notes.html is there and is no report")


@pytest.mark.parametrize(
    "arguments",
    [("report", "-o", "no/x.html"), ("render", "--sample", "waving-hands-1", "-o", "no/x.mp4")],
)
def test_a_place_that_is_not_there_is_named(folder, tmp_path, arguments):
    command, *options = arguments
    ran = in_process(command, folder, *options, cwd=tmp_path)
    assert ran.status == 1
    assert f"{options[-1]}: file: expected a place to write to, found No such file" in ran.err


def test_render_names_the_video_after_the_sample(folder, tmp_path):
    ran = ctxtool("render", folder, "--sample", "waving-hands-1", "--size", "64", cwd=tmp_path)
    assert (ran.status, ran.out, ran.err) == (0, "wrote waving-hands-1.mp4, 4 frames\n", "")
    assert (tmp_path / "waving-hands-1.mp4").read_bytes()[4:8] == b"ftyp"


def test_render_replaces_only_when_asked(folder, tmp_path):
    (tmp_path / "a.png").write_text("mine")
    command = ("render", folder, "--sample", "waving-hands-1", "-o", "a.png")
    ran = in_process(*command, cwd=tmp_path)
    assert ran.status == 1
    assert ran.err == "Error: a.png is there: name another file with -o, or add --overwrite\n"
    assert (tmp_path / "a.png").read_text() == "mine"
    assert in_process(*command, "--overwrite", cwd=tmp_path).status == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (
            ("--sample", "waving-hands-3"),
            1,
            "no sample 'waving-hands-3' among the 2 of the manifest; near it are",
        ),
        (("--sample", "waving-hands-2"), 1, "it is no_body: none of the 5 frames holds a body"),
        (("--sample", "waving-hands-1", "--clip", "1"), 1, "has the clips 0 to 0: no clip 1"),
        (
            ("--sample", "waving-hands-1", "-o", "a.avi"),
            2,
            "a.avi does not end in .mp4, .gif, .png",
        ),
        (("--sample", "waving-hands-1", "--size", "10"), 2, "--size"),
        ((), 2, "Missing option '--sample'"),
    ],
)
def test_what_cannot_be_rendered_is_said(folder, tmp_path, arguments, status, told):
    ran = in_process("render", folder, *arguments, cwd=tmp_path)
    assert ran.status == status
    assert told in ran.err
    assert list(tmp_path.iterdir()) == []
