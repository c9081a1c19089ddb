"""Ranks that start together find each other, whatever earlier starts left in their store."""

import threading
from datetime import timedelta

import pytest
from torch.distributed import DistStoreError, HashStore

from train import joining
from train.joining import name_start


def start_rank(store, rank, size, named):
    thread = threading.Thread(target=lambda: named.append(name_start(store, rank, size)))
    thread.start()
    return thread


def start_ranks(store, size, named):
    threads = [start_rank(store, rank, size, named) for rank in reversed(range(size))]
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("size", [1, 2, 5])
def test_all_ranks_of_a_start_have_one_name(size):
    named = []
    start_ranks(HashStore(), size, named)
    assert len(named) == size
    assert len(set(named)) == 1


def test_a_rank_that_comes_first_does_not_go_by_an_earlier_start():
    store, named = HashStore(), []
    start_ranks(store, 2, named)
    (old,) = set(named)
    said = store.get(f"{old}/1")
    rank = start_rank(store, 1, 2, named)
    while store.get(f"{old}/1") == said:  # The rank has read the name of the start before.
        continue
    new = name_start(store, 0, 2)
    rank.join()
    assert named[2:] == [new]
    assert new != old


def test_a_rank_that_is_not_welcomed_says_so(monkeypatch):
    monkeypatch.setattr(joining, "PATIENCE", timedelta(0))
    with pytest.raises(DistStoreError, match=r"rank 0 did not welcome rank 1 within 0:00:00"):
        name_start(HashStore(), 1, 2)
