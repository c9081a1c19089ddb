"""Puts a report together: facts, table, shown samples, and the page around them."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from toolkit.inspection import dataset_facts
from toolkit.page import Pack, Page, check_place, describe_drawing, write_page
from toolkit.report.shown import choose_samples, pack_sample
from toolkit.report.table import pack_table
from toolkit.shards.dataset import DatasetReader
from toolkit.shards.manifest import read_manifest

# In the order in which they are run, after those of every page.
_SCRIPTS = (
    "rows.js",
    "charts.js",
    "overview.js",
    "viewer.js",
    "gallery.js",
    "table.js",
    "failures.js",
    "page.js",
)
_MAKER = "ctxtool report"


@dataclass(frozen=True)
class ReportOptions:
    """How much a report shows: samples with their frames, and 16-frame clips of each."""

    n_samples: int = 24
    n_clips: int = 4

    def __post_init__(self) -> None:
        if self.n_samples < 0 or self.n_clips < 1:
            raise ValueError(
                f"a report cannot show {self.n_samples} samples of {self.n_clips} clips each"
            )


@dataclass(frozen=True)
class WrittenReport:
    """What was written: the page's size, and how many samples play in it."""

    path: Path
    n_bytes: int
    n_samples: int
    n_shown: int


def write_report(
    folder: Path, path: Path, options: ReportOptions = ReportOptions()
) -> WrittenReport:
    """Write the report of a data set as one HTML page, whole or not at all.

    An earlier report is replaced.  Raises ``ValueError`` where another file has that name,
    ``ShardError`` where the data set cannot be read, ``FileError`` where nothing can be written.
    """
    check_place(path, _MAKER)
    pack, manifest = Pack(), read_manifest(folder)
    header: dict[str, Any] = {"facts": dataset_facts(folder), "columns": pack_table(manifest, pack)}
    with DatasetReader(folder) as reader:
        numbers = choose_samples(reader, options.n_samples)
        samples = [pack_sample(reader, number, options.n_clips) for number in numbers]
        header["drawing"] = describe_drawing(reader.info.layout)
        header["shown"] = reader.samples["sample_id"].iloc[numbers].tolist()
        header["play_fps"] = float(reader.info.parameters.get("pose_fps", 30.0))
    page = Page(
        title=f"{folder.name}: report",
        maker=_MAKER,
        body=_read("report.html"),
        scripts=[_read(name) for name in _SCRIPTS],
        data={"table": pack.to_text(header)}
        | {f"sample-{i}": text for i, text in enumerate(samples)},
    )
    n_bytes = write_page(page, path)
    return WrittenReport(path, n_bytes, len(manifest), len(numbers))


def _read(name: str) -> str:
    return (resources.files("toolkit.report") / "page" / name).read_text(encoding="utf-8")
