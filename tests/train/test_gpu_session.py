import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu_session.py"


def test_every_part_of_a_gpu_session_runs_in_the_small(tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, SCRIPT, "--smoke", "--out", tmp_path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads((tmp_path / "gpu_session.json").read_text())["parts"]
    assert [len(rows) for rows in parts.values()] == [24, 2, 3, 2]
    assert not [row for rows in parts.values() for row in rows if "note" in row]
    assert (tmp_path / "gpu_session.md").read_text().count("## ") == 4
