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


# With less motion nothing plays by itself, so nothing moves under a test.
CALM = {"reduced_motion": "reduce"}


@pytest.fixture(scope="session")
def kept_page(chromium):
    """A page for one test after the other: a report keeps nothing, and a context takes long."""
    context = chromium.new_context(**CALM)
    yield context.new_page()
    context.close()


@pytest.fixture
def open_report(chromium, request):
    """Return a function that opens a report; whatever the browser complains of fails the test.

    With settings, or where ``own`` is asked for, the page is in a context of its own.
    """
    complaints, contexts, listening = [], [], []
    listeners = {
        "console": lambda message: complaints.append(message.text),
        "pageerror": lambda error: complaints.append(str(error)),
        "request": lambda r: r.url.startswith("file:") or complaints.append(r.url),
        "dialog": lambda dialog: complaints.append(dialog.message),
    }

    def take_page(own, settings):
        if not own and not settings:
            return request.getfixturevalue("kept_page")
        contexts.append(chromium.new_context(**CALM | settings))
        return contexts[-1].new_page()

    def open_it(path, *, own=False, **settings):
        page = take_page(own, settings)
        for event, listener in listeners.items():
            page.on(event, listener)
        listening.append(page)
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready=all]")
        return page

    yield open_it
    for page in listening:
        page.title()  # What was complained of meanwhile comes before the answer.
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(open_report, report):
    return open_report(report)
