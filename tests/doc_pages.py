"""Pages of the documentation taken apart: sections, tables, blocks, command lines, anchors."""

import re
import shlex
import unicodedata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def sections(text: str, level: str = "##") -> dict[str, str]:
    """Return heading -> text up to the next heading of the same level."""
    parts = re.split(rf"^{level} (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(text: str, language: str) -> list[tuple[int, str]]:
    """Return (line it begins on, code) of each fenced block of a language."""
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, match.start(1)) + 1, match[1]) for match in found]


def table_rows(text: str) -> list[list[str]]:
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    return [row for row in cells if set("".join(row)) - set("-: ")]


def code_names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def shell_lines(page: Path) -> list[str]:
    """Return the command lines of a page's shell blocks, continued lines joined."""
    code = "\n".join(code for _, code in blocks(page.read_text(encoding="utf-8"), "sh"))
    return [line for line in code.replace("\\\n", " ").splitlines() if line.strip()]


def simple_commands(line: str) -> list[list[str]]:
    """Split a line at pipes, ``&&`` and ``;`` into the words of simple commands."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("&|;"):
            found.append([])
        elif found[-1] or "=" not in word.partition("--")[0]:  # not VARIABLE=value in front
            found[-1].append(word)
    return [words for words in found if words]


def inline_commands(page: Path) -> list[str]:
    """Return the whole ctxtool command lines that stand in running text."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    found = [name for name in code_names(text) if name.startswith("ctxtool ")]
    return [name for name in found if "..." not in name and "COMMAND" not in name]


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings get on code hosts."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [unicodedata.normalize("NFC", h.replace("`", "")).lower() for h in headings]
    return {re.sub(r"[^\w\- ]", "", h).replace(" ", "-") for h in plain}
