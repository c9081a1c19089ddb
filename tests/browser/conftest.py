"""A page of a report in a real browser; the tests are skipped where there is none."""

import pytest
from chromium import find_chromium, open_chromium
from shard_builders import MadeDataset, Recording, write_dataset

from toolkit.report import ReportOptions, write_report

N_FILLERS = 120
FAILED = Recording("wave-failed", 1, reason="bad_skeleton", detail="wave-failed: line 3: no number")


@pytest.fixture(scope="session")
def chromium():
    pytest.importorskip("playwright.sync_api", reason="the extra `browser` is not installed")
    if find_chromium() is None:
        pytest.skip("no Chromium is installed")
    with open_chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """A report of 124 samples: 2 of long drift, fillers of 5 frames, one failure."""
    folder = tmp_path_factory.mktemp("browser") / "out"
    recordings = [
        Recording("drift-a", 0, 40, 2, 20.0, "train"),
        Recording("drift-b", 2, 33, 1, 35.0, "test"),
        FAILED,
        Recording("eat-quiet", 1, 9, 1, 0.0, "test"),
        *[Recording(f"fill-{i:03d}", i % 2, 5, 1, 0.0, "train") for i in range(N_FILLERS)],
    ]
    write_dataset(folder, recordings, MadeDataset(samples_per_shard=200))
    write_report(folder, folder / "report.html", ReportOptions(n_samples=4, n_clips=2))
    return folder / "report.html"


@pytest.fixture
def open_report(chromium):
    """Return a function that opens a report; whatever the browser complains of fails the test."""
    contexts, complaints = [], []

    def open_it(path, **settings):
        # With less motion nothing plays by itself, so nothing moves under a test.
        context = chromium.new_context(**{"reduced_motion": "reduce"} | settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda r: r.url.startswith("file:") or complaints.append(r.url))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready=all]")
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(open_report, report):
    return open_report(report)
