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
        (click.Abort(), 130, ""),
        (KeyboardInterrupt(), 130, ""),
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
