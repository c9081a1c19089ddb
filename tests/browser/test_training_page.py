"""The page of a training in a real browser: it is drawn, told cell by cell, and plays."""

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")
from made_runs import HOSTILE, SCORES, write_run, write_shards

from train.report_page import PageOptions, write_ablation_page, write_run_page


@pytest.fixture(scope="module")
def training_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    shards = write_shards(folder / "out")
    run = write_run(folder / "mine", shards)
    other = write_run(folder / "other", shards, scores=SCORES[::-1])
    write_run_page(run, folder / "report.html", PageOptions(against=other))
    return folder / "report.html"


def test_a_training_is_drawn_with_names_as_text(open_report, training_page):
    page = open_report(training_page, viewport={"width": 390, "height": 800})
    assert page.locator("#trouble").is_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("img").count() == 0
    assert page.locator("#curve-panels svg").count() == 3
    assert "at the end: training 0.125" in page.locator("svg").first.get_attribute("aria-label")
    assert HOSTILE in page.locator("#class-bars").inner_text()
    assert page.locator("#tiles dd").first.inner_text().startswith("60.00%")


def test_the_matrix_tells_each_cell_and_can_be_sorted(open_report, training_page):
    page = open_report(training_page)
    page.locator("#confusion-matrix").focus()
    page.keyboard.press("ArrowRight")
    told = page.locator("#confusion-told")
    assert told.inner_text() == f"true run, answered {HOSTILE}: 1 of 2 (50\u00a0%)"
    page.get_by_label("order").select_option("accuracy")
    page.locator("#confusion-matrix").hover(position={"x": 2, "y": 2})
    # Of the class sit nothing was right.
    assert told.inner_text() == "true sit, answered sit: 0 of 1 (0\u00a0%)"


def test_rows_and_columns_of_a_small_matrix_are_named_where_they_are(open_report, training_page):
    page = open_report(training_page)
    matrix = page.locator("#confusion-matrix").bounding_box()
    for axis, start, size in (("rows", "y", "height"), ("columns", "x", "width")):
        names = page.locator(f"#confusion-{axis} li")
        assert names.all_inner_texts() == ["run", HOSTILE, "sit"]
        for i, name in enumerate(names.all()):
            box = name.bounding_box()
            middle = box[start] + box[size] / 2 - matrix[start]
            assert middle == pytest.approx((i + 0.5) * matrix[size] / 3, abs=2)
    page.get_by_label("order").select_option("accuracy")
    assert page.locator("#confusion-rows li").first.inner_text() == "sit"


@pytest.mark.parametrize(("n_classes", "n_named"), [(20, 20), (21, 0)])
def test_a_matrix_of_many_classes_has_the_room_for_itself(
    open_report, training_page, n_classes, n_named
):
    page = open_report(training_page, viewport={"width": 390, "height": 800})
    page.evaluate(
        """n => new Matrix(new Answers({
            classes: Array.from({ length: n }, (_, i) => `class ${i}`),
            confusion: Int32Array.from({ length: n * n }, () => 1),
        }, (counts) => counts))""",
        n_classes,
    )
    for axis in ("rows", "columns"):
        assert page.locator(f"#confusion-{axis} li").count() == n_named
    heights = [
        page.locator(f"#confusion-{part}").bounding_box()["height"] for part in ("matrix", "rows")
    ]
    assert heights[0] == pytest.approx(heights[1], abs=1)
    assert page.locator("#confusion-axes").is_visible() == (n_named > 0)


def test_the_matrix_has_no_more_pixels_than_the_screen(open_report, training_page):
    """Or a browser would leave out pixels to make it fit, and classes with them."""
    page = open_report(training_page, viewport={"width": 390, "height": 800})
    fits = "canvas => canvas.width <= canvas.clientWidth * devicePixelRatio"
    assert page.locator("#confusion-matrix").evaluate(fits)


def test_a_pressed_row_of_the_matrix_lists_what_its_class_was_answered(open_report, training_page):
    page = open_report(training_page)
    listed = page.locator("#confused .bar")
    everything = listed.all_inner_texts()
    assert [text.split("\n")[0] for text in everything] == [f"run → {HOSTILE}", "sit → run"]
    page.locator("#confusion-matrix").focus()
    page.keyboard.press("Enter")
    assert page.locator("#confused-title").inner_text() == "run"
    # As often right as wrong: as labelled.
    assert [text.split("\n")[0] for text in listed.all_inner_texts()] == ["run", HOSTILE]
    page.get_by_role("button", name="all classes").click()
    assert listed.all_inner_texts() == everything
    assert page.get_by_role("button", name="all classes").count() == 0


def test_a_mistake_plays(open_report, training_page):
    page = open_report(training_page)
    assert page.locator(".mistake .class").all_inner_texts() == ["run", "sit"]
    picture = "canvas => canvas.toDataURL()"
    canvas = page.locator(".mistake canvas").first
    before = canvas.evaluate(picture)
    page.get_by_label("Frame of s1").fill("9")
    page.wait_for_function(
        "before => document.querySelector('.mistake canvas').toDataURL() !== before", arg=before
    )


def test_an_ablation_shows_its_tables_as_text(open_report, tmp_path):
    table = {"title": HOSTILE, "note": "n", "heads": ["", "top-1"], "rows": [["row", "98.00"]]}
    runs = [["KM-base-seed0", "finished", ""]]
    write_ablation_page(tmp_path / "r.html", {"title": "a", "lead": "b"}, [table], runs)
    page = open_report(tmp_path / "r.html")
    assert page.locator("#tables h3").inner_text() == HOSTILE
    assert page.locator("#tables td").inner_text() == "98.00"
    assert page.locator("#curves").is_hidden()
