"""A few seeded blows through the real commands, and that a difference would be noticed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from soak_builds import compare
from soak_ledger import SoakLedger

SOAK = Path(__file__).with_name("soak.py")


@pytest.mark.slow
def test_a_short_soak_survives_and_tells_what_it_did(tmp_path):
    arguments = ("--rounds", "2", "--seed", "1", "--out", tmp_path / "soak", "--no-training")
    done = subprocess.run(
        [sys.executable, SOAK, *arguments], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("seed 1 ")
    ledger = json.loads((tmp_path / "soak" / "ledger.json").read_text())
    assert (ledger["builds_compared"], ledger["builds_identical"]) == (2, 2)
    assert ledger["n_kills"] + ledger["ended_before"] == 2
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
