import importlib.util
import sys

import pytest
import torch
from click.testing import CliRunner
from tiny_runs import tiny_config, write_tiny_dataset
from trained_runs import train_run

from toolkit.shards import LAYOUTS
from train.checkpoint import DataFacts
from train.errors import TrainError
from train.export import _compare, export, export_run, make_inputs
from train.files import RunFolder
from train.models import SkeletonGraph, build_model
from train.saved_run import SavedRun, load_run
from train.scoring import Forward

HAS_ONNX = all(map(importlib.util.find_spec, ("onnx", "onnxscript", "onnxruntime")))
NETWORKS = [
    {"model.system": "skeleton", "model.person_mask": True},
    {"model.system": "rgb"},
    {"model.system": "concat"},
    {"model.system": "self-attention"},
    {"model.system": "cross-attention"},
    {"model.backbone": "agcn", "model.attention.score": "dot"},
    {"model.attention.reduce": "max", "model.attention.context_k": "pooled"},
]
GRID = {"model.attention.context_k": "grid(2)"}
# Each takes seconds; with these, every part of a network is exported once.
EXPORTED = [NETWORKS[0], NETWORKS[2], NETWORKS[5] | GRID, NETWORKS[6]]


def made_run(folder, changes=None):
    """Return a network with random weights as if it had been trained, batch norm moved too."""
    config = tiny_config({"model.dropout": 0.0} | (changes or {}))
    layout = LAYOUTS["ntu25"]
    torch.manual_seed(0)
    graph = SkeletonGraph(layout.n_joints, layout.bones, layout.centre)
    model = build_model(config.model, graph, 3).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
    data = DataFacts("ntu60", "f00d", layout, ("drink", "eat", "sit"))
    forward = Forward(torch.device("cpu"), config.data)
    checkpoint = folder / "step-1.pt"
    return SavedRun(RunFolder(folder), checkpoint, 1, config, data, model, forward)


@pytest.mark.parametrize("changes", EXPORTED, ids=str)
def test_a_network_is_exported_for_any_number_of_clips(tmp_path, changes):
    loaded = made_run(tmp_path, changes)
    exported = export_run(loaded, tmp_path / "out", onnx=False)
    assert exported.pt2_difference < 1e-4
    program = torch.export.load(tmp_path / "out" / "model.pt2").module()
    for n_clips in (1, 5):
        assert program(*make_inputs(loaded, n_clips).values()).shape == (n_clips, 3)


@pytest.mark.skipif(not HAS_ONNX, reason="onnx, onnxscript and onnxruntime are not installed")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("changes", NETWORKS, ids=str)
def test_onnx_says_the_same(tmp_path, changes):
    exported = export_run(made_run(tmp_path, changes), tmp_path / "out")
    assert exported.onnx_difference < 1e-4
    assert (tmp_path / "out" / "model.onnx").is_file()


@pytest.mark.skipif(not HAS_ONNX, reason="onnx, onnxscript and onnxruntime are not installed")
def test_what_onnx_has_no_operator_for_is_refused(tmp_path):
    with pytest.raises(TrainError, match=r"grid\(2\), for which ONNX has no operator"):
        export_run(made_run(tmp_path, GRID), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_card_tells_what_it_is_and_a_readme_beside_it_stays(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    export_run(made_run(tmp_path), tmp_path, onnx=False)
    assert (tmp_path / "README.md").read_text() == "mine"
    card = (tmp_path / "MODEL_CARD.md").read_text()
    for text in (
        "# cross-attention on ntu60", "`f00d`", "academic research only", "0. drink", "2. sit",
        "| joints | N, 3, 8, 25, 2 |", "| rgb | N, 3, 8, 16, 16 |", "mlp2, average, after gcn1",
        "Not evaluated", "| model.pt2 | ",
    ):  # fmt: skip
        assert text in card


def test_another_answer_is_refused():
    with pytest.raises(TrainError, match=r"model\.pt2 says something else.*differ by 0\.5"):
        _compare("model.pt2", torch.ones(2), torch.full((2,), 0.5))
    with pytest.raises(TrainError, match="differ by nan"):
        _compare("model.pt2", torch.full((2,), torch.nan), torch.ones(2))


def test_a_network_of_stored_context_is_refused(tmp_path):
    loaded = made_run(tmp_path, {"model.context_channels": 4})
    with pytest.raises(TrainError, match="features from a context file"):
        export_run(loaded, tmp_path / "out", onnx=False)


def test_missing_packages_are_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(TrainError, match=r"needs the package onnx: pip install 'ctxtool"):
        export_run(made_run(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_exports_a_run(tmp_path):
    shards = write_tiny_dataset(tmp_path / "made")
    run = train_run(shards, tmp_path / "run")
    ran = CliRunner().invoke(export, [str(run), "--no-onnx"])
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.splitlines()[:2] == [
        str(run / "export" / name) for name in ("model.pt2", "MODEL_CARD.md")
    ]
    assert load_run(run).data.fingerprint in (run / "export" / "MODEL_CARD.md").read_text()
