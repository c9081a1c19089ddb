import json
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from shard_builders import Recording
from tiny_runs import make_trainer, write_tiny_dataset

from toolkit.shards import LAYOUTS, DatasetReader
from train import audits
from train import synthetic as synthetic_module
from train.attention_report import ARMS, LEGS, measure_contrasts, select_joints
from train.audit import audit_one, audit_runs
from train.audits import Subject
from train.errors import TrainError
from train.evaluate import EvaluationOptions
from train.evaluation import Evaluation
from train.models import AttentionConfig, AttentionMaps, ModelConfig
from train.synthetic import (
    Ceilings,
    LatentTable,
    find_beside_raw,
    read_ceilings,
    read_latents,
    standard_error,
)

DEMO = Ceilings(2, 1, 2, 2, False, 0.25, 0.5, 0.375, 0.75, 1.0, 0.875)
N = 320


def draw_latents(n=N, seed=0):
    """The demo preset: 2 scene families, 1 posture, 2 motions, 2 parts; label 2 s + a_p."""
    rng = np.random.default_rng(seed)
    s, p, *a = (rng.integers(0, 2, n) for _ in range(4))
    labels = {(s, 0, motion): 2 * s + motion for s in range(2) for motion in range(2)}
    return LatentTable(s, p, np.zeros(n, np.int64), np.stack(a, 1), labels)


class Oracle(Subject):
    """A network that gives ``answer(latents, skeletons, scenes)``; every sample is a test one."""

    def __init__(self, answer, model=None, n=N):
        self.latents, self.ceilings, self.answer = draw_latents(n), DEMO, answer
        self.model = model or ModelConfig()
        self._number_of = {str(i): i for i in range(n)}

    def evaluate(self, *, pairing=None, subset="test"):
        samples = np.arange(len(self._number_of))
        scenes = np.array([(pairing or {}).get(i, i) for i in samples.tolist()])
        return Evaluation(
            split="xsub",
            subset=subset,
            average="softmax",
            class_names=("a", "b", "c", "d"),
            sample_ids=tuple(self._number_of),
            labels=self.latents.labels(samples, samples),
            scores=np.eye(4, dtype=np.float32)[self.answer(self.latents, samples, scenes)],
            dropped=np.zeros(4, np.int64),
            source={},
        )


def know_all(latents, skeletons, scenes):
    return latents.labels(skeletons, scenes)


def watch_arms(latents, skeletons, scenes):
    """Sees the scene family, and takes the arms whatever counts."""
    return 2 * latents.s[scenes] + latents.a[skeletons, 0]


def remember(latents, skeletons, scenes):
    """Knows each skeleton's label by heart, as a network that has leaked would."""
    return latents.labels(skeletons, skeletons)


def rng():
    return np.random.default_rng(1)


@pytest.mark.parametrize(
    ("system", "bound", "expected"),
    [
        ("rgb", 0.5, 0.5),
        ("skeleton", 0.375, 0.375),
        ("self-attention", 0.375, 0.375),
        ("concat", 0.875, 0.75),
        ("cross-attention", 1.0, 1.0),
    ],
)
def test_ceilings_of_the_systems(system, bound, expected):
    assert DEMO.bound(ModelConfig(system=system)) == bound
    assert DEMO.expected(ModelConfig(system=system)) == expected


def test_cross_attention_without_its_cross_part_has_the_skeletons_ceiling():
    model = ModelConfig(attention=AttentionConfig(combine="self_only"))
    assert DEMO.bound(model) == 0.375


@pytest.mark.parametrize(
    ("A", "P", "distinct", "kept"), [(2, 2, False, 0.75), (4, 2, False, 0.625), (4, 4, True, 0.25)]
)
def test_what_a_random_part_leaves(A, P, distinct, kept):
    assert Ceilings(1, 1, A, P, distinct, 0, 0, 0, 0, 1).shuffled == kept


def test_a_score_above_its_ceiling_is_a_leak():
    finding = audits.audit_ceiling(Oracle(know_all, ModelConfig(system="skeleton")))
    assert finding.passed is False
    assert "a leak" in finding.text


def test_a_perfect_network_with_both_inputs_is_none():
    finding = audits.audit_ceiling(Oracle(know_all))
    assert finding.passed is True
    assert finding.figures["top1"] == 1.0


def test_a_network_far_below_its_ceiling_is_told():
    finding = audits.audit_ceiling(Oracle(watch_arms))
    assert finding.passed is True
    assert "below the 1.000" in finding.text


@pytest.mark.parametrize("check", [audits.audit_other_part, audits.audit_swapped_motions])
def test_a_perfect_network_flips_exactly_where_it_must(check):
    finding = check(Oracle(know_all), rng())
    assert finding.passed is True
    assert finding.figures["flips_where_due"] == 1.0
    assert finding.figures["flips_elsewhere"] == 0.0


@pytest.mark.parametrize("check", [audits.audit_other_part, audits.audit_swapped_motions])
def test_a_network_that_takes_the_arms_is_honest_but_blind(check):
    finding = check(Oracle(watch_arms), rng())
    assert finding.passed is True
    assert finding.figures["top1"] == pytest.approx(0.75, abs=0.08)


def test_a_network_that_never_looks_at_the_part_never_flips():
    finding = audits.audit_other_part(Oracle(watch_arms), rng())
    assert finding.figures["flips_where_due"] == 0.0


def test_a_network_that_remembers_skeletons_fails_the_other_part():
    finding = audits.audit_other_part(Oracle(remember), rng())
    assert finding.passed is False
    # Wrong in the half of the samples whose two motions differ.
    assert finding.figures["top1"] == pytest.approx(0.5, abs=0.08)


def test_a_network_that_remembers_skeletons_fails_shuffled_context():
    finding = audits.audit_shuffled(Oracle(remember), rng())
    assert finding.passed is False
    assert finding.figures["top1"] == 1.0


def test_a_perfect_network_falls_as_far_as_it_must():
    finding = audits.audit_shuffled(Oracle(know_all), rng())
    assert finding.passed is True
    assert finding.figures["top1"] == finding.figures["expected_here"]
    assert finding.figures["expected_here"] == pytest.approx(0.75, abs=0.08)


def test_shuffled_context_gives_no_verdict_on_a_network_that_has_not_learnt():
    assert audits.audit_shuffled(Oracle(watch_arms), rng()).passed is None


def test_shuffled_context_does_not_apply_without_pictures():
    skeleton = ModelConfig(system="skeleton")
    assert audits.audit_shuffled(Oracle(remember, skeleton), rng()).passed is None


def test_pairs_with_another_part_keep_the_scene_family():
    latents, samples = draw_latents(), np.arange(N)
    scenes = audits.pair_other_part(latents, samples, rng())
    assert (latents.s[scenes] == latents.s).all()
    assert (latents.p[scenes] != latents.p).all()


def test_pairs_with_swapped_motions():
    latents, samples = draw_latents(), np.arange(N)
    scenes = audits.pair_swapped_motions(latents, samples, rng())
    assert (latents.a[scenes] == latents.a[:, ::-1]).all()


def test_pairs_with_a_random_part_draw_every_part_alike():
    latents, samples = draw_latents(2000), np.arange(2000)
    scenes = audits.pair_random_part(latents, samples, rng())
    assert (latents.s[scenes] == latents.s).all()
    assert (latents.p[scenes] == latents.p).mean() == pytest.approx(0.5, abs=0.04)


def test_samples_without_a_partner_are_left_out():
    latents = draw_latents(1)
    assert audits.pair_other_part(latents, np.arange(1), rng()).tolist() == [-1]
    finding = audits.audit_other_part(Oracle(know_all, n=1), rng())
    assert finding.passed is None


def test_standard_error_of_a_share():
    assert standard_error(0.375, 512) == pytest.approx(0.0213954, abs=1e-7)


@pytest.mark.parametrize(("name", "n_arms", "n_legs"), [("openpose18", 4, 4), ("ntu25", 8, 6)])
def test_arms_and_legs_by_name(name, n_arms, n_legs):
    assert len(select_joints(LAYOUTS[name], ARMS)) == n_arms
    assert len(select_joints(LAYOUTS[name], LEGS)) == n_legs


def write_synthetic(folder):
    """Write shards with the latents and ceilings beside the raw data they claim to be of."""
    rows, recordings = [], []
    generator = np.random.default_rng(3)
    for number in range(24):
        p, *a = generator.integers(0, 2, 3).tolist()
        subset = "train" if number < 12 else "test"
        # Ids that read as numbers must stay text.
        name = f"{number:08}e05"
        recordings.append(Recording(name, a[p], 10, subset=subset))
        rows.append(f"{name},{subset},{a[p]},0,{p},0,{a[0]},{a[1]}")
    shards = write_tiny_dataset(folder / "shards", recordings=recordings)
    head = "id,subset,label,s,p,q,a_1,a_2"
    (folder / "latents.csv").write_text("\n".join([head, *rows]) + "\n")
    (folder / "ceilings.json").write_text(json.dumps(vars(DEMO) | {"preset": "demo"}))
    return shards


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    return write_synthetic(tmp_path_factory.mktemp("synthetic"))


def test_latents_by_sample_number(synthetic):
    with DatasetReader(synthetic) as reader:
        latents = read_latents(synthetic.parent / "latents.csv", reader)
        samples = np.arange(len(reader))
        assert latents.a.shape == (24, 2)
        assert (latents.labels(samples, samples) == reader.labels).all()


def test_latents_of_other_raw_data_are_refused(synthetic, tmp_path):
    file = tmp_path / "latents.csv"
    file.write_text("id,s,p,q,a_1,a_2\nother,0,0,0,0,0\n")
    with pytest.raises(TrainError, match="knows nothing of 24 of 24 samples"):
        read_latents(file, DatasetReader(synthetic))


def test_latents_that_do_not_explain_the_labels_are_refused(synthetic, tmp_path):
    lines = (synthetic.parent / "latents.csv").read_text().splitlines()
    wrong = [line.rsplit(",", 5)[0] + ",0,0,0,0,0" for line in lines[1:]]
    file = tmp_path / "latents.csv"
    file.write_text("\n".join([lines[0], *wrong]))
    with pytest.raises(TrainError, match="does not follow from its latents"):
        read_latents(file, DatasetReader(synthetic))


@pytest.mark.parametrize(
    ("text", "said"),
    [("id,s\n1,0\n", "lacks the columns a_1, a_2, p, q"), ("", "no readable table of latents")],
)
def test_broken_latents_are_named(synthetic, tmp_path, text, said):
    file = tmp_path / "latents.csv"
    file.write_text(text)
    with pytest.raises(TrainError, match=said):
        read_latents(file, DatasetReader(synthetic))


@pytest.mark.parametrize("text", ["{}", "[1]", "not JSON"])
def test_broken_ceilings_are_named(tmp_path, text):
    file = tmp_path / "ceilings.json"
    file.write_text(text)
    with pytest.raises(TrainError, match=r"ceilings\.json does not hold the ceilings"):
        read_ceilings(file)


def test_nothing_lies_beside_real_raw_data(synthetic):
    assert find_beside_raw(synthetic, "no such file") is None


def test_files_are_found_above_the_raw_files(synthetic, tmp_path, monkeypatch):
    raw = tmp_path / "raw" / "kinetics_train" / "one.json"
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "ceilings.json").touch()
    monkeypatch.setattr(
        synthetic_module, "read_manifest", lambda _: pd.DataFrame({"poses": [str(raw)]})
    )
    assert find_beside_raw(synthetic, "ceilings.json") == tmp_path / "raw" / "ceilings.json"


def test_contrasts_are_means_over_the_clips_of_a_part(monkeypatch):
    layout = LAYOUTS["openpose18"]
    arms, legs = select_joints(layout, ARMS), select_joints(layout, LEGS)
    gate = np.zeros((4, 2, 4, 18), np.float32)
    gate[:, 1] = gate[3] = 0.9  # a second body must not count, nor a stand-in of weight 0
    gate[0, 0][:, arms], gate[1, 0][:, arms], gate[2, 0][:, legs] = 0.5, 0.7, 0.25
    maps = {"gcn6": [AttentionMaps(None, torch.from_numpy(gate), torch.from_numpy(gate))]}
    monkeypatch.setattr("train.attention_report.capture_attention", fake_capture(maps))
    loaded = SimpleNamespace(
        data=SimpleNamespace(layout=layout), model=None, forward=lambda model, batch: None
    )
    batch = SimpleNamespace(
        sample=torch.tensor([0, 1, 2, 2]), weight=torch.tensor([1.0, 1.0, 1.0, 0.0])
    )
    contrasts = measure_contrasts(loaded, [batch], np.array([0, 0, 1]))
    assert contrasts["gcn6"] == pytest.approx({0: 0.6, 1: -0.25})


def fake_capture(maps):
    return lambda model, n_persons: nullcontext(maps)


@pytest.fixture(scope="module")
def run(synthetic, tmp_path_factory):
    out = tmp_path_factory.mktemp("audited") / "run"
    make_trainer(synthetic, out, {"optim.epochs": 1, "run.missing_classes": "allow"}).run()
    return out


def audit_tiny(run, synthetic):
    options = EvaluationOptions(device="cpu", workers=0)
    return audit_one(run, synthetic, options, latents=synthetic.parent / "latents.csv")


def test_a_run_is_audited_from_its_checkpoint(run, synthetic, capsys):
    assert audit_tiny(run, synthetic) == 0
    told = json.loads((run / "audit.json").read_text())
    assert told["passed"] is True
    names = [finding["name"] for finding in told["findings"]]
    assert names == [
        "ceiling", "counterfactual, scene with another p", "counterfactual, swapped motions",
        "shuffled context", "attention", "memory",
    ]  # fmt: skip
    assert set(told["findings"][4]["figures"]["attention.gcn1"]) == {"p=0", "p=1"}
    assert "pass  ceiling" in capsys.readouterr().out


def test_a_failed_audit_gives_status_1(run, synthetic, monkeypatch, capsys):
    monkeypatch.setattr(
        "train.audit.audit", lambda *_: [audits.Finding("ceiling", False, "a leak")]
    )
    assert audit_tiny(run, synthetic) == 1
    assert json.loads((run / "audit.json").read_text())["passed"] is False
    assert "FAIL  ceiling  a leak" in capsys.readouterr().out


def test_runs_on_real_data_cannot_be_audited(run, synthetic):
    arguments = [str(run), "--shards", str(synthetic), "--device=cpu"]
    result = CliRunner().invoke(audit_runs, arguments, standalone_mode=False)
    assert isinstance(result.exception, TrainError)
    assert "audits are for synthetic data" in str(result.exception)
