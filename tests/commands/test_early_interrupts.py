"""Ctrl-C while Python still loads modules: one sentence and 130, as later."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from running import CTXTOOL

from train.starting import loading

ROOT = Path(__file__).resolve().parents[2]
# Python loads this before anything of ours: it presses Ctrl-C when a module is asked for.
CTRL_C = """
import os, signal, sys

class CtrlC:
    def find_spec(name, path=None, target=None):
        if name == os.environ["CTRL_C_AT"]:
            signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGINT, {handler})
sys.meta_path.insert(0, CtrlC)
"""
TRAIN = [sys.executable, "-m", "train.run"]
# Loads torch before it looks at its options.
EVALUATE = [sys.executable, "-m", "train.evaluate"]


def interrupt(command, module, folder, handler="signal.default_int_handler"):
    (folder / "sitecustomize.py").write_text(CTRL_C.format(handler=handler))
    paths = os.pathsep.join([str(folder), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": paths, "CTRL_C_AT": module}
    return subprocess.run(
        [*command, "--help"], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("command", "module"),
    [(CTXTOOL, "click"), (CTXTOOL, "toolkit.commands.show"), (TRAIN, "click"), (EVALUATE, "torch")],
)
def test_ctrl_c_while_modules_load_is_one_sentence(tmp_path, command, module):
    done = interrupt(command, module, tmp_path)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted; nothing has begun\n"


@pytest.mark.parametrize("command", [CTXTOOL, TRAIN])
def test_an_ignored_ctrl_c_stays_ignored(tmp_path, command):
    done = interrupt(command, "click", tmp_path, "signal.SIG_IGN")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Exit status" in done.stdout


def test_what_a_command_loads_later_is_guarded_alike():
    handlers = []
    with loading():
        handlers.append(signal.getsignal(signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler is not handlers[0]
