"""Puts a report together: facts, table, shown samples, and the page around them."""

import base64
import hashlib
import html
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from toolkit.drawing import MIDDLE, SIDES, Colour, bone_colour
from toolkit.errors import FileError
from toolkit.inspection import dataset_facts
from toolkit.report.packing import Pack
from toolkit.report.shown import PIXEL_STEPS, UNSEEN, choose_samples, pack_sample
from toolkit.report.table import pack_table
from toolkit.shards.dataset import DatasetReader
from toolkit.shards.files import write_atomically
from toolkit.shards.manifest import read_manifest
from toolkit.skeleton import METRES, SkeletonLayout

# In the order in which they are run; one after the other they are one script.
_SCRIPTS = (
    "format.js",
    "elements.js",
    "unpack.js",
    "rows.js",
    "charts.js",
    "overview.js",
    "skeleton.js",
    "space.js",
    "viewer.js",
    "gallery.js",
    "table.js",
    "failures.js",
    "page.js",
)
_MARK = '<meta name="generator" content="ctxtool report">'
_MARK_WITHIN = 1000


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
    _check_place(path)
    pack, manifest = Pack(), read_manifest(folder)
    header: dict[str, Any] = {"facts": dataset_facts(folder), "columns": pack_table(manifest, pack)}
    with DatasetReader(folder) as reader:
        numbers = choose_samples(reader, options.n_samples)
        samples = [pack_sample(reader, number, options.n_clips) for number in numbers]
        header["drawing"] = _describe_drawing(reader.info.layout)
        header["shown"] = reader.samples["sample_id"].iloc[numbers].tolist()
        header["play_fps"] = float(reader.info.parameters.get("pose_fps", 30.0))
    page = _make_page(f"{folder.name}: report", pack.to_text(header), samples)
    data = page.encode()
    try:
        write_atomically(path, lambda aside: aside.write_bytes(data))
    except OSError as error:
        found = str(error.strerror or error)
        raise FileError(path, "file", expected="a place to write to", found=found) from error
    return WrittenReport(path, len(data), len(manifest), len(numbers))


def _check_place(path: Path) -> None:
    if not path.exists():
        return
    if path.is_file():
        with path.open("rb") as file:
            if _MARK.encode() in file.read(_MARK_WITHIN):
                return
    raise ValueError(f"{path} is there and is no report: name another file with -o, or remove it")


def _describe_drawing(layout: SkeletonLayout) -> dict[str, Any]:
    """Return what the page needs to draw skeletons as ``toolkit.drawing`` does."""
    return {
        "joints": list(layout.joints),
        "bones": [list(bone) for bone in layout.bones],
        "colours": [_say_colour(bone_colour(layout, a, b)) for a, b in layout.bones],
        "sides": {
            name: _say_colour(colour) for name, colour in (SIDES | {"middle": MIDDLE}).items()
        },
        "metric": layout.channels == METRES,
        "steps": PIXEL_STEPS,
        "unseen": UNSEEN,
    }


def _say_colour(colour: Colour) -> str:
    return "rgb({},{},{})".format(*colour)


def _make_page(title: str, table: str, samples: list[str]) -> str:
    """Fill the template; the only text that is set here is the title, all other text by the page.

    The content security policy names the digests of our script and style: nothing else runs, and
    nothing is fetched.
    """
    style, script = _read("report.css"), "\n".join(map(_read, _SCRIPTS))
    parts = {
        "mark": _MARK,
        "title": html.escape(title),
        "policy": f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}",
        "style": style,
        "data": "\n".join(
            [_carry("table", table), *(_carry(f"sample-{i}", s) for i, s in enumerate(samples))]
        ),
        "script": script,
    }
    # Split once, so that nothing that is filled in is taken for a place to fill.
    pieces = _read("report.html").split("%%")
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))


def _carry(name: str, text: str) -> str:
    return f'<script type="text/plain" id="{name}">{text}</script>'


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _read(name: str) -> str:
    return (resources.files("toolkit.report") / "page" / name).read_text(encoding="utf-8")
