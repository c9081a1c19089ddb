"""That pytest looks into every folder of tests, and takes each module for itself."""

from collections import Counter
from fnmatch import fnmatch
from pathlib import Path


def test_no_folder_of_tests_is_passed_over(pytestconfig):
    patterns = pytestconfig.getini("norecursedirs")
    folders = {path.parent.name for path in Path(__file__).parent.rglob("test_*.py")}
    assert not [name for name in folders for pattern in patterns if fnmatch(name, pattern)]


def test_no_two_modules_have_the_same_name():
    names = [path.name for path in Path(__file__).parent.rglob("*.py") if path.stem != "conftest"]
    assert not [name for name, number in Counter(names).items() if number > 1]
