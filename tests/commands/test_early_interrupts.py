"""Ctrl-C and SIGTERM while Python still loads modules: one sentence and a status, as later."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from running import CTXTOOL
from shard_builders import write_dataset

from train.starting import loading

ROOT = Path(__file__).resolve().parents[2]
# Python loads this before anything of ours: it presses Ctrl-C when a module is asked for.
CTRL_C = """
import os, signal, sys

class CtrlC:
    def find_spec(name, path=None, target=None):
        if name == os.environ["CTRL_C_AT"]:
            signal.raise_signal({number})

signal.signal(signal.SIGINT, {handler})
sys.meta_path.insert(0, CtrlC)
"""
TRAIN = [sys.executable, "-m", "train.run"]
# Loads torch before it looks at its options.
EVALUATE = [sys.executable, "-m", "train.evaluate"]


def interrupt(command, module, folder, handler="signal.default_int_handler", number=signal.SIGINT):
    (folder / "sitecustomize.py").write_text(CTRL_C.format(handler=handler, number=int(number)))
    paths = os.pathsep.join([str(folder), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": paths, "CTRL_C_AT": module}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("command", "module"),
    [(CTXTOOL, "click"), (CTXTOOL, "toolkit.commands.show"), (TRAIN, "click"), (EVALUATE, "torch")],
)
def test_ctrl_c_while_modules_load_is_one_sentence(tmp_path, command, module):
    done = interrupt([*command, "--help"], module, tmp_path)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted; nothing has begun\n"


@pytest.mark.parametrize("command", [CTXTOOL, TRAIN])
def test_an_ignored_ctrl_c_stays_ignored(tmp_path, command):
    done = interrupt([*command, "--help"], "click", tmp_path, "signal.SIG_IGN")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Exit status" in done.stdout


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_while_a_training_loads_torch_is_one_sentence(tmp_path, number, status, word):
    dataset = write_dataset(tmp_path / "made")
    command = [*TRAIN, "--shards", str(dataset), "--recipe", "demo", "--out", str(tmp_path / "run")]
    done = interrupt(command, "torch", tmp_path, number=number)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr == f"{word}; nothing has begun\n"
    assert not (tmp_path / "run").exists()


@pytest.fixture
def own_handlers():
    """Give the handlers of both signals back that a test replaces."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def take(number, frame):
    raise SystemExit


@pytest.mark.parametrize(
    ("number", "handler"), [(signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, take)]
)
def test_what_a_command_loads_later_is_guarded_alike(own_handlers, number, handler):
    signal.signal(number, handler)
    with loading():
        guard = signal.getsignal(number)
    assert signal.getsignal(number) is handler is not guard


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL])
def test_loading_leaves_a_signal_that_is_ignored_or_the_system_s(own_handlers, number, handler):
    signal.signal(number, handler)
    with loading():
        assert signal.getsignal(number) is handler
    assert signal.getsignal(number) is handler
