import numpy as np
import pytest
from made_evaluations import LABELS, SCORES, make_evaluation

from train.errors import TrainError


def test_accuracies_by_hand():
    evaluation = make_evaluation(LABELS, SCORES)
    assert evaluation.top1 == 3 / 4
    assert evaluation.top5 == 1
    assert evaluation.mean_class == pytest.approx((2 / 3 + 1) / 2)
    assert evaluation.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert evaluation.predicted.tolist() == [0, 0, 1, 1]


def test_dropped_samples_count_as_wrong():
    evaluation = make_evaluation(LABELS, SCORES, dropped=[1, 0, 2])
    assert (evaluation.n_samples, evaluation.n_dropped) == (4, 3)
    assert evaluation.top1_with_dropped == 3 / 7
    assert evaluation.top5_with_dropped == 4 / 7
    # Class 2 has dropped samples only: none of it is right.
    assert evaluation.mean_class_with_dropped == pytest.approx((2 / 4 + 1 + 0) / 3)
    assert evaluation.top1 == 3 / 4


def test_nothing_dropped_changes_nothing():
    evaluation = make_evaluation(LABELS, SCORES)
    assert evaluation.top1_with_dropped == evaluation.top1
    assert evaluation.mean_class_with_dropped == evaluation.mean_class


def test_top5_counts_the_first_five():
    scores = np.tile(np.arange(7, 0, -1), (7, 1))
    names = tuple("abcdefg")
    evaluation = make_evaluation(range(7), scores, [0] * 7, class_names=names)
    assert evaluation.ranks.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert evaluation.top5 == 5 / 7


def test_a_tie_is_lost_in_every_figure():
    evaluation = make_evaluation([0, 1], np.full((2, 3), 1 / 3))
    assert evaluation.top1 == 0
    assert np.trace(evaluation.confusion) == 0
    assert evaluation.predicted.tolist() == [1, 0]


def test_logits_are_judged_by_their_order():
    evaluation = make_evaluation([2, 0, 1], [[-9, -8, -7], [-1, -3, -2], [-5, -6, -4]])
    assert evaluation.top1 == 2 / 3
    assert evaluation.predicted.tolist() == [2, 0, 2]


def test_the_dictionary_holds_plain_values():
    found = make_evaluation(LABELS, SCORES, dropped=[0, 0, 1]).to_dict()
    assert found["run"] == "r"
    assert found["confusion"][0] == [2, 1, 0]
    assert found["n_dropped"] == 1
    assert all(type(v) in (str, int, float, list) for v in found.values())


def test_scores_that_are_no_numbers_are_refused():
    scores = np.array(SCORES)
    scores[2, 1] = np.nan
    with pytest.raises(TrainError, match=r"1 of 4 samples are no finite numbers, the first is s2"):
        make_evaluation(LABELS, scores)


def test_nothing_to_evaluate_is_refused():
    with pytest.raises(TrainError, match="split xsub has no usable test sample"):
        make_evaluation([], np.empty((0, 3)))
