"""Some thousand damaged files for every reader: its result or its own sentence, nothing else."""

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
BINARIES = {"manifest": 150, "plan": 200, "shard": 100, "group": 500, "picture": 1000, "video": 60}


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
    for _ in range(250):
        TARGETS[name].read(folder, mutate(random.choice(valid), random))


@pytest.mark.parametrize("name", TEXTS)
@settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(data=st.data())
def test_any_bytes(prepared, name, data):
    folder, valid = prepared(name)
    anything = st.binary(max_size=200) | st.text(max_size=100).map(str.encode)
    begin = data.draw(st.sampled_from([b"", *(text[:40] for text in valid)]))
    TARGETS[name].read(folder, begin + data.draw(anything))


@pytest.mark.parametrize("name", BINARIES)
def test_damaged_files_of_c_libraries(tmp_path, name):
    # In a process of its own: what this guards against is the end of the process.
    script = Path(fuzz_all.__file__).with_name("fuzz_one.py")
    options = [f"--folder={tmp_path / 'f'}", f"--inputs={BINARIES[name]}", "--seconds=120"]
    run = subprocess.run(
        [sys.executable, script, name, *options], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]


def test_small_real_videos_are_among_the_seeds(samples_dir, tmp_path):
    small = [p.read_bytes() for p in samples_dir.glob("videos/*") if p.stat().st_size < 17_500]
    assert small
    seeds = fuzz_seeds.videos(tmp_path)
    assert all(video in seeds for video in small)


def test_seeds_do_without_real_videos(monkeypatch, tmp_path):
    monkeypatch.setattr(fuzz_seeds, "SAMPLES", tmp_path / "none")
    assert fuzz_seeds.real_videos() == []
