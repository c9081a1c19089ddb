import re
from pathlib import Path

import pytest

from train.config import TrainConfig, list_recipes, parse_assignments
from train.tables import TABLES

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("training.md", "paper.md")
SETTING = re.compile(r"(?<![\w./-])((?:data|model|optim|run)\.[a-z_.]*[a-z_])(?:=([^`\s]+))?")


def read_page(page):
    return (DOCS / page).read_text(encoding="utf-8")


def list_settings(page):
    return sorted({match.groups() for match in SETTING.finditer(read_page(page))}, key=str)


@pytest.mark.parametrize("page", PAGES)
def test_settings_named_in_the_docs_exist(page):
    for name, _ in list_settings(page):
        tree = TrainConfig().to_dict()
        for part in name.split("."):
            assert part in tree, name
            tree = tree[part]


@pytest.mark.parametrize("page", PAGES)
def test_values_given_in_the_docs_are_allowed(page):
    given = [(name, value) for name, value in list_settings(page) if value]
    assert len(given) >= 8
    for name, value in given:
        text = value.replace("(s)", "(2)")
        TrainConfig().replaced(parse_assignments([f"{name}={text}"]))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)", read_page(page)):
        assert (DOCS / target).is_file(), target


def test_every_recipe_is_told():
    text = read_page("training.md")
    assert all(f"`{name}`" in text for name in list_recipes())


def test_the_number_of_trainings_of_each_table_is_told():
    rows = dict(re.findall(r"^\| (\d) \| .* \| (\d+) \|$", read_page("training.md"), re.MULTILINE))
    counts = {name: len(table.list_trainings()) for name, table in TABLES.items()}
    assert {name: int(count) for name, count in rows.items()} == {n: counts[n] for n in "345679"}
