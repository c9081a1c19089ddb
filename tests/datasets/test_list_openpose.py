import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.datasets.openpose import list_openpose
from toolkit.errors import DataNotFoundError, TableError
from toolkit.skeleton import NTU25, OPENPOSE18

HEADER = "id,label,split,poses,video\n"


@pytest.fixture
def table(tmp_path):
    """Write a table beside a folder poses/ and a video v.mp4; return its path."""
    (tmp_path / "poses").mkdir()
    (tmp_path / "v.mp4").touch()

    def write(content):
        path = tmp_path / "my.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def labels(dataset):
    return {sample.label_name: sample.label for sample in dataset.samples}


def test_row_becomes_a_sample_with_paths_from_the_folder_of_the_table(table):
    path = table(HEADER + "one,sit,train,poses,v.mp4\n")
    dataset = list_openpose(path)
    (sample,) = dataset.samples
    assert (sample.sample_id, sample.label, sample.label_name) == ("one", 0, "sit")
    assert sample.subsets == {"split": "train"}
    assert (sample.poses, sample.video) == (path.parent / "poses", path.parent / "v.mp4")
    assert (sample.reason, dataset.notices) == (None, ())
    assert (dataset.layout, dataset.splits) == (OPENPOSE18, ("split",))


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfid,label,split,poses,video\nb,sit,Val,poses,v.mp4\na,fall,,poses,v.mp4\n",
        b"id,label,split,poses,video\r\nb,sit,val,poses,v.mp4\r\na,fall,,poses,v.mp4",
        b'video,poses, id ,split,label\n\nv.mp4,poses,"b", val,sit\n\nv.mp4,poses,a,,fall\n\n',
    ],
    ids=["byte order mark", "CRLF", "blank lines, blanks, other order"],
)
def test_tables_as_programs_write_them(table, content):
    dataset = list_openpose(table(content))
    assert [(s.sample_id, s.label, s.subsets, s.reason) for s in dataset.samples] == [
        ("a", 0, {}, None),
        ("b", 1, {"split": "val"}, None),
    ]


def test_further_split_columns_are_splits_of_their_own(table):
    head = "id,label,split,split_fold0,split_fold1,poses,video\n"
    dataset = list_openpose(table(head + "a,sit,train,test,,poses,v.mp4\n"))

    assert dataset.splits == ("split", "fold0", "fold1")
    assert dataset.samples[0].subsets == {"split": "train", "fold0": "test"}
    assert dataset.notices == ()


def test_further_split_columns_are_held_to_the_same_words(table):
    head = "id,label,split,split_fold0,poses,video\n"
    with pytest.raises(TableError, match="line 2: expected a split_fold0 among"):
        list_openpose(table(head + "a,sit,train,dev,poses,v.mp4\n"))


def test_skeleton_only_needs_no_video(table):
    dataset = list_openpose(table("id,label,split,poses\na,sit,,poses\n"), videos=False)
    assert dataset.samples[0].reason is None


@pytest.mark.parametrize(
    ("cells", "reason", "words"),
    [
        ("gone,v.mp4", "missing_skeleton", "there is no file or folder"),
        (",v.mp4", "missing_skeleton", "the table names no poses"),
        ("poses,gone.mp4", "missing_video", "there is no file"),
        ("poses,", "missing_video", "the table names no video"),
        ("poses,poses", "missing_video", "there is no file"),
        ("gone,gone", "missing_skeleton", "gone"),
        ("x" * 300 + ",v.mp4", "missing_skeleton", "cannot be reached"),
    ],
)
def test_files_that_are_not_there_give_rows_with_a_reason(table, cells, reason, words):
    (sample,) = list_openpose(table(f"{HEADER}a,sit,train,{cells}\n")).samples
    assert sample.reason == reason
    assert words in sample.detail
    assert sample.detail.endswith("(my.csv, line 2)")


def test_classes_are_numbered_by_name(table):
    rows = "".join(
        f"{n},{name},,poses,v.mp4\n" for n, name in enumerate(["walk", "Run", "10", "9"])
    )
    dataset = list_openpose(table(HEADER + rows))
    assert dataset.class_names == ("10", "9", "Run", "walk")
    assert labels(dataset) == {"10": 0, "9": 1, "Run": 2, "walk": 3}


def test_integer_classes_are_numbered_by_value(table):
    rows = "".join(f"id{name},{name},,poses,v.mp4\n" for name in ["10", "9", "-1"])
    assert list_openpose(table(HEADER + rows)).class_names == ("-1", "9", "10")


def test_label_index_numbers_the_classes(table):
    rows = "a,walk,,poses,v.mp4,0\nb,run,,poses,v.mp4,1\nc,walk,,poses,v.mp4,0\n"
    dataset = list_openpose(table(HEADER.replace("\n", ",label_index\n") + rows))
    assert dataset.class_names == ("walk", "run")
    assert labels(dataset) == {"walk": 0, "run": 1}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("a,walk,,p,v,1.0\n", "line 2: expected a label_index counting from 0, found '1.0'"),
        ("a,walk,,p,v,-1\n", "line 2: expected a label_index counting from 0, found '-1'"),
        ("a,walk,,p,v,\n", "line 2: expected a label_index counting from 0, found ''"),
        ("a,walk,,p,v,0\nb,run,,p,v,0\n", "line 3: expected 'walk' for label_index 0, found 'run'"),
        ("a,walk,,p,v,0\nb,walk,,p,v,1\n", "line 3: expected label_index 0 for 'walk', found 1"),
        ("a,walk,,p,v,1\nb,run,,p,v,2\n", "expected label_index values 0 to 1"),
    ],
)
def test_wrong_numbering_is_refused(table, rows, words):
    path = table(HEADER.replace("\n", ",label_index\n") + rows)
    with pytest.raises(TableError) as caught:
        list_openpose(path)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "line 1: expected the columns id, label, split, poses, video"),
        ("id;label;split;poses;video\n", "separated by commas, found no column 'id'"),
        ("id,label,split,poses\na,b,,c\n", "line 1: expected the columns"),
        ("id,label,split,poses,video,id\n", "line 1: expected each column once, found 'id' twice"),
        (HEADER, "expected a line for each recording, found the header only"),
        (HEADER + "a,sit,,poses\n", "line 2: expected 5 cells as in the header, found 4"),
        (HEADER + "a,sit,,poses,v.mp4,\n", "line 2: expected 5 cells as in the header, found 6"),
        (HEADER + ",sit,,poses,v.mp4\n", "line 2: expected a plain id, found an empty id"),
        (HEADER + "a,,,poses,v.mp4\n", "line 2: expected a class name, found an empty label"),
        (HEADER + "x/y,sit,,poses,v.mp4\n", "line 2: expected a plain id"),
        (HEADER + "x\\y,sit,,poses,v.mp4\n", "line 2: expected a plain id"),
        (HEADER + "..,sit,,poses,v.mp4\n", "line 2: expected a plain id"),
        (HEADER + '"x\ny",sit,,poses,v.mp4\n', "line 2: expected a plain id"),
        (HEADER + 'a,sit,,poses,"v\n4"\na,sit,,poses,v\n', "line 4: expected an id of its own"),
        (HEADER + "a,sit,,p,v\n\nb,sit,,p,v\na,fall,,p,v\n", "line 5: expected an id of its own, "
         "found 'a' again, as in line 2"),
        (HEADER + "a,sit,dev,poses,v.mp4\n", "line 2: expected a split among train, val, test"),
        (HEADER + 'a,sit,,poses,"v.mp4\n', "line 2: expected comma-separated values"),
        (HEADER + "a,sit,,po\0ses,v.mp4\n", "line 2: expected UTF-8 text, found a NUL character"),
        (HEADER.encode() + b"a,caf\xe9,,poses,v.mp4\n", "byte 32: expected UTF-8 text, found 0xe9"),
        (HEADER.encode("utf-16"), "byte 0: expected UTF-8 text, found 0xff"),
    ],
)  # fmt: skip
def test_mistake_in_the_table_is_refused_with_its_line(table, content, words):
    path = table(content)
    with pytest.raises(TableError) as caught:
        list_openpose(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_columns_that_mean_nothing_are_told(table):
    dataset = list_openpose(table("id,label,split,poses,video,age\na,sit,,poses,v.mp4,7\n"))
    assert "columns not used: 'age'" in dataset.notices[0]


def test_a_class_that_seems_mistyped_is_told(table):
    rows = "a,squat,train,poses,v.mp4\nb,squat,test,poses,v.mp4\nc,sqaut,train,poses,v.mp4\n"
    path = table(HEADER + rows)
    told = "classes of one subset, named nearly as others; mistyped? 'sqaut' (in 1) like 'squat'"
    assert list_openpose(path).notices == (f"{path}: {told}",)


def test_no_table_says_what_to_write(tmp_path):
    with pytest.raises(DataNotFoundError, match="id, label, split, poses, video"):
        list_openpose(tmp_path / "my.csv")


def test_layout_in_metres_is_refused(table):
    with pytest.raises(ValueError, match="ntu25 has other channels"):
        list_openpose(table(HEADER), layout=NTU25)


def test_layout_of_ones_own_is_handed_on(table):
    layout = dataclasses.replace(OPENPOSE18, name="mine")
    dataset = list_openpose(table(HEADER + "a,sit,,poses,v.mp4\n"), layout=layout)
    assert dataset.layout is layout


plain = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=6)


@settings(deadline=None, max_examples=40)  # it writes files
@given(st.dictionaries(plain, plain, min_size=1, max_size=8), st.randoms())
def test_order_of_the_lines_changes_nothing(tmp_path_factory, classes, random):
    path = tmp_path_factory.mktemp("t") / "my.csv"
    lines = [f"{sample_id},{label},,p,v\n" for sample_id, label in classes.items()]
    path.write_text(HEADER + "".join(lines))
    before = list_openpose(path)
    random.shuffle(lines)
    path.write_text(HEADER + "".join(lines))
    after = list_openpose(path)
    assert before.class_names == after.class_names
    assert [(s.sample_id, s.label) for s in before.samples] == [
        (s.sample_id, s.label) for s in after.samples
    ]
    assert all(after.class_names[s.label] == classes[s.sample_id] for s in after.samples)
