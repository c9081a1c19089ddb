import subprocess
import sys

import click
import pytest
from builders import ntu_frames, write_ntu_skeleton
from raw_folders import in_process, tree
from running import ctxtool

from toolkit import __version__
from toolkit.cli import cli

NAME = "S001C001P001R001A001"


def commands(group=cli, path=()):
    """Return every command that does something, by the words that call it."""
    found = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, (*path, name))
        else:
            found[" ".join((*path, name))] = command
    return found


COMMANDS = commands()


def test_every_command_of_the_mission_is_there():
    assert set(COMMANDS) == {
        "extract-ntu", "extract-kinetics", "build-kinetics-motion", "extract-openpose",
        "synthesize ntu", "synthesize kinetics", "inspect", "verify", "info", "finalize",
        "report", "render", "estimate-poses", "doctor",
    }  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS)
def test_help_shows_examples(words):
    ran = in_process(*words.split(), "--help")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(f"Usage: ctxtool {words} ")
    examples = ran.out.partition("Example")[2]
    assert f"  ctxtool {words}" in examples


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_has_help(words):
    options = [p for p in COMMANDS[words].params if isinstance(p, click.Option)]
    assert [p.name for p in options if not p.help] == []


@pytest.mark.parametrize("words", COMMANDS)
def test_the_short_help_is_a_whole_sentence(words):
    told = COMMANDS[words].get_short_help_str(200)
    assert told.endswith(".")
    assert not told.endswith("...")


def test_a_short_option_asks_for_help_too():
    # In processes of their own: click remembers the help option of the first context it sees.
    short, long = ctxtool("-h"), ctxtool("--help")
    assert short == long
    assert short.status == 0


def test_help_documents_exits_and_completion():
    told = in_process("--help").out
    for words in (
        "Exit status: 0 done",
        "130 interrupted",
        "143 terminated",
        "COMPLETE=bash_source",
    ):
        assert words in told


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_made(monkeypatch, shell):
    monkeypatch.setenv("_CTXTOOL_COMPLETE", f"{shell}_source")
    ran = in_process()
    assert ran.status == 0
    assert "_ctxtool_completion" in ran.out


def test_completion_knows_the_commands(monkeypatch):
    for name, value in (
        ("_CTXTOOL_COMPLETE", "bash_complete"), ("COMP_WORDS", "ctxtool ex"), ("COMP_CWORD", "1"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    told = in_process().out.split()
    assert told == ["plain,extract-kinetics", "plain,extract-ntu", "plain,extract-openpose"]


def test_the_version_is_told():
    assert in_process("--version").out == f"ctxtool, version {__version__}\n"


@pytest.mark.parametrize("arguments", [["--help"], ["extract-ntu", "--help"], ["verify", "--help"]])
def test_help_loads_nothing_heavy(arguments):
    heavy = "'numpy', 'pandas', 'pyarrow', 'h5py', 'cv2', 'av', 'joblib', 'torch'"
    code = (
        "import atexit, sys; from toolkit.cli import main\n"
        f"atexit.register(lambda: print({{{heavy}}} & sys.modules.keys(), file=sys.stderr))\n"
        f"sys.argv = ['ctxtool', *{arguments!r}]; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "set()\n")
    assert ran.stdout.startswith("Usage: ctxtool ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["extract"], "No such command 'extract'"),
        (["extract-ntu", "--spilt", "xsub"], "No such option"),
        (["extract-ntu", "--split", "xsup"], "'xsup' is not one of 'xsub', 'xview', 'xset'"),
        (["extract-ntu", "--skeletons", "none"], "Directory 'none' does not exist"),
        (["extract-ntu", "--jobs", "0"], "0 is not in the range x>=1"),
        (["extract-ntu", "--quality", "101"], "101 is not in the range 1<=x<=100"),
        (["extract-ntu", "raw"], "Got unexpected extra argument"),
        (["extract-kinetics", "--pose-fps", "0"], "0.0 is not in the range x>0"),
        (["extract-kinetics", "--labels", "none.json"], "File 'none.json' does not exist"),
        (["extract-openpose"], "Missing option '--table'"),
        (["build-kinetics-motion", "--from", "none"], "Directory 'none' does not exist"),
        (["inspect", "--csv", "."], "File '.' is a directory"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_wrong(tmp_path, arguments, told):
    ran = in_process(*arguments, cwd=tmp_path)
    assert ran.status == 2
    assert ran.err.startswith("Usage: ctxtool")
    assert told in ran.err
    assert tree(tmp_path) == []


def test_wrong_usage_of_the_real_command(tmp_path):
    ran = ctxtool("extract-ntu", "--split", "xsup", cwd=tmp_path)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.splitlines()[-1].startswith("Error: Invalid value for '--split'")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--out", "file/out"], "file"),
        (["--raw", "file/raw"], "file"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tmp_path, arguments, told):
    (tmp_path / "file").touch()
    write_ntu_skeleton(tmp_path / "data" / "ntu" / f"{NAME}.skeleton", ntu_frames([7]))
    ran = in_process("extract-ntu", "--skeleton-only", "--jobs", 1, *arguments, cwd=tmp_path)
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("Error: ")
    assert told in ran.err
    assert ran.err.count("\n") == 1


def test_an_output_folder_of_something_else_is_spared(tmp_path):
    write_ntu_skeleton(tmp_path / "data" / "ntu" / f"{NAME}.skeleton", ntu_frames([7]))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    options = ("--skeleton-only", "--jobs", 1, "--out", "out", "--overwrite")
    assert in_process("extract-ntu", *options, cwd=tmp_path).status == 0
    assert (tmp_path / "out" / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("content", [b"", b"no plan"])
def test_a_damaged_plan_is_one_sentence(tmp_path, content):
    write_ntu_skeleton(tmp_path / "data" / "ntu" / f"{NAME}.skeleton", ntu_frames([7]))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "plan.parquet").write_bytes(content)
    ran = in_process("extract-ntu", "--skeleton-only", "--out", "out", cwd=tmp_path)
    assert ran.status == 1
    assert ran.err.startswith("Error: out/plan.parquet: file: expected a build plan (")


def test_verbose_tells_where_an_error_was_raised(tmp_path):
    ran = in_process("-v", "extract-ntu", cwd=tmp_path)
    assert ran.status == 1
    assert "DataNotFoundError" in ran.err
    assert ran.err.endswith("ctxtool synthesize ntu\n")


def test_memory_that_does_not_suffice_is_one_sentence(monkeypatch):
    def run(**_):
        raise MemoryError

    monkeypatch.setattr("toolkit.cli.cli", run)
    ran = in_process("info")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("Error: out of memory; an unfinished build goes on")
    assert ran.err.count("\n") == 1
