"""A few seeded blows through the real commands, and that a difference would be noticed."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
import soak_processes
import soak_trainings
from soak_builds import compare
from soak_ledger import SoakLedger
from soak_processes import BLOWS, Command

SOAK = Path(__file__).with_name("soak.py")


@pytest.mark.slow
def test_a_short_soak_survives_and_tells_what_it_did(tmp_path):
    # Of this seed's first round every build is one of a single process.
    arguments = ("--rounds", "1", "--seed", "26", "--out", tmp_path / "soak", "--no-training")
    done = subprocess.run(
        [sys.executable, SOAK, *arguments], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("seed 26 ")
    ledger = json.loads((tmp_path / "soak" / "ledger.json").read_text())
    assert (ledger["builds_compared"], ledger["builds_identical"]) == (1, 1)
    assert ledger["n_kills"] + ledger["ended_before"] == 1
    assert "| violations | 0 |" in (tmp_path / "soak" / "ledger.md").read_text()


@pytest.mark.parametrize("change", ["other bytes", "one more", "one less"])
def test_a_difference_between_two_folders_is_named(tmp_path, change):
    calm, out = tmp_path / "calm", tmp_path / "out"
    (calm / "shards").mkdir(parents=True)
    (calm / "shards" / "00000.h5").write_bytes(b"shard")
    shutil.copytree(calm, out)
    assert compare(calm, out) == ""

    if change == "one more":
        (out / "shards" / ".00001.7.writing").touch()
    elif change == "one less":
        (out / "shards" / "00000.h5").unlink()
    else:
        (out / "shards" / "00000.h5").write_bytes(b"shaRd")

    assert compare(calm, out).startswith("differing files: shards/")


def test_a_ledger_counts_kills_and_lists_what_went_wrong(tmp_path):
    ledger = SoakLedger(seed=5, violations=["build 3: differing files: a"])
    ledger.kills.update(["Ctrl-C", "Ctrl-C", "SIGKILL of a worker"])
    ledger.write(tmp_path)

    assert json.loads((tmp_path / "ledger.json").read_text())["n_kills"] == 3
    text = (tmp_path / "ledger.md").read_text()
    assert "| - Ctrl-C | 2 |" in text
    assert text.endswith("- build 3: differing files: a\n")


# Ends at once where it was before, else on SIGTERM with a status that nobody promised.
TRAINING = """
    test -e {out}/config.json && exit 0
    trap 'exit 1' TERM
    mkdir -p {out} && touch {out}/config.json
    while :; do sleep 0.01; done
"""


def test_a_hit_training_is_judged_by_its_exit_status(tmp_path, monkeypatch):
    monkeypatch.setattr(soak_trainings, "_KILLS", ["SIGTERM of the command"])
    monkeypatch.setattr(soak_trainings, "differing_tensors", lambda one, other: [])
    ledger = SoakLedger(seed=5)
    soak = soak_trainings.TrainingSoak(tmp_path, Random(0), ledger)
    monkeypatch.setattr(
        soak,
        "_start",
        lambda out, streams: Command.start(["sh", "-c", TRAINING.format(out=out)], streams),
    )
    soak.round(12)
    assert ledger.violations == ["training-12 (SIGTERM of the command): exit status 1:"]


def test_a_command_that_hangs_is_not_watched_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(soak_processes, "LONGEST_S", 0.05)
    command = Command.start(["sleep", "60"], tmp_path)
    assert not command.wait_until(lambda: False)
    assert command.wait() == 124


def test_a_blow_may_meet_a_command_that_has_just_ended(tmp_path):
    command = Command.start(["true"], tmp_path)
    while "(true) Z" not in Path(f"/proc/{command.process.pid}/stat").read_text():
        continue
    command.process.poll = lambda: None  # As if it had ended after this question.
    for whom in ("command", "all"):
        assert command.strike(whom, signal.SIGKILL, None)
    del command.process.poll
    status = command.wait()
    assert all(status in allowed for whom, _, allowed in BLOWS.values() if whom != "worker")
