"""In which order tasks go to a cluster, and how many are made ahead; no scheduler is needed."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from toolkit.build import cluster


@dataclass
class Task:
    number: int
    folder: Path = Path("out")


class Tasks(Sequence):
    """Tasks that note which of them were made."""

    def __init__(self, n_tasks):
        self.n_tasks, self.made = n_tasks, []

    def __len__(self):
        return self.n_tasks

    def __getitem__(self, number):
        if number >= self.n_tasks:
            raise IndexError(number)
        self.made.append(number)
        return Task(number)


@pytest.fixture
def hand_over(monkeypatch):
    """Return a function that hands tasks over to a cluster of 30 threads; all stay at work."""
    library = SimpleNamespace(as_completed=lambda loop: None)
    monkeypatch.setitem(sys.modules, "distributed", library)
    monkeypatch.setattr(cluster, "_refuse_unfit", lambda client, site: None)

    def submit(dispatch, task):
        dispatch._running[task.number] = task

    monkeypatch.setattr(cluster._Dispatch, "_submit", submit)
    client = SimpleNamespace(loop=None, nthreads=lambda: {"a worker": 30})

    def start(tasks):
        dispatch = cluster._Dispatch(client, "tcp://x:1", tasks)
        dispatch._hand_over()
        return dispatch

    return start


def test_a_task_is_made_when_it_is_handed_over(hand_over):
    tasks = Tasks(1000)
    dispatch = hand_over(tasks)
    assert list(dispatch._running) == list(range(90))
    assert tasks.made == [0, *range(90)]  # The first one tells the folder.
    assert dispatch._running[5].folder == Path("out").absolute()


def test_what_is_tried_again_comes_after_what_is_new(hand_over):
    dispatch = hand_over(Tasks(92))
    dispatch._count_deaths(dispatch._running.pop(3), 1)
    dispatch._count_deaths(dispatch._running.pop(4), 1)
    dispatch._hand_over()
    assert list(dispatch._running)[-2:] == [90, 91]
    for number in (90, 5):
        del dispatch._running[number]
    dispatch._hand_over()
    assert list(dispatch._running)[-2:] == [3, 4]
