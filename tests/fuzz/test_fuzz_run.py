"""The long run itself: it counts, it finds what is planted, and it keeps the input."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import fuzz_all
import pytest
from fuzz_mutations import mutate
from fuzz_targets import FindingError, refusing

from toolkit.errors import TableError


def run_all(out, *arguments):
    script = Path(fuzz_all.__file__)
    command = [sys.executable, script, f"--out={out}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_short_run_writes_a_ledger(tmp_path):
    run = run_all(tmp_path / "fuzz", "--minutes=0.001", "--at-random", "layout")
    assert run.returncode == 0, run.stdout + run.stderr
    ledger = json.loads((tmp_path / "fuzz" / "ledger.json").read_text())
    assert ledger["inputs"] == ledger["readers"][0]["inputs"] > 0
    assert "| layout |" in (tmp_path / "fuzz" / "ledger.md").read_text()


@pytest.mark.parametrize(
    ("reader", "status", "found", "died"),
    [
        ("shard", -11, 1, 0),
        ("shard", 1, 1, 0),
        ("video", -11, 0, 1),
        ("video", -27, 0, 1),
        ("video", 1, 1, 0),
    ],
)
def test_only_a_decoder_may_die(tmp_path, reader, status, found, died):
    (tmp_path / "current").write_bytes(b"x")
    line = fuzz_all.Line(reader, "mutations")
    fuzz_all.judge(line, status, tmp_path, tmp_path)
    assert (line.findings, line.decoder_deaths) == (found, died)
    assert len([*(tmp_path / "inputs").iterdir()]) == 1


def refuse(folder, path, found="an end"):
    with refusing(TableError, folder):
        raise TableError(path, "line 1", expected="x", found=found)


def test_a_sentence_of_the_reader_passes(tmp_path):
    refuse(tmp_path, tmp_path / "a.csv")


def test_a_sentence_that_names_no_file_is_a_finding(tmp_path):
    with pytest.raises(FindingError, match="no file is named"):
        refuse(tmp_path, "elsewhere")


def test_another_error_is_a_finding(tmp_path):
    with pytest.raises(KeyError), refusing(TableError, tmp_path):
        raise KeyError("x")


def test_mutations_are_the_same_for_the_same_seed():
    made = [[mutate(b'{"a": [1, 2]}', Random(seed)) for seed in range(200)] for _ in range(2)]
    assert made[0] == made[1]
    assert len({*made[0]}) > 100
