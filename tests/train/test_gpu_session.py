import json
from pathlib import Path

from trained_runs import run_script

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu_session.py"


def test_every_part_of_a_gpu_session_runs_in_the_small(tmp_path):
    ran = run_script(SCRIPT, "--smoke", "--out", tmp_path, folder=tmp_path)
    assert ran.status == 0, ran.out + ran.err
    parts = json.loads((tmp_path / "gpu_session.json").read_text())["parts"]
    assert [len(rows) for rows in parts.values()] == [24, 2, 3, 2]
    assert not [row for rows in parts.values() for row in rows if "note" in row]
    assert (tmp_path / "gpu_session.md").read_text().count("## ") == 4
