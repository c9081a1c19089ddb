"""Some hundred damaged files for every reader: its result or its own sentence, nothing else."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import fuzz_all
import fuzz_seeds
import pytest
from fuzz_mutations import mutate
from fuzz_targets import TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TEXTS = [name for name, target in TARGETS.items() if not target.binary]
BINARIES = {"manifest": 60, "plan": 60, "shard": 50, "group": 150, "picture": 300, "video": 40}
# Some of each kind: a table of all characters is built anew for every checkout, in seconds.
CHARACTERS = '0a-.[]{}",: \n\r\t\0\x1b\x85\u0663\u2028\N{SNOWMAN}\N{GRINNING FACE}'
# fuzz_one.py once for each target, in forks of a process that has done its imports.
ATTACK = """
import os, sys
import fuzz_one, fuzz_targets
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        sys.argv = ["fuzz_one.py", *line.split("\t")]
        fuzz_one.main()
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return a function that gives a target's folder and its valid inputs, made once."""
    made = {}

    def prepare(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("attacked") / name
            folder.mkdir()
            made[name] = folder, TARGETS[name].prepare(folder)
        return made[name]

    return prepare


def test_every_target_is_attacked_by_the_long_run():
    assert tuple(TARGETS) == fuzz_all.NAMES
    assert set(TEXTS) | set(BINARIES) == set(TARGETS)


@pytest.mark.parametrize("name", TEXTS)
def test_damaged_text(prepared, name):
    folder, valid = prepared(name)
    random = Random(name)
    for _ in range(150):
        TARGETS[name].read(folder, mutate(random.choice(valid), random))


@pytest.mark.parametrize("name", TEXTS)
@settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(data=st.data())
def test_any_bytes(prepared, name, data):
    folder, valid = prepared(name)
    anything = st.binary(max_size=200) | st.text(CHARACTERS, max_size=100).map(str.encode)
    begin = data.draw(st.sampled_from([b"", *(text[:40] for text in valid)]))
    TARGETS[name].read(folder, begin + data.draw(anything))


def test_damaged_files_of_c_libraries(tmp_path):
    # In processes of their own: what this guards against is the end of the process.
    lines = [
        f"{name}\t--folder={tmp_path / name}\t--inputs={n_inputs}\t--seconds=600"
        for name, n_inputs in BINARIES.items()
    ]
    run = subprocess.run(
        [sys.executable, "-c", ATTACK],
        input="\n".join(lines), cwd=Path(fuzz_all.__file__).parent,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    statuses = dict(zip(BINARIES, run.stdout.split(), strict=True))
    assert statuses == dict.fromkeys(BINARIES, "0"), run.stderr[-2000:]
    tallies = [json.loads((tmp_path / name / "tally.json").read_text()) for name in BINARIES]
    assert [tally["inputs"] for tally in tallies] == list(BINARIES.values())


def test_small_real_videos_are_among_the_seeds(samples_dir, tmp_path):
    small = [p.read_bytes() for p in samples_dir.glob("videos/*") if p.stat().st_size < 17_500]
    assert small
    seeds = fuzz_seeds.videos(tmp_path)
    assert all(video in seeds for video in small)


def test_seeds_do_without_real_videos(monkeypatch, tmp_path):
    monkeypatch.setattr(fuzz_seeds, "SAMPLES", tmp_path / "none")
    assert fuzz_seeds.real_videos() == []
