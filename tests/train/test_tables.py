import pytest

from train.config import TrainConfig, read_recipe
from train.tables import PAPER_TABLES, TABLES, TRAININGS, select_tables


def list_all(*names):
    return {training for name in names for training in TABLES[name].list_trainings()}


def test_the_grid_has_13_and_8_and_4_distinct_trainings():
    assert len(list_all("3", "4", "5", "6")) == 13
    assert len(list_all("7")) == 8
    assert len(list_all("9")) == 4
    assert len(list_all("extra") - list_all("3")) == 5


def test_every_training_stands_in_a_table_and_the_other_way_round():
    assert list_all(*TABLES) == set(TRAININGS)


def test_no_two_trainings_of_a_table_are_the_same():
    for table in TABLES.values():
        trainings = [TRAININGS[name] for name in table.list_trainings()]
        settings = [(t.split, tuple(sorted(t.changes.items()))) for t in trainings]
        assert len(set(settings)) == len(settings), table.name


@pytest.mark.parametrize("name", sorted(TRAININGS))
def test_the_settings_of_a_training_make_a_configuration(name):
    config = TrainConfig().replaced(TRAININGS[name].changes)
    assert config.model.system == TRAININGS[name].changes["model.system"]


@pytest.mark.parametrize("name", PAPER_TABLES)
def test_every_row_has_a_paper_number_for_each_column(name):
    table = TABLES[name]
    for row in table.rows:
        assert len(row.paper) == len(table.columns)
        assert all(column.training < len(row.trainings) for column in table.columns)


@pytest.mark.parametrize(
    ("low", "high", "top1", "top5"),
    [("KM-concat", "KM-mlp2", 2.16, 1.08), ("KM-base", "KM-self", 1.12, -0.10)],
)
def test_differences_within_kinetics_motion_are_the_papers(low, high, top1, top5):
    paper = {row.trainings[0]: row.paper for n in "3456" for row in TABLES[n].rows}
    gains = [b - a for a, b in zip(paper[low], paper[high], strict=True)]
    assert gains == pytest.approx([top1, top5])


def test_concat_to_cross_attention_gains_on_ntu_are_the_papers():
    paper = {row.trainings[0]: row.paper for row in TABLES["7"].rows}
    concat, cross = paper["NTU-concat-xsub"], paper["NTU-cross-xsub"]
    gains = [b - a for a, b in zip(concat, cross, strict=True)]
    assert gains == pytest.approx([2.69, 4.66])


def test_a_training_has_the_same_paper_numbers_wherever_it_stands():
    seen = {}
    for name in PAPER_TABLES:
        for row in TABLES[name].rows:
            assert seen.setdefault(row.trainings, row.paper) == row.paper


def test_the_proposed_network_is_the_default_of_the_recipe():
    config = read_recipe("paper-kinetics-motion")
    assert config.replaced(TRAININGS["KM-mlp2"].changes) == config


@pytest.mark.parametrize(
    ("wanted", "data", "extra", "names"),
    [
        ("3", "kinetics-motion", False, ["3"]),
        ("3", "kinetics-motion", True, ["3", "extra"]),
        ("all", "kinetics-motion", False, ["3", "4", "5", "6"]),
        ("all", "kinetics-motion", True, ["3", "4", "5", "6", "extra"]),
        ("all", "ntu60", True, ["7"]),
        ("all", "kinetics", False, ["9"]),
        ("6", "jhmdb", False, ["6"]),
    ],
)
def test_which_tables_are_run(wanted, data, extra, names):
    assert [table.name for table in select_tables([wanted], data, extra=extra)] == names


def test_all_tables_of_a_data_set_that_the_paper_does_not_know():
    with pytest.raises(ValueError, match="no table of the paper is about the data set jhmdb"):
        select_tables(["all"], "jhmdb")


def test_an_unknown_table_is_named():
    with pytest.raises(ValueError, match="no table 8; choose one of 3, 4"):
        select_tables(["8"], "ntu60")


def test_tables_may_be_several_each_once():
    names = [t.name for t in select_tables(["5", "3", "5", "all"], "kinetics-motion")]
    assert names == ["5", "3", "4", "6"]
