import json

import pandas as pd
import pytest
from raw_folders import in_process, rows, tree
from running import ctxtool

from toolkit.commands.synthesize import PRESET_NAMES
from toolkit.synthesis import PRESETS

SMALL = ("--train", 3, "--test", 2, "--frames", 5, "--size", "32x24", "--jobs", 1)
CEILINGS = (
    "exact ceilings: chance 0.25, rgb 0.5, skeleton 0.375, additive 0.75,"
    " additive_bound 0.875, both 1"
)


def synthesize(kind, cwd, *options):
    return in_process("synthesize", kind, *SMALL, *options, cwd=cwd)


def test_the_presets_offered_are_those_there_are():
    assert tuple(PRESETS) == PRESET_NAMES


@pytest.mark.parametrize("kind", ["ntu", "kinetics"])
def test_defaults_need_no_path(tmp_path, kind):
    ran = ctxtool("synthesize", kind, *SMALL, cwd=tmp_path)
    assert (ran.status, ran.err) == (0, "")
    written = f"data/{kind}: 3 training and 2 test recordings written"
    assert ran.out.splitlines() == [written, CEILINGS, "what these mean: docs/synthetic-data.md"]


def test_what_is_there_already_is_left_alone(tmp_path):
    synthesize("ntu", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = synthesize("ntu", tmp_path)
    assert again.out.startswith("data/ntu: 3 training and 2 test recordings were there already\n")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_ceilings_and_latents_lie_beside_the_data(tmp_path):
    synthesize("kinetics", tmp_path, "--preset", "pure")
    ceilings = json.loads((tmp_path / "data/kinetics/ceilings.json").read_text())
    latents = pd.read_csv(tmp_path / "data/kinetics/latents.csv", dtype={"id": str})
    assert (ceilings["preset"], ceilings["both"]) == ("pure", 1)
    assert latents["id"].str.len().tolist() == [11] * 5


def test_gaps_and_phantoms_reach_the_manifest(tmp_path):
    options = ("--train", 12, "--frames", 24, "--gaps", "--phantoms")
    assert synthesize("ntu", tmp_path, *options).status == 0
    ran = in_process("extract-ntu", "--skeleton-only", "--jobs", 1, cwd=tmp_path)
    assert (ran.status, ran.out.splitlines()[0]) == (0, "out/ntu60: 14 planned = 14 ok")
    manifest = rows(tmp_path / "out" / "ntu60")
    assert set(manifest["n_frames"]) == {24}
    assert set(manifest["n_bodies"]) == {1, 2}


def test_a_preset_without_an_exact_bound_leaves_it_out(tmp_path):
    ran = synthesize("ntu", tmp_path, "--preset", "four-parts")
    assert ran.status == 0
    assert "additive_bound" not in ran.out
    assert "additive " in ran.out


def test_other_options_need_another_folder(tmp_path):
    synthesize("ntu", tmp_path)
    before = tree(tmp_path)
    ran = synthesize("ntu", tmp_path, "--seed", 1)
    assert ran.status == 1
    assert ran.err.startswith("Error: data/ntu: holds synthetic data made with seed 0, not 1")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (("--size", "128"), 2, "'128' is not a size like 128x96"),
        (("--size", "-4x96"), 2, "'-4x96' is not a size like 128x96"),
        (("--size", "33x24"), 1, "size must be even numbers from 16 on, got (33, 24)"),
        (("--phantoms",), 1, "phantoms need n_frames of at least 24"),
        (("--preset", "easy"), 2, "'easy' is not one of 'demo', 'graded'"),
        (("--train", 0), 2, "0 is not in the range x>=1"),
        (("--occlusion", 1.5), 2, "1.5 is not in the range 0<=x<=1"),
    ],
)
def test_wrong_options_are_told_before_anything_is_written(tmp_path, options, status, told):
    ran = synthesize("ntu", tmp_path, *options)
    assert ran.status == status
    assert told in ran.err
    assert tree(tmp_path) == []


def test_capitals_in_a_size_are_fine(tmp_path):
    assert synthesize("ntu", tmp_path, "--size", "32X24").status == 0


def test_an_option_of_the_command_alone_asks_which_kind(tmp_path):
    ran = in_process("synthesize", cwd=tmp_path)
    assert ran.status == 2
    assert "kinetics" in ran.out + ran.err
