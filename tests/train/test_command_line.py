import signal
import subprocess
import sys

import click
import pytest

from toolkit.shards import ShardError
from train.command_line import run_command
from train.errors import CheckpointError


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (CheckpointError("x.pt is gone"), 1, "Error: x.pt is gone\n"),
        (ShardError("a.h5", "file", expected="one", found="none"), 1,
         "Error: a.h5: file: expected one, found none\n"),
        (ValueError("batch_size must be at least 1"), 1, "Error: batch_size must be at least 1\n"),
        (PermissionError(13, "Permission denied", "out"), 1, "Error: out: Permission denied\n"),
        (click.UsageError("say what"), 2, "Error: say what\n"),
        (click.Abort(), 130, "interrupted\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)  # fmt: skip
def test_expected_errors_are_one_sentence_and_a_status(
    capsys, monkeypatch, error, status, sentence
):
    @click.command()
    def command():
        raise error

    monkeypatch.setattr("sys.argv", ["command"])
    with pytest.raises(SystemExit) as ended:
        run_command(command)
    assert ended.value.code == status
    assert capsys.readouterr().err.endswith(sentence)


def test_unexpected_errors_are_not_hidden(monkeypatch):
    @click.command()
    def command():
        raise AttributeError

    monkeypatch.setattr("sys.argv", ["command"])
    with pytest.raises(AttributeError):
        run_command(command)


def test_success_is_status_0(monkeypatch):
    monkeypatch.setattr("sys.argv", ["command"])
    with pytest.raises(SystemExit) as ended:
        run_command(click.Command("command", callback=lambda: None))
    assert not ended.value.code


# The child, forked while the command runs, stands for a process that reads samples.
_TERMINATED = """
import os, signal, sys
import click
from train.command_line import run_command

@click.command()
def command():
    if child := os.fork():
        print(os.WTERMSIG(os.waitpid(child, 0)[1]), flush=True)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        print("tidied", flush=True)

run_command(command)
"""


def test_sigterm_tidies_up_and_ends_with_143_but_kills_a_forked_reader_at_once():
    done = subprocess.run(
        [sys.executable, "-c", _TERMINATED], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (143, "terminated\n")
    assert done.stdout.split() == [str(int(signal.SIGTERM)), "tidied"]
