import base64
import hashlib
import re

import numpy as np
import pandas as pd
import pytest
from report_pages import carried, unpack
from shard_builders import RECORDINGS, MadeDataset, Recording, write_dataset

from toolkit.inspection import dataset_facts
from toolkit.page import Pack
from toolkit.page.frames import UNSEEN
from toolkit.report import ReportOptions, table, write_report
from toolkit.report.shown import choose_clips, choose_samples
from toolkit.report.table import pack_table
from toolkit.shards import DatasetReader, read_manifest
from toolkit.shards.manifest import COLUMNS
from toolkit.skeleton import OPENPOSE18

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("made") / "out")


@pytest.fixture(scope="module")
def page(folder):
    path = folder / "report.html"
    write_report(folder, path, ReportOptions(n_samples=4, n_clips=2))
    return path


@pytest.fixture(scope="module")
def parts(page):
    return carried(page)


@pytest.fixture(scope="module")
def columns(parts):
    """Column name -> its texts, as the table shows them; None where empty."""
    header, array = parts["table"]
    return {column["name"]: read_column(column, array) for column in header["columns"]}


def read_column(column, array):
    if column["kind"] == "text":
        return column["values"]
    values = array(column["values"])
    if column["kind"] == "number":
        return [None if np.isnan(v) else float(v) for v in values]
    return [None if code == 0xFFFF else column["names"][code] for code in values]


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.int16, np.uint8])
def test_packed_arrays_come_back(dtype):
    pack, values = Pack(), np.array([0, 1, 2, 100, 3], dtype)
    first, second = pack.add(b"abc"), pack.add(values)
    header, array = unpack(pack.to_text({"a": first, "b": second}))
    assert array(header["a"]).tobytes() == b"abc"
    assert array(header["b"]).tolist() == values.tolist()


def test_arrays_lie_where_typed_arrays_can_begin():
    pack = Pack()
    references = [pack.add(b"abc"), pack.add(np.float32([1])), pack.add(b"")]
    assert [r["at"] for r in references] == [0, 4, 8]
    head = unpack(pack.to_text({"x": "é"}))[0]
    assert head == {"x": "é"}


def test_a_page_has_no_array_of_doubles():
    with pytest.raises(ValueError, match="no array of float64"):
        Pack().add(np.zeros(2))


def test_every_planned_sample_is_a_row(columns):
    assert columns["sample_id"] == list("abcdefg")
    assert columns["status"] == ["ok", "ok", "bad_skeleton", "ok", "missing_video", "ok", "ok"]
    assert columns["detail"][2] == "c.skeleton: line 3: expected 25, found 24"


def test_numbers_and_categories_are_as_in_the_manifest(columns):
    assert columns["n_frames"] == [33, 16, None, 5, None, 40, 17]
    assert columns["max_drift_ms"] == [0, 8, None, 4, None, 0, 20]
    assert columns["n_bodies"] == ["1", "2", None, "1", None, "2", "1"]
    assert columns["label_name"][:3] == ["drink water", "eat meal", "eat meal"]
    assert columns["split_xsub"][:2] == ["train", "test"]
    assert columns["camera"] == ["1"] * 7


def test_second_ids_and_paths_are_left_out(columns):
    assert not {"youtube_id", "poses", "video", "raw_poses"} & columns.keys()


def test_columns_without_a_value_are_left_out(tmp_path):
    folder = write_dataset(tmp_path / "out", made=MadeDataset(OPENPOSE18, pictures=False))
    names = [column["name"] for column in pack_table(read_manifest(folder), Pack())]
    assert "n_frames" in names
    assert not {"max_drift_ms", "fps", "video_frames"} & set(names)


def test_joints_are_counted_by_tracking_state(parts):
    # 33 + 2 x 16 + 5 + 2 x 40 + 17 bodies of 25 joints, every one tracked.
    levels = parts["table"][0]["facts"]["joints"]["levels"]
    assert levels == {"not tracked": 0, "inferred": 0, "tracked": 167 * 25}


def test_joints_are_counted_by_score_in_tenths(tmp_path):
    folder = write_dataset(tmp_path / "out", made=MadeDataset(OPENPOSE18, pictures=False))
    levels = dataset_facts(folder)["joints"]["levels"]
    # The made scores are even from 0.1 to 0.9.
    first, *middle, last = levels.values()
    assert (len(levels), first, last) == (10, 0, 0)
    assert sum(middle) == 167 * 18
    assert min(middle) > 300


def test_more_samples_than_a_page_can_sort_are_refused(folder, monkeypatch):
    monkeypatch.setattr(table, "MAX_SAMPLES", 6)
    with pytest.raises(ValueError, match="at most 6 samples, not 7"):
        pack_table(read_manifest(folder), Pack())


def test_names_of_a_category_come_in_the_order_they_sort_in():
    manifest = pd.DataFrame(
        {
            "sample_id": ["a", "b", "c", "d"],
            "status": ["too_short", "ok", "bad_video", "ok"],
            "detail": [""] * 4,
            "setup": pd.array([10, 9, 9, None], "Int32"),
            "split_x": ["test", "train", None, "val"],
        }
    ).reindex(columns=[*COLUMNS, "setup", "split_x"])
    names = {c["name"]: c.get("names") for c in pack_table(manifest, Pack())}
    assert names["status"] == ["ok", "bad_video", "too_short"]
    assert names["setup"] == ["9", "10"]
    assert names["split_x"] == ["train", "val", "test"]


@pytest.mark.parametrize(("split", "title"), [("xsub", "split xsub"), ("split", "split")])
def test_a_split_column_is_called_a_split_once(split, title):
    row = {"sample_id": ["a"], "status": ["ok"], "detail": [""], f"split_{split}": ["train"]}
    manifest = pd.DataFrame(row).reindex(columns=[*COLUMNS, f"split_{split}"])
    titles = {column["name"]: column["title"] for column in pack_table(manifest, Pack())}
    assert titles[f"split_{split}"] == title


def test_half_the_shown_samples_have_the_worst_drift(folder):
    # Usable: a 0, b 8, d 4, f 0, g 20 ms, of the classes 0, 1, 0, 0, 1.
    with DatasetReader(folder) as reader:
        ids = reader.samples["sample_id"]
        assert [ids[i] for i in choose_samples(reader, 2)] == ["g", "a"]
        assert [ids[i] for i in choose_samples(reader, 4)] == ["g", "b", "a", "f"]
        assert [ids[i] for i in choose_samples(reader, 99)] == ["g", "b", "d", "a", "f"]
        assert choose_samples(reader, 0) == []


@pytest.mark.parametrize(
    ("n_frames", "worst", "n_wanted", "expected"),
    [
        (100, 50, 3, [0, 3, 6]),
        (100, 50, 1, [3]),
        (100, 0, 2, [0, 1]),
        (100, 99, 99, [0, 1, 2, 3, 4, 5, 6]),
        (5, 2, 4, [0]),
    ],
)
def test_clips_are_spread_and_hold_the_worst_drift(n_frames, worst, n_wanted, expected):
    drift = np.zeros(n_frames, np.float32)
    drift[worst] = -0.1
    assert choose_clips(drift, n_wanted) == expected


def test_shown_samples_carry_their_stored_jpegs(folder, parts):
    header, array = parts["sample-0"]
    assert header["id"] == "g"
    with DatasetReader(folder) as reader:
        number = reader.samples["sample_id"].tolist().index("g")
        jpegs = [bytes(jpeg) for jpeg in reader.sample(number).jpegs]
    assert [array(j).tobytes() for j in header["jpegs"]] == jpegs
    assert header["clips"] == [{"number": 0, "n": 16}, {"number": 1, "n": 1}]
    assert header["frame"] == header["video_index"] == list(range(17))
    assert header["drift_ms"] == [0.0] * 16 + [20.0]


def test_shown_joints_are_those_of_the_shard(folder, parts):
    header, array = parts["sample-0"]
    with DatasetReader(folder) as reader:
        window = reader.sample(reader.samples["sample_id"].tolist().index("g"))
    pixels = array(header["pixels"]).reshape(window.pixels.shape)
    assert np.abs(pixels[:, 0] / 10_000 - window.pixels[:, 0]).max() <= 0.5e-4 + 1e-7
    space = array(header["space"]).reshape(window.joints.shape)
    assert np.abs(space[:, 0] / 1000 - window.joints[:, 0]).max() <= 0.5e-3 + 1e-6
    # Body 1 is never there.
    assert (pixels[:, 1] == UNSEEN).all()
    assert (space[:, 1] == UNSEEN).all()


def test_the_page_runs_its_own_script_and_style_alone(page):
    text = page.read_text("utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none'; ")
    for tag, source in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in policy


def test_the_page_names_no_address_to_fetch_from(page):
    text = page.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"""(?:https?:)?//[a-z][\w.-]+\.[a-z]+|\ssrc=|url\(|@import""", text) == []


def test_names_from_the_data_stand_in_no_markup(tmp_path):
    recordings = [Recording("a", n_frames=3), Recording("b", reason="no_body", detail=HOSTILE)]
    folder = write_dataset(tmp_path / HOSTILE.replace("/", ""), recordings)
    write_report(folder, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "onerror" not in re.sub(r"<title>[^<]*</title>", "", text)
    assert "<title>&lt;script&gt;&lt;img" in text


def test_the_same_data_make_the_same_page(folder, page, tmp_path):
    write_report(folder, tmp_path / "again.html", ReportOptions(n_samples=4, n_clips=2))
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_what_was_written_is_told(folder, tmp_path):
    written = write_report(folder, tmp_path / "r.html", ReportOptions(n_samples=3))
    assert (written.n_bytes, written.n_samples, written.n_shown) == (
        (tmp_path / "r.html").stat().st_size, len(RECORDINGS), 3,
    )  # fmt: skip


def test_a_report_is_replaced_and_another_file_is_not(folder, tmp_path):
    path = tmp_path / "r.html"
    write_report(folder, path)
    write_report(folder, path)
    path.write_text("<p>my notes</p>")
    with pytest.raises(ValueError, match=r"r\.html is there and is no report"):
        write_report(folder, path)
    assert path.read_text() == "<p>my notes</p>"


def test_a_data_set_without_a_usable_sample_has_a_report(tmp_path):
    folder = write_dataset(tmp_path / "out", [Recording("a", reason="no_body", detail="none")])
    assert write_report(folder, tmp_path / "r.html").n_shown == 0


@pytest.mark.parametrize("wrong", [{"n_samples": -1}, {"n_clips": 0}])
def test_a_report_of_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="a report cannot show"):
        ReportOptions(**wrong)
