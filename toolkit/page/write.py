"""Puts a page around what it shows: one HTML file that runs its own script and fetches nothing."""

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from toolkit.errors import FileError
from toolkit.shards.files import write_atomically

# In the order in which they are run, before a page's own: together they are one script.
_SCRIPTS = ("format.js", "elements.js", "unpack.js", "panels.js", "skeleton.js", "space.js")
_MARK_WITHIN = 1000


@dataclass(frozen=True)
class Page:
    """What makes one page: ``body`` is markup of our own, ``style`` and ``scripts`` come last.

    ``maker`` is the command that writes such pages; ``data`` holds packed texts by element id.
    """

    title: str
    maker: str
    body: str
    scripts: Sequence[str]
    data: Mapping[str, str]
    style: str = ""


def write_page(page: Page, path: Path) -> int:
    """Write a page, whole or not at all, and return its size in bytes.

    Raises ``FileError`` where nothing can be written.
    """
    data = fill_page(page).encode()
    try:
        write_atomically(path, lambda aside: aside.write_bytes(data))
    except OSError as error:
        found = str(error.strerror or error)
        raise FileError(path, "file", expected="a place to write to", found=found) from error
    return len(data)


def check_place(path: Path, maker: str) -> None:
    """Raise ``ValueError`` if a file is there that this maker did not write."""
    if not path.exists():
        return
    if path.is_file():
        with path.open("rb") as file:
            if _mark(maker).encode() in file.read(_MARK_WITHIN):
                return
    raise ValueError(
        f"{path} is there and is no report: name another file with --out, or remove it"
    )


def _mark(maker: str) -> str:
    return f'<meta name="generator" content="{maker}">'


def fill_page(page: Page) -> str:
    """Return a page as HTML; of its text only the title is set here, the rest by its script.

    The content security policy names the digests of our script and style: nothing else runs, and
    nothing is fetched.
    """
    style = _read("page.css") + page.style
    script = "\n".join([*map(_read, _SCRIPTS), *page.scripts])
    parts = {
        "mark": _mark(page.maker),
        "title": html.escape(page.title),
        "policy": f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}",
        "style": style,
        "body": page.body,
        "data": "\n".join(_carry(name, text) for name, text in page.data.items()),
        "script": script,
    }
    # Split once, so that nothing that is filled in is taken for a place to fill.
    pieces = _read("page.html").split("%%")
    return "".join(parts[piece] if i % 2 else piece for i, piece in enumerate(pieces))


def _carry(name: str, text: str) -> str:
    return f'<script type="text/plain" id="{name}">{text}</script>'


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _read(name: str) -> str:
    return (resources.files("toolkit.page") / "assets" / name).read_text(encoding="utf-8")
