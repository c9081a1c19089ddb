"""A real Chromium without a window, where one is installed."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

# The names that Debian, Fedora, Arch and Google give it.
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Return the browser named by CTXTOOL_CHROMIUM, or the first on the path."""
    named = os.environ.get("CTXTOOL_CHROMIUM")
    return named or next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def open_chromium() -> Iterator[Any]:
    """Run a Chromium until the end of the block."""
    from playwright.sync_api import sync_playwright

    # Without a sandbox of its own: as root, in containers, it cannot have one.
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()
