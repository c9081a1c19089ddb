import json

import pytest

from toolkit.datasets.openpose import read_layout
from toolkit.errors import TableError
from toolkit.skeleton import LAYOUTS, SkeletonLayout

ARM = {"name": "arm", "joints": ["a", "b", "c"], "bones": [[0, 1], [2, 1]], "centre": 1}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_what_to_dict_gives_is_read_back(tmp_path, layout):
    path = tmp_path / "layout.json"
    path.write_text(json.dumps(layout.to_dict()))
    assert read_layout(path) == layout


def test_pairs_and_channels_may_be_left_out(tmp_path):
    path = tmp_path / "layout.json"
    path.write_text("\ufeff" + json.dumps(ARM, indent=1), encoding="utf-8")
    assert read_layout(path) == SkeletonLayout("arm", ("a", "b", "c"), ((0, 1), (2, 1)), 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": ""}, "key 'name': expected a name, found ''"),
        ({"name": 3}, "key 'name': expected a name, found 3"),
        ({"joints": "abc"}, "key 'joints': expected a list of names, each once, found 'abc'"),
        ({"joints": ["a", "b", "b"]}, "key 'joints': expected a list of names, each once"),
        ({"bones": [[0, 1], [2, 1.5]]}, "key 'bones': expected a list of pairs of joint numbers"),
        ({"bones": [[0, 1, 2]]}, "key 'bones': expected a list of pairs of joint numbers"),
        ({"bones": [["0", "1"]]}, "key 'bones': expected a list of pairs of joint numbers"),
        ({"centre": True}, "key 'centre': expected a joint number, found True"),
        ({"centre": 3}, "expected a whole skeleton, found layout arm: joint 3 is not in 0..2"),
        ({"bones": [[0, 1]]}, "the bones do not join all 3 joints"),
        ({"pairs": [[0, 2], [2, 1]]}, "a joint stands in two left/right pairs"),
        ({"channels": ["x", "y"]}, "channels must be"),
        ({"pair": []}, "key 'pair': expected only the keys name, joints, bones"),
    ],
)
def test_mistake_in_a_layout_is_refused_naming_the_key(tmp_path, change, words):
    path = tmp_path / "layout.json"
    path.write_text(json.dumps(ARM | change))
    with pytest.raises(TableError) as caught:
        read_layout(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("key", ARM)
def test_key_left_out_is_named(tmp_path, key):
    path = tmp_path / "layout.json"
    path.write_text(json.dumps({k: v for k, v in ARM.items() if k != key}))
    with pytest.raises(TableError, match=f"needs the key '{key}'"):
        read_layout(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"name": "x"\n"centre": 1}', "line 2, column 1: expected JSON"),
        ("[1]", "line 1: expected an object {...}, found list"),
        ('{"name": "x", "name": "y"}', "key 'name': expected each key once"),
    ],
)
def test_file_that_is_no_object_is_refused(tmp_path, text, words):
    path = tmp_path / "layout.json"
    path.write_text(text)
    with pytest.raises(TableError) as caught:
        read_layout(path)
    assert words in str(caught.value)


def test_layout_file_that_is_not_there(tmp_path):
    with pytest.raises(TableError, match="expected a readable file, found No such file"):
        read_layout(tmp_path / "none.json")
