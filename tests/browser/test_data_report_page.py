"""The report in a real browser: what it shows, and that it does what is pressed."""

import pytest
from shard_builders import Recording, write_dataset

from toolkit.report import ReportOptions, write_report

HOSTILE = "</script><img src=x onerror=alert(1)>"
PAGE = 50


def ids(page):
    """Return the ids in the table, as shown."""
    return page.locator("#sample-table tbody th").all_inner_texts()


def found(page):
    return page.locator("#found").inner_text()


def frame_told(page):
    return page.locator("#frame-told").inner_text()


def bar(page, panel, name):
    figure = page.locator("figure", has=page.locator(f"figcaption b:text-is('{panel}')"))
    return figure.get_by_role("button", name=name)


def colours(page, selector):
    """Return the canvas' pixels as a set of a few of its colours."""
    script = """(canvas) => { const { width, height } = canvas;
        const often = { willReadFrequently: true };
        const copy = new OffscreenCanvas(width, height).getContext("2d", often);
        copy.drawImage(canvas, 0, 0);
        const { data } = copy.getImageData(0, 0, width, height);
        const seen = new Set();
        for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 3).join());
        return [...seen]; }"""
    return set(page.locator(selector).first.evaluate(script))


def test_the_page_tells_what_the_data_set_is(page):
    assert page.title() == "out: report"
    assert page.locator("h1").inner_text() == "made"
    # 40 + 33 + 9 + 120 * 5 frames; 3 + 3 + 1 + 120 clips.
    told = page.locator("#summary").inner_text()
    assert told.startswith("124 recordings planned, 123 usable: 682 frames in 127 clips of up to")
    tiles = page.locator("#tiles div").all_inner_texts()
    assert "worst drift\n35 ms" in tiles
    assert "failed\n1" in tiles


def test_the_worst_drift_comes_first_with_its_skeleton(page):
    cards = page.locator(".card .id").all_inner_texts()
    assert cards[:2] == ["drift-b", "drift-a"]
    # toolkit.drawing.SIDES
    assert {"255,150,40", "70,170,255"} <= colours(page, ".card canvas")


def test_a_page_of_the_table_at_a_time(page):
    assert len(ids(page)) == PAGE
    assert ids(page)[0] == "drift-a"
    page.get_by_role("button", name="The page after").click()
    page.get_by_role("button", name="The page after").click()
    assert len(ids(page)) == 124 - 2 * PAGE
    assert "page 3 of 3" in page.locator("#pager").inner_text()
    assert page.get_by_role("button", name="The page after").is_disabled()
    page.get_by_role("button", name="The first page").click()
    assert ids(page)[0] == "drift-a"


def test_search_takes_words_of_id_class_reason_and_detail(page):
    for words, expected in {
        "drift": ["drift-a", "drift-b"],
        "BRUSH": ["drift-b"],
        "bad_skel number": ["wave-failed"],
        "drift drink": ["drift-a"],
        "nobody": [],
    }.items():
        page.get_by_label("search").fill(words)
        page.wait_for_function("text => report.rows.words.join(' ') === text", arg=words.lower())
        assert ids(page) == expected
        assert found(page) == f"{len(expected)} of 124 samples"


def test_columns_sort_both_ways_and_say_so(page):
    header = page.locator("th[data-column=max_drift_ms]")
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "descending"
    assert ids(page)[:2] == ["drift-b", "drift-a"]
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert ids(page)[:2] == ["eat-quiet", "fill-000"]
    # What has no drift is last either way.
    page.get_by_role("button", name="The last page").click()
    assert ids(page)[-1] == "wave-failed"


def test_print_unfolds_what_is_folded_and_folds_it_again(page):
    seen = """() => [...document.querySelectorAll("details")].map(({ open }) => open)"""
    # How it was made, and the one reason of failures.
    assert page.evaluate(seen) == [False, True]
    page.evaluate("""() => dispatchEvent(new Event("beforeprint"))""")
    assert page.evaluate(seen) == [True, True]
    page.evaluate("""() => dispatchEvent(new Event("afterprint"))""")
    assert page.evaluate(seen) == [False, True]


def test_a_choice_filters_table_and_figures_and_can_be_taken_back(page):
    page.get_by_label("split xsub").select_option(label="test")
    assert ids(page) == ["drift-b", "eat-quiet"]
    assert bar(page, "class", "drink water").locator("output").inner_text() == "0"
    page.get_by_role("button", name="Take back the filter split xsub: test").click()
    assert found(page) == "124 of 124 samples"
    assert page.get_by_label("split xsub").input_value() == ""


def test_bars_filter_and_bars_of_one_figure_are_either_or(page):
    bar(page, "class", "brush teeth").click()
    assert ids(page) == ["drift-b"]
    assert bar(page, "class", "brush teeth").get_attribute("aria-pressed") == "true"
    bar(page, "class", "drink water").click()
    assert found(page) == "62 of 124 samples"
    bar(page, "bodies", "2").click()
    assert ids(page) == ["drift-a"]


def test_a_bar_of_a_histogram_filters_its_range(page):
    # 35 ms in at most 24 bins of round width: 2 ms each, the last from 34 to 36.
    bar(page, "drift", "34 to 36 ms: 1 sample of 1").press("Enter")
    assert ids(page) == ["drift-b"]
    assert "drift: 34 to 36 ms" in page.locator("#chips").inner_text()
    bar(page, "drift", "20 to 22 ms").click(modifiers=["Shift"])
    assert ids(page) == ["drift-a", "drift-b"]


def test_a_bar_lists_as_many_samples_as_it_counts(open_report, tmp_path):
    """0.7 ms is a little less in the single precision that the page carries, not so the edges."""
    drifts = [i / 10 for i in range(24)]
    recordings = [Recording(f"r{i:02d}", 0, 5, 1, drift) for i, drift in enumerate(drifts)]
    folder = write_dataset(tmp_path / "out", recordings)
    write_report(folder, tmp_path / "r.html", ReportOptions(n_samples=0))
    page = open_report(tmp_path / "r.html")
    wrong = page.evaluate(
        """() => { const name = "max_drift_ms", { rows } = report, found = [];
        const bars = document.querySelectorAll("figure:has(svg) [role=button]");
        for (const { ariaLabel } of bars) {
          const bar = () => document.querySelector(`[role=button][aria-label="${ariaLabel}"]`);
          const count = Number(ariaLabel.match(/of ([0-9]+)$/)[1]);
          bar().dispatchEvent(new MouseEvent("click"));
          if (rows.found.length !== count) found.push(`${ariaLabel}: ${rows.found.length}`);
          rows.filter(name, null);
        }
        return found; }"""
    )
    assert wrong == []


def test_every_sample_is_in_one_bar_of_each_histogram(page):
    told = page.locator("figure:has(svg) [role=button]").evaluate_all(
        "bars => bars.map(bar => bar.getAttribute('aria-label'))"
    )
    counts = [int(text.rpartition(": ")[2].split()[0]) for text in told]
    # All 123 usable samples, by frames and by drift.
    assert sum(counts) == 2 * 123


def test_a_sample_opens_and_plays_frame_by_frame(page):
    page.locator(".card").first.click()
    assert page.locator("#viewer-title").inner_text() == "drift-b"
    assert frame_told(page) == "clip 0 · frame 0 · video frame 0 · drift 0 ms"
    page.get_by_role("button", name="One frame on").click()
    assert frame_told(page).startswith("clip 0 · frame 1 ·")
    page.get_by_role("button", name="Clip 2, 1 frame").click()
    assert frame_told(page) == "clip 2 · frame 32 · video frame 32 · drift 35 ms"


def test_frames_of_a_clip_are_drawn_with_and_without_skeleton(page):
    page.locator(".card").first.click()
    orange = "255,150,40"
    assert orange in colours(page, "#viewer .stage canvas")
    page.get_by_label("skeleton", exact=True).uncheck()
    page.evaluate("report.viewer.drawing")
    assert orange not in colours(page, "#viewer .stage canvas")


def test_joints_in_metres_are_shown_in_space_and_turn(page):
    page.locator(".card").first.click()
    picture = "canvas => canvas.toDataURL()"
    before = page.locator("canvas.space").evaluate(picture)
    page.get_by_label("Turn the skeleton").fill("90")
    page.evaluate("report.viewer.drawing")
    assert page.locator("canvas.space").evaluate(picture) != before


def test_playing_goes_on_by_itself_and_stops(open_report, report):
    page = open_report(report, own=True)
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    page.locator(".card").first.click()
    page.get_by_role("button", name="Play or pause").click()
    page.clock.run_for(1000 / 30 * 3 + 5)
    assert frame_told(page).startswith("clip 0 · frame 3 ·")
    page.get_by_role("button", name="Play or pause").click()
    page.clock.run_for(1000)
    assert frame_told(page).startswith("clip 0 · frame 3 ·")


def test_keys_step_change_clips_and_close(page):
    page.locator(".card").first.press("Enter")
    page.wait_for_selector("#frame-told:has-text('frame 0')")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert frame_told(page).startswith("clip 0 · frame 1 ·")
    page.keyboard.press("ArrowDown")
    assert frame_told(page).startswith("clip 2 · frame 32 ·")
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()
    # Back where it was opened from.
    assert page.evaluate("document.activeElement.className") == "card"


def test_arrow_keys_walk_through_the_rows_over_the_end_of_a_page(page):
    page.locator("tbody th button").nth(0).focus()
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == "drift-b"
    page.locator("tbody th button").nth(PAGE - 1).focus()
    page.keyboard.press("ArrowDown")
    assert "page 2 of 3" in page.locator("#pager").inner_text()
    assert page.evaluate("document.activeElement.textContent") == ids(page)[0]


def test_a_sample_without_frames_tells_its_row_and_how_to_see_it(page):
    page.get_by_role("button", name="eat-quiet").click()
    viewer = page.locator("#viewer")
    assert "This report carries no frames of this sample" in viewer.inner_text()
    commands = viewer.locator("code").all_inner_texts()
    assert commands[1].startswith("ctxtool render ")
    assert commands[1].endswith("/out --sample eat-quiet")


def test_failures_have_sentence_command_and_their_rows(page):
    failures = page.locator("#failures")
    assert "wave-failed: line 3: no number" in failures.inner_text()
    assert failures.locator("code").all_inner_texts()[1].endswith("/out --sample wave-failed")
    failures.get_by_role("button", name="Show it in the table").click()
    assert ids(page) == ["wave-failed"]


@pytest.mark.parametrize(("scheme", "darker"), [("light", False), ("dark", True)])
def test_the_page_follows_the_scheme(open_report, report, scheme, darker):
    page = open_report(report, color_scheme=scheme)
    style = "getComputedStyle(document.body)"
    paper, ink = (
        page.evaluate(f"{style}.{name}.match(/\\d+/g).reduce((a, b) => a + Number(b), 0)")
        for name in ("backgroundColor", "color")
    )
    assert (paper < ink) is darker


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_sticks_out_on_a_small_screen(open_report, report, width):
    page = open_report(report, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator(".card").first.click()
    box = page.locator("#viewer").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert page.evaluate("byId('viewer').scrollWidth <= byId('viewer').clientWidth")


def test_everything_that_can_be_pressed_has_a_name(page):
    page.locator(".card").first.click()
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, input, select, [role=button]")].filter(
            (e) => !e.textContent.trim() && !e.ariaLabel && !e.labels?.length).length"""
    )
    assert unnamed == 0


def test_names_from_the_data_are_text_wherever_they_stand(open_report, tmp_path):
    recordings = [
        Recording("<img src=x onerror=alert(2)>", n_frames=3),
        Recording("b$(reboot)'", reason="no_body", detail=HOSTILE),
    ]
    folder = write_dataset(tmp_path / "<b>out", recordings)
    write_report(folder, folder / "report.html")
    page = open_report(folder / "report.html")
    assert page.locator("img, main b b, h1 b").count() == 0
    assert ids(page) == [r.sample_id for r in recordings]
    assert HOSTILE in page.locator("#failures").inner_text()
    page.locator("tbody th button").first.click()
    assert page.locator("#viewer-title").inner_text() == recordings[0].sample_id
    assert (
        page.locator("#viewer code")
        .first.inner_text()
        .endswith("<b>out' --sample '<img src=x onerror=alert(2)>'")
    )
    # In a shell "'" ends the quotes, and "'" in other quotes stands for itself.
    assert page.locator("#reasons code").nth(1).inner_text().endswith("'b$(reboot)'\"'\"''")


def test_a_script_that_is_not_the_page_s_own_does_not_run(chromium, report, tmp_path):
    text = report.read_text("utf-8")
    changed = text.replace("</footer>", "</footer><script>window.ran = true</script>")
    (tmp_path / "r.html").write_text(changed, encoding="utf-8")
    page = chromium.new_page()
    page.goto((tmp_path / "r.html").as_uri())
    page.wait_for_selector("html[data-ready=all]")
    assert page.evaluate("window.ran") is None
    page.close()


def test_a_page_that_was_cut_says_so(chromium, report, tmp_path):
    text = report.read_text("utf-8")
    (tmp_path / "r.html").write_text(text.replace('id="table">', 'id="table">AAAA'), "utf-8")
    page = chromium.new_page()
    page.goto((tmp_path / "r.html").as_uri())
    page.wait_for_selector("#trouble:visible")
    assert "could not be drawn" in page.locator("#trouble").inner_text()
    page.close()
