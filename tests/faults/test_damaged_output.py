"""Finished files that were damaged since: made again, or named with the cure; never trusted."""

import json
import shutil

import pytest
from faulty_builds import is_one_sentence
from forked_command import run_forked


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"x")


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) * 3 // 4] ^= 1
    path.write_bytes(data)


def put_folder(path):
    path.unlink()
    path.mkdir()


def put_garbage(path):
    path.write_bytes(b"\xff\x00 no JSON")


def change(key, value):
    def act(path):
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))

    return act


SEEN_AT_ONCE = {
    "shard cut": ("00000.h5", cut),
    "shard longer": ("00000.h5", lengthen),
    "shard gone": ("00000.h5", lambda path: path.unlink()),
    "sidecar gone": ("00000.json", lambda path: path.unlink()),
    "sidecar cut": ("00000.json", cut),
    "sidecar empty": ("00000.json", lambda path: path.write_bytes(b"")),
    "sidecar garbage": ("00000.json", put_garbage),
    "sidecar of another plan": ("00000.json", change("fingerprint", "0" * 64)),
    "sidecar of another shard": ("00000.json", change("shard", 1)),
    "sidecar without rows": ("00000.json", change("rows", [])),
    "sidecar with empty rows": ("00000.json", change("rows", [{}])),
    "sidecar with rows of another": (
        "00000.json",
        change("rows", [{"sample_id": "somebody", "status": "ok", "label": 0}]),
    ),
}


@pytest.mark.parametrize("damage", SEEN_AT_ONCE)
def test_what_can_be_seen_is_made_again_and_said(finished, calm, damage):
    name, act = SEEN_AT_ONCE[damage]
    act(finished.out / "shards" / name)

    ran = finished.run()

    assert ran.status == 0, ran
    assert finished.files() == calm.files()
    if damage != "sidecar gone":
        assert "shard 0" in ran.err


@pytest.mark.parametrize("name", ["manifest.parquet", "dataset.json"])
@pytest.mark.parametrize("act", [cut, flip, put_garbage])
def test_manifest_and_description_are_written_anew(finished, calm, name, act):
    act(finished.out / name)
    assert finished.run().status == 0
    assert finished.files() == calm.files()


@pytest.mark.parametrize("act", [cut, put_garbage])
def test_a_damaged_plan_is_refused_with_the_cure(finished, calm, act):
    act(finished.out / "plan.parquet")
    damaged = finished.files()

    ran = finished.run()

    assert (ran.status, is_one_sentence(ran.err)) == (1, True), ran
    assert "plan.parquet" in ran.err
    assert "choose another --out, or --overwrite" in ran.err
    assert finished.files() == damaged
    assert finished.run("--overwrite").status == 0
    assert finished.files() == calm.files()


def test_a_sidecar_that_is_a_folder_is_named(finished, calm):
    path = finished.out / "shards" / "00000.json"
    put_folder(path)
    ran = finished.run()
    assert (ran.status, str(path) in ran.err) == (1, True)
    shutil.rmtree(path)
    assert finished.run().status == 0
    assert finished.files() == calm.files()


def verify(build):
    return run_forked(("verify", build.out, "--jobs", 1), build.folder / "verify")


@pytest.mark.parametrize("name", ["00001.h5", "00001.json"])
def test_a_flipped_bit_is_found_by_verify_which_names_the_cure(finished, calm, name):
    flip(finished.out / "shards" / name)
    ran = verify(finished)
    assert ran.status == 1
    assert name in ran.err
    assert "--verify-existing" in ran.err


def test_a_flipped_bit_is_cured_when_asked_to_look(finished, calm):
    flip(finished.out / "shards" / "00001.h5")
    ran = finished.run("--verify-existing")
    assert ran.status == 0
    assert "shard 1" in ran.err
    assert finished.files() == calm.files()
