import json
import re
from dataclasses import replace

import numpy as np
import pytest
from made_evaluations import make_evaluation
from made_runs import EPOCHS, HOSTILE, LABELS, write_run, write_shards
from report_pages import carried
from trained_runs import run_module

from train.errors import TrainError
from train.report_page import PageOptions, write_ablation_page, write_run_page
from train.run_story import choose_mistakes, compare_with_recipe, measure_confidence, read_story
from train.scores_file import read_scores, write_scores


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("made") / "out")


@pytest.fixture(scope="module")
def run(tmp_path_factory, shards):
    return write_run(tmp_path_factory.mktemp("runs") / "mine", shards)


@pytest.fixture(scope="module")
def parts(run):
    write_run_page(run, run / "report.html")
    return carried(run / "report.html")


def curve(header, panel, kind):
    return next(c for c in header["curves"] if (c["panel"], c["kind"]) == (panel, kind))


def test_curves_are_the_numbers_of_metrics(parts):
    header, _ = parts["page"]
    assert curve(header, "loss", "training")["y"] == [epoch["loss"] for epoch in EPOCHS]
    assert curve(header, "top-1", "training")["y"] == [25, 62.5, 87.5]
    validated = curve(header, "top-1", "validation")
    assert (validated["x"], validated["y"]) == ([1, 3], [50, 75])
    assert curve(header, "learning rate", "training")["y"] == [0.1, 0.05, 0.01]
    assert curve(header, "learning rate", "training")["x"] == [1, 2, 3]


def test_figures_and_confusion_are_those_of_the_evaluation(parts, run):
    header, array = parts["page"]
    found = json.loads((run / "evaluation.json").read_text())
    assert ["top-1", [f"{found['top1']:.2%}"]] in header["test"]["figures"]
    assert header["test"]["figures"][0][1] == ["60.00%"]
    assert array(header["test"]["confusion"]).reshape(3, 3).tolist() == found["confusion"]
    assert header["test"]["classes"] == found["class_names"]


def test_what_was_trained_is_told(parts, run):
    header, _ = parts["page"]
    assert header["recipe"] == "demo"
    assert ["optim.lr", "0.12, 0.25"] in header["settings"]
    told = dict(header["surroundings"])
    start = json.loads((run / "environment.json").read_text())["starts"][0]
    assert told["data: fingerprint"] == start["data"]["fingerprint"]
    assert told["python"] == "3.12.1"


def test_a_resumed_run_is_still_of_the_recipe_it_began_with(shards, tmp_path):
    run = write_run(tmp_path / "run", shards)
    path = run / "environment.json"
    (start,) = json.loads(path.read_text())["starts"]
    resumed = start | {"command": "python -m train.run --out run --resume", "python": "3.13.0"}
    path.write_text(json.dumps({"starts": [start, resumed, resumed]}))
    write_run_page(run, tmp_path / "r.html")
    header = carried(tmp_path / "r.html")["page"][0]
    # The split is the data set's: the recipe leaves it open.
    assert (header["recipe"], header["settings"]) == ("demo", [["optim.lr", "0.12, 0.25"]])
    assert dict(header["surroundings"])["python"] == "3.13.0"


def test_another_split_than_the_recipes_is_a_difference(run):
    start = {"command": "python -m train.run --recipe paper-ntu-xview"}
    name, differences = compare_with_recipe(replace(read_story(run), starts=[start]))
    assert name == "paper-ntu-xview"
    assert "data.split: xview, xsub" in differences


def test_mistakes_are_the_most_confident_first_with_their_clips(parts):
    header, _ = parts["page"]
    assert header["n_wrong"] == 2
    assert [(m["id"], m["given"], m["share"]) for m in header["mistakes"]] == [
        ("s1", HOSTILE, 0.9),
        ("s3", "run", 0.6),
    ]
    clip, array = parts["mistake-0"]
    assert (clip["id"], clip["n_clips"], len(clip["jpegs"])) == ("s1", 2, 16)
    assert array(clip["jpegs"][0]).tobytes().startswith(b"\xff\xd8")


def test_the_number_of_mistakes_is_bounded(run, tmp_path):
    write_run_page(run, tmp_path / "r.html", PageOptions(n_mistakes=1))
    found = carried(tmp_path / "r.html")
    assert [name for name in found if name != "page"] == ["mistake-0"]
    assert found["page"][0]["n_wrong"] == 2
    with pytest.raises(ValueError, match="cannot show -1 mistakes"):
        PageOptions(n_mistakes=-1)


def test_without_its_shards_a_page_has_no_clips(run, tmp_path):
    write_run_page(run, tmp_path / "r.html", PageOptions(shards=tmp_path / "gone"))
    found = carried(tmp_path / "r.html")
    assert list(found) == ["page"]
    assert "drawing" not in found["page"][0]
    assert len(found["page"][0]["mistakes"]) == 2


def test_other_shards_give_no_clips(run, shards, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    facts = json.loads((shards / "dataset.json").read_text())
    for name in ("manifest.parquet", "shards"):
        (other / name).symlink_to(shards / name)
    (other / "dataset.json").write_text(json.dumps(facts | {"fingerprint": "0" * 64}))
    write_run_page(run, tmp_path / "r.html", PageOptions(shards=other))
    assert list(carried(tmp_path / "r.html")) == ["page"]


def test_a_run_that_was_not_evaluated_has_curves_alone(shards, tmp_path):
    run = write_run(tmp_path / "run", shards)
    (run / "scores.parquet").unlink()
    write_run_page(run, tmp_path / "r.html")
    header = carried(tmp_path / "r.html")["page"][0]
    assert header["curves"]
    assert not {"test", "mistakes"} & header.keys()


def test_another_run_stands_beside_it(run, shards, tmp_path):
    better = write_run(tmp_path / "other", shards, scores=np.eye(3)[list(LABELS)])
    write_run_page(run, tmp_path / "r.html", PageOptions(against=better))
    header, array = carried(tmp_path / "r.html")["page"]
    assert header["against"]["title"] == "other"
    assert header["against"]["test"]["figures"][0] == ["top-1", ["100.00%"]]
    assert array(header["against"]["test"]["confusion"]).tolist() == [2, 0, 0, 0, 2, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"class_names": ("a", "b", "c")}, "mine and .*other differ in class_names: only"),
        ({"split": "xview"}, r"differ in split \(xsub, xview\)"),
        ({"subset": "train"}, r"differ in subset \(test, train\)"),
        ({"average": "logits"}, r"differ in average \(softmax, logits\)"),
        ({"dropped": np.array([0, 1, 0])}, "differ in dropped"),
        ({"sample_ids": ("s0", "s1", "s2", "s3", "s9")}, "samples such as s4 are not in both"),
        ({"labels": np.array([0, 0, 1, 2, 2])}, "samples such as s4 are not in both"),
    ],
)
def test_a_run_judged_by_something_else_is_refused(run, shards, tmp_path, changes, sentence):
    other = change_evaluation(write_run(tmp_path / "other", shards), **changes)
    with pytest.raises(TrainError, match=sentence):
        write_run_page(run, tmp_path / "r.html", PageOptions(against=other))


def change_evaluation(run, **changes):
    path = run / "scores.parquet"
    write_scores(replace(read_scores(path), **changes), path)
    return run


def test_a_run_on_other_shards_of_the_same_samples_is_marked(run, shards, tmp_path):
    other = change_evaluation(
        write_run(tmp_path / "other", shards), source={"checkpoint": "c", "fingerprint": "0" * 64}
    )
    write_run_page(run, tmp_path / "r.html", PageOptions(against=other))
    (sentence,) = carried(tmp_path / "r.html")["page"][0]["test"]["limits"]
    assert sentence.startswith("other was evaluated on other shards of the same samples: fing")
    assert "000000000000 there" in sentence


def test_the_name_of_a_run_is_no_markup(shards, tmp_path):
    # Names of classes lie packed in the page; what becomes of them only a browser shows.
    run = write_run(tmp_path / "<img src=x onerror=alert(1)>", shards)
    write_run_page(run, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "<title>&lt;img src=x onerror=alert(1)&gt;: report</title>" in text
    assert "<img" not in text


def test_nothing_is_fetched(run, parts):
    text = (run / "report.html").read_text("utf-8")
    # The only address is a name of SVG's, which nobody fetches.
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"(?:src|href)=\"(?!#)", text)
    assert "default-src 'none'" in text


def test_logits_become_shares():
    evaluation = make_evaluation([0], [[0.0, np.log(3), -1e9]], average="logits")
    assert measure_confidence(evaluation) == pytest.approx([0.75])


def test_equally_confident_mistakes_come_in_order():
    evaluation = make_evaluation([0, 0, 1], [[0.2, 0.8, 0], [0.2, 0.8, 0], [0.9, 0.1, 0]])
    assert choose_mistakes(evaluation, 3) == [2, 0, 1]


def test_a_recipe_that_is_gone_is_the_defaults(run):
    story = read_story(run)
    story = replace(story, starts=[{"command": "x --recipe /nowhere/mine.toml"}])
    name, differences = compare_with_recipe(story)
    assert name == "defaults"
    assert "optim.lr: 0.1, 0.25" in differences


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(TrainError, match=r"config\.json is not the readable JSON of a run"):
        read_story(tmp_path)


def test_an_ablation_has_its_tables_and_the_ways_to_its_runs(tmp_path):
    table = {"title": "Table 3: X", "note": "A note.", "heads": ["", "top-1"], "rows": [["a", "1"]]}
    runs = [["KM-base-seed0", "finished", "KM-base-seed0/report.html"]]
    write_ablation_page(tmp_path / "r.html", {"title": "t", "lead": "l"}, [table], runs)
    header = carried(tmp_path / "r.html")["page"][0]
    assert header == {"title": "t", "lead": "l", "tables": [table], "runs": runs}


def test_the_command_tells_the_size(run, tmp_path):
    out = tmp_path / "page.html"
    done = run_module("train.report", run, "--mistakes", "1", "--out", out, folder=tmp_path)
    assert done.status == 0, done.err
    assert done.out == f"{out}: {out.stat().st_size / 1e6:.1f} MB\n"
