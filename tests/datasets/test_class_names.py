import pytest

from toolkit.datasets import class_names
from toolkit.datasets.class_names import find_slips

SQUATS = [("squat", "train"), ("squat", "train"), ("squat", "test")]


@pytest.mark.parametrize("slip", ["sqaut", "Squat", "squats", "sqat"])
def test_a_rare_name_nearly_that_of_a_commoner_class_is_told(slip):
    assert find_slips([*SQUATS, (slip, "train")]) == [f"{slip!r} (in 1) like 'squat'"]


def test_a_table_without_subsets_is_looked_at_too():
    assert find_slips([("squat", ""), ("squat", ""), ("sqaut", "")]) == [
        "'sqaut' (in 1) like 'squat'"
    ]


@pytest.mark.parametrize(
    "others",
    [
        [("jump", "train")],
        [("sqaut", "train"), ("sqaut", "test")],
        [("sqaut", "train")] * 3,
        [("squat" + "s" * 60, "train")],
    ],
    ids=["another word", "in two subsets", "as common", "too long to compare"],
)
def test_what_may_be_meant_is_not_told(others):
    assert find_slips(SQUATS + others) == []


def test_names_that_differ_in_digits_alone_are_meant():
    assert find_slips([("walk 1", "train"), ("walk 1", "test"), ("walk 2", "train")]) == []


def test_thousands_of_classes_are_not_compared(monkeypatch):
    monkeypatch.setattr(class_names, "_MOST_CLASSES", 1)
    assert find_slips([*SQUATS, ("sqaut", "train")]) == []
