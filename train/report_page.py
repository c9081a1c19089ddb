"""``report.html``: a training, or the tables of an ablation, as one page that needs no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from toolkit.page import Pack, Page, check_place, describe_drawing, fill_page, pack_clips
from toolkit.shards import CLIP_LENGTH, DatasetReader
from toolkit.shards.schema import DATASET_FILE
from train.dataset_folder import find_run_dataset
from train.errors import TrainError
from train.evaluation import Evaluation
from train.files import write_text
from train.run_story import (
    Story,
    choose_mistakes,
    describe_run,
    describe_test,
    list_curves,
    measure_confidence,
    read_story,
)

REPORT_FILE = "report.html"
_MAKER = "train.report"
N_MISTAKES = 12
_SCRIPTS = ("curves.js", "confusion.js", "classes.js", "mistakes.js", "page.js")


@dataclass(frozen=True)
class PageOptions:
    """What a page shows besides its run: another run, and how many mistakes with their clips.

    ``shards`` None looks for them where the run was trained.  Raises ``ValueError`` for a
    negative number.
    """

    against: Path | None = None
    n_mistakes: int = N_MISTAKES
    shards: Path | None = None

    def __post_init__(self) -> None:
        if self.n_mistakes < 0:
            raise ValueError(f"a page cannot show {self.n_mistakes} mistakes")


def write_run_page(run: Path, path: Path, options: PageOptions = PageOptions()) -> int:
    """Write the page of a run from what lies in its folder; return its size in bytes.

    Raises ``TrainError`` or ``ShardError`` for what cannot be read, or for another run whose
    evaluation is not of the same samples.
    """
    story, pack = read_story(run), Pack()
    header: dict[str, Any] = {**describe_run(story), "curves": list_curves(story)}
    data: dict[str, str] = {}
    if story.evaluation is not None:
        header["test"] = describe_test(story.evaluation, pack)
        found, data = _pack_mistakes(story, options)
        header |= found
    if options.against is not None:
        other = read_story(options.against)
        header["against"] = _describe_other(other, pack)
        for note in _compare(story, other):
            header["test"]["limits"].append(note)
    return _write(path, header["title"], {"page": pack.to_text(header), **data})


def refuse_foreign(path: Path) -> None:
    """Raise ``ValueError`` if a file is there that is no page of a training or an ablation."""
    check_place(path, _MAKER)


def write_ablation_page(
    path: Path, facts: Mapping[str, str], tables: Sequence[Mapping[str, Any]], runs: Sequence[Any]
) -> int:
    """Write the page of an ablation; return its size in bytes.

    ``facts`` hold ``title`` and ``lead``; each table ``title``, ``note``, ``heads`` and ``rows`` of
    texts; each run is its name, its state and, where it has one, the link to its own page.
    """
    header = {**facts, "tables": list(tables), "runs": list(runs)}
    return _write(path, facts["title"], {"page": Pack().to_text(header)})


def _write(path: Path, title: str, data: Mapping[str, str]) -> int:
    page = Page(
        title=f"{title}: report",
        maker=_MAKER,
        body=_read("report.html"),
        scripts=[_read(name) for name in _SCRIPTS],
        data=data,
        style=_read("report.css"),
    )
    text = fill_page(page)
    write_text(path, text)
    return len(text.encode())


def _describe_other(other: Story, pack: Pack) -> dict[str, Any]:
    test = {} if other.evaluation is None else {"test": describe_test(other.evaluation, pack)}
    return {"title": other.name, "curves": list_curves(other), **test}


def _compare(story: Story, other: Story) -> list[str]:
    """Return what one must know to compare the figures of two runs, if there are two."""
    mine, theirs = story.evaluation, other.evaluation
    if mine is None or theirs is None:
        return []
    difference = mine.name_difference(theirs)
    told = f"differ in {difference}" if difference else _name_lone(mine, theirs)
    if told:
        raise TrainError(
            f"{story.folder.path} and {other.folder.path} {told}: only evaluations of the same"
            " samples, judged alike, stand side by side; make one by train.evaluate"
        )
    here, there = (str(e.source.get("fingerprint"))[:12] for e in (mine, theirs))
    if here == there:
        return []
    return [
        f"{other.name} was evaluated on other shards of the same samples: fingerprint {there}"
        f" there, {here} here"
    ]


def _name_lone(one: Evaluation, other: Evaluation) -> str:
    """Say which samples, with their labels, only one of two evaluations has; empty if none."""
    pairs = [set(zip(e.sample_ids, e.labels.tolist(), strict=True)) for e in (one, other)]
    lone = sorted({name for name, _ in pairs[0] ^ pairs[1]})
    return f"do not fit ({len(lone)} samples such as {lone[0]} are not in both)" if lone else ""


def _pack_mistakes(story: Story, options: PageOptions) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what the header says of the mistakes, and a packed clip of each by element id."""
    evaluation = story.evaluation
    if evaluation is None:
        return {}, {}
    n_wrong = int((evaluation.predicted != evaluation.labels).sum())
    shares, names = measure_confidence(evaluation), evaluation.class_names
    rows = choose_mistakes(evaluation, options.n_mistakes)
    listed = [
        {
            "id": evaluation.sample_ids[row],
            "true": names[evaluation.labels[row]],
            "given": names[evaluation.predicted[row]],
            "share": round(float(shares[row]), 4),
        }
        for row in rows
    ]
    header: dict[str, Any] = {"mistakes": listed, "n_wrong": n_wrong}
    dataset = options.shards or find_run_dataset(story.folder)
    if not rows or not (dataset / DATASET_FILE).is_file():
        return header, {}
    with DatasetReader(dataset) as reader:
        if reader.info.fingerprint != evaluation.source.get("fingerprint"):
            return header, {}
        numbers = {str(name): i for i, name in enumerate(reader.samples["sample_id"])}
        clips = [_pack_middle(reader, numbers[mistake["id"]]) for mistake in listed]
        header["drawing"] = describe_drawing(reader.info.layout)
        header["play_fps"] = float(reader.info.parameters.get("pose_fps", 30.0))
    return header, {f"mistake-{i}": clip for i, clip in enumerate(clips)}


def _pack_middle(reader: DatasetReader, number: int) -> str:
    """Return the clip in the middle of a sample."""
    window = reader.sample(number)
    return pack_clips(reader, window, number, [(len(window) - 1) // CLIP_LENGTH // 2])


def _read(name: str) -> str:
    return (resources.files("train") / "page" / name).read_text(encoding="utf-8")
