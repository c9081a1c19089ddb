"""One recording that kills, hangs or bloats whatever reads it is the only one that is lost."""

import os
import signal
import subprocess

import pytest
from poison import write_poison
from raw_folders import in_process, rows, shards, write_ntu
from running import CTXTOOL, has_ended

NAMES = [f"S001C001P00{n}R001A001" for n in range(1, 9)]
CRASHES, HANGS, BLOATS = NAMES[1], NAMES[3], NAMES[5]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    for name in NAMES:
        write_ntu(folder, name)
    return folder


@pytest.fixture(scope="module")
def calm(raw, tmp_path_factory):
    """The output of a build that nothing happened to."""
    out = tmp_path_factory.mktemp("calm") / "out"
    assert in_process(*options(raw, out)).status == 0
    return out


def options(raw, out, *more):
    run = ("--raw", raw, "--out", out, "--samples-per-shard", 2, "--frame-size", 16)
    return [str(word) for word in ("extract-ntu", *run, *more)]


def run_poisoned(poison, *arguments):
    environment = os.environ | poison
    return subprocess.run(
        [*CTXTOOL, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def without_places(out, names):
    """Return the manifest rows of these samples, but for where they lie."""
    return rows(out).loc[names].drop(columns=["shard", "shard_row"]).to_dict("index")


def test_poisoned_recordings_are_lost_alone(raw, calm, tmp_path):
    out = tmp_path / "out"
    harms = {CRASHES: "segfault", f"{HANGS}_rgb": "hang", BLOATS: "bloat"}
    poison = write_poison(tmp_path / "poison", harms)
    limits = ("--sample-timeout", 8, "--sample-memory", 512)
    done = run_poisoned(poison, *options(raw, out, "--jobs", 2, *limits))

    assert done.returncode == 3
    ledger = done.stdout.splitlines()[0].removeprefix(f"{out}: 8 planned = 5 ok + ")
    assert sorted(ledger.split(" + ")) == ["1 crashed", "1 out_of_memory", "1 timeout"]
    assert "Traceback" not in done.stderr
    assert "Fatal Python error" not in done.stderr
    found = rows(out)
    assert {n: found["status"][n] for n in NAMES if found["status"][n] != "ok"} == {
        CRASHES: "crashed", HANGS: "timeout", BLOATS: "out_of_memory",
    }  # fmt: skip
    assert found["detail"][CRASHES] == "the decoder died of SIGSEGV, also when tried again"
    usable = [name for name in NAMES if name not in (CRASHES, HANGS, BLOATS)]
    assert without_places(out, usable) == without_places(calm, usable)
    assert shards(out)["00003.h5"][1] == shards(calm)["00003.h5"][1]
    assert not list(out.rglob(".*"))

    # As docs/pipeline.md says: what failed is tried again once its sidecar is gone.
    for name in ("00000.json", "00001.json", "00002.json"):
        (out / "shards" / name).unlink()
    assert in_process(*options(raw, out, *limits)).status == 0
    again, before = shards(out), shards(calm)
    assert {n: data for n, (_, data) in again.items()} == {
        n: data for n, (_, data) in before.items()
    }


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_hung_decoder_does_not_outlive_a_killed_build(raw, tmp_path, jobs):
    poison = write_poison(tmp_path / "poison", {HANGS: "hang"})
    with subprocess.Popen(
        [*CTXTOOL, *options(raw, tmp_path / "out", "--jobs", jobs)],
        env=os.environ | poison, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        while not (tmp_path / "poison" / "hanging").exists() and not has_ended(process):
            continue
        process.send_signal(signal.SIGKILL)
        # Its processes hold its streams: the end of those is the end of them all.
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


def test_memory_too_small_for_any_decoder_is_refused(raw, tmp_path):
    refused = in_process(*options(raw, tmp_path / "out", "--sample-memory", 100))
    assert refused.status == 2
    assert "100 is neither 0 nor at least 256" in refused.err
