import pytest

from toolkit.build.ledger import Ledger


def ledger(planned, **outcomes):
    book = Ledger(planned)
    book.add({"status": status} for status, n in outcomes.items() for _ in range(n))
    return book


def test_outcomes_are_counted():
    book = ledger(9, ok=4, no_body=1, bad_video=3)
    book.add([{"status": "ok"}])
    assert book.ok == 5
    assert book.reasons == {"bad_video": 3, "no_body": 1}


def test_a_ledger_prints_its_sum_the_most_frequent_first():
    assert (
        str(ledger(9, no_body=1, bad_video=3, ok=5)) == "9 planned = 5 ok + 3 bad_video + 1 no_body"
    )
    assert str(ledger(1, no_body=1)) == "1 planned = 0 ok + 1 no_body"
    assert str(ledger(0)) == "0 planned = 0 ok"


@pytest.mark.parametrize("n_ok", [1, 3])
def test_a_sample_lost_or_doubled_is_an_error(n_ok):
    with pytest.raises(ValueError, match=f"3 samples planned but {n_ok + 1} accounted for"):
        ledger(3, ok=n_ok, no_body=1).check()


def test_a_ledger_that_adds_up_is_accepted():
    ledger(3, ok=2, no_body=1).check()


@pytest.mark.parametrize(
    ("allowed", "left"),
    [
        ([], {"bad_video": 2, "no_body": 1}),
        (["no_body"], {"bad_video": 2}),
        (["no_body", "bad_video"], {}),
        (["all"], {}),
        (["ok", "crashed"], {"bad_video": 2, "no_body": 1}),
    ],
)
def test_reasons_that_the_user_allows_do_not_count(allowed, left):
    assert ledger(4, ok=1, no_body=1, bad_video=2).not_allowed(allowed) == left
