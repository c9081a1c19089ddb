"""What a page tells of a training, from the files of its run folder: settings, curves, figures."""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.page import Pack
from train.config import TrainConfig, choose_recipe, list_differences, read_recipe
from train.errors import TrainError
from train.evaluation import Evaluation
from train.files import RunFolder
from train.records import read_records
from train.results import format_limits, list_figures, name_figures
from train.scores_file import SCORES_FILE, read_scores

# A curve of more points than this is no finer on a screen.
MAX_POINTS = 500
PANELS = (("loss", "loss", 1.0), ("top-1", "top1", 100.0))


@dataclass(frozen=True)
class Story:
    """A training as its run folder has it; ``starts`` are those of environment.json."""

    folder: RunFolder
    config: TrainConfig
    starts: Sequence[dict[str, Any]]
    records: Sequence[dict[str, Any]]
    evaluation: Evaluation | None

    @property
    def name(self) -> str:
        """The run folder's."""
        return self.folder.path.absolute().name

    @property
    def start(self) -> dict[str, Any]:
        """The last one."""
        return self.starts[-1]

    @property
    def epochs(self) -> list[dict[str, Any]]:
        """The records of epochs."""
        return [record for record in self.records if record["kind"] == "epoch"]


def read_story(run: Path) -> Story:
    """Read a run folder; raises ``TrainError`` naming the file that is missing or damaged."""
    folder = RunFolder(run)
    try:
        config = TrainConfig.from_dict(folder.read_json(folder.config))
        starts = [dict(start) for start in folder.read_json(folder.environment)["starts"]]
        if not starts:
            raise ValueError("no start")
    except (KeyError, TypeError, ValueError) as error:
        raise TrainError(f"{run} does not tell how it was trained: {error!r}") from error
    scores = run / SCORES_FILE
    evaluation = read_scores(scores) if scores.exists() else None
    return Story(folder, config, starts, read_records(folder.metrics), evaluation)


def describe_run(story: Story) -> dict[str, Any]:
    """Return the texts of a page's first part: a sentence, settings, surroundings."""
    data, model = story.start.get("data", {}), story.config.model
    last = story.epochs[-1]
    lead = (
        f"The {model.system} network on {data.get('name')}, split {story.config.data.split}:"
        f" {last['epoch']} of {story.config.optim.epochs} epochs,"
        f" {data.get('train')} training samples."
    )
    recipe, differences = compare_with_recipe(story)
    return {
        "title": story.name,
        "lead": lead,
        "recipe": recipe,
        "settings": [d.split(": ", 1) for d in differences],
        "surroundings": _list_surroundings(story.start),
    }


def compare_with_recipe(story: Story) -> tuple[str, list[str]]:
    """Return the recipe's name and what differs, as ``name: recipe's, the run's``.

    Where the recipe of the commands is gone, the paper's defaults stand in for it.  What a recipe
    leaves for the data to decide does not differ.
    """
    # A start that resumes names no recipe: it goes on with the settings saved.
    named = [name for start in story.starts for name in _list_recipes(start)]
    name = str(story.start.get("data", {}).get("name"))
    recipe = named[0] if named else choose_recipe(name, story.config.data.split or "")
    try:
        return recipe, _list_choices(read_recipe(recipe), story.config)
    except TrainError:
        return "defaults", _list_choices(TrainConfig(), story.config)


def _list_recipes(start: dict[str, Any]) -> list[str]:
    words = shlex.split(str(start.get("command", "")))
    apart = [after for word, after in pairwise(words) if word == "--recipe"]
    joined = [word.partition("=")[2] for word in words if word.startswith("--recipe=")]
    return (apart + joined)[-1:]


def _list_choices(recipe: TrainConfig, config: TrainConfig) -> list[str]:
    """List differences without what :func:`train.prepare.prepare` settles by the data."""
    settled: dict[str, Any] = {
        "model.in_channels": recipe.model.in_channels,
        "model.context_channels": recipe.model.context_channels,
    }
    if recipe.data.split is None:
        settled["data.split"] = None
    return list_differences(recipe, config.replaced(settled))


def _list_surroundings(start: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    pairs = []
    for name, value in start.items():
        if isinstance(value, dict):
            pairs += _list_surroundings(value, f"{above}{name}: ")
        else:
            told = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            pairs.append((f"{above}{name}", told))
    return pairs


def list_curves(story: Story) -> list[dict[str, Any]]:
    """Return loss, top-1 in percent and learning rate by epoch: one series each, as JSON values.

    ``kind`` is ``training`` or ``validation``; what is no finite number is left out.
    """
    series = []
    for panel, key, scale in PANELS:
        for kind, name in (("training", key), ("validation", f"val_{key}")):
            points = [(e["epoch"], scale * e[name]) for e in story.epochs if name in e]
            series.append(_make_series(panel, kind, points))
    first = story.epochs[0]
    n_steps = first["step"] / first["epoch"]
    rates = [(r["step"] / n_steps, r["lr"]) for r in story.records if "lr" in r]
    every = -(-len(rates) // MAX_POINTS)
    series.append(_make_series("learning rate", "training", rates[::every]))
    return [found for found in series if found["x"]]


def _make_series(panel: str, kind: str, points: list[tuple[float, float]]) -> dict[str, Any]:
    finite = [point for point in points if math.isfinite(point[1])]
    return {
        "panel": panel,
        "kind": kind,
        "x": [round(x, 4) for x, _ in finite],
        "y": [y for _, y in finite],
    }


def describe_test(evaluation: Evaluation, pack: Pack) -> dict[str, Any]:
    """Return the test figures; the confusion goes into the pack, rows by true class."""
    return {
        "about": f"{evaluation.n_samples} {evaluation.subset} samples of split"
        f" {evaluation.split}, {evaluation.source.get('checkpoint')}, {evaluation.average}"
        " averaged over all clips of each sample",
        "heads": name_figures(evaluation),
        "figures": [
            [name, [f"{s:.2%}" for s in shares]] for name, shares in list_figures(evaluation)
        ],
        "limits": format_limits(evaluation),
        "classes": list(evaluation.class_names),
        "confusion": pack.add(evaluation.confusion.astype(np.float32).ravel()),
    }


def measure_confidence(evaluation: Evaluation) -> NDArray[np.float64]:
    """Return the share that each sample's answer has of its scores, (S,)."""
    scores = evaluation.scores.astype(np.float64)
    if evaluation.average == "logits":
        scores = np.exp(scores - scores.max(1, keepdims=True))
    shares = scores / scores.sum(1, keepdims=True)
    return shares[np.arange(len(shares)), evaluation.predicted]


def choose_mistakes(evaluation: Evaluation, n_wanted: int) -> list[int]:
    """Return the rows of up to ``n_wanted`` wrong answers, the most confident first."""
    wrong = np.flatnonzero(evaluation.predicted != evaluation.labels)
    order = np.argsort(-measure_confidence(evaluation)[wrong], kind="stable")
    return wrong[order][:n_wanted].tolist()
