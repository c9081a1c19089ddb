import os
import signal
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joblib.externals.loky.process_executor import TerminatedWorkerError

from toolkit.build import executors
from toolkit.build.executors import WorkerDiedError, run_tasks


def test_one_job_works_in_order_in_this_process():
    begun = []
    results = run_tasks(lambda task: begun.append(task) or os.getpid(), [3, 1, 2], 1)
    assert next(results) == os.getpid()
    assert begun == [3]
    assert [*results] == [os.getpid()] * 2
    assert begun == [3, 1, 2]


def test_no_task_is_no_work():
    assert list(run_tasks(abs, [], 4)) == []


def test_two_jobs_do_every_task_once():
    assert sorted(run_tasks(abs, [-5, -1, -3, -4, -2], 2)) == [1, 2, 3, 4, 5]


def test_processes_that_die_again_and_again_are_told_in_one_sentence():
    tidied = []
    with pytest.raises(WorkerDiedError, match=r"^2 shards could not be made: .* go on, with fewer"):
        list(run_tasks(os._exit, [1, 1], 2, lambda: tidied.append(1)))
    # Two deaths of both, two of each alone, and once more in the end.
    assert len(tidied) == 2 + 2 * 2 + 1


def test_what_is_not_waited_for_is_tidied_up():
    tidied = []
    results = run_tasks(abs, [-1, -2, -3], 2, lambda: tidied.append(1))
    next(results)
    assert not tidied
    results.close()
    assert tidied


def test_processes_of_a_parent_that_is_gone_take_no_task(monkeypatch):
    # A number higher than any of a process on Linux.
    monkeypatch.setattr(executors, "os", SimpleNamespace(getpid=lambda: 2**22 + 1))
    with pytest.raises(WorkerDiedError):
        list(run_tasks(abs, [-1, -2], 2))


def die_once(mark):
    """Kill the process unless somebody was here before; return what is no path."""
    if isinstance(mark, Path):
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return "second try"
        os.kill(os.getpid(), signal.SIGKILL)
    return mark


def test_a_process_that_dies_once_costs_nothing(tmp_path, caplog):
    results = list(run_tasks(die_once, [0, 1, tmp_path / "died", 3, 4], 2))
    assert sorted(results, key=str) == [0, 1, 3, 4, "second try"]
    assert "a worker process died; beginning anew with " in caplog.text


def ill_starred(killers):
    """Stand in for the processes: a task that kills does so before any beside it is done."""

    def run_pool(work, tasks, places, n_jobs):
        for number, place in enumerate(places):
            if killers & set(places[number : number + n_jobs]):
                raise TerminatedWorkerError
            yield place, work(tasks[place])

    return run_pool


@given(killers=st.sets(st.integers(0, 11), min_size=1, max_size=5), n_jobs=st.integers(2, 16))
def test_no_task_is_lost_to_those_that_kill_beside_it(killers, n_jobs):
    done = []
    with (
        patch.object(executors, "_run_pool", ill_starred(killers)),
        pytest.raises(WorkerDiedError, match=f"^{len(killers)} shards? could not be made"),
    ):
        for result in run_tasks(abs, range(12), n_jobs):
            done.append(result)
    assert sorted(done) == sorted(set(range(12)) - killers)


def test_many_that_kill_stop_the_work_at_once(monkeypatch):
    tried = []

    def run_pool(work, tasks, places, n_jobs):
        tried.append(places)
        raise TerminatedWorkerError
        yield

    monkeypatch.setattr(executors, "_run_pool", run_pool)
    with pytest.raises(WorkerDiedError, match=r"^8 shards could not be made"):
        list(run_tasks(abs, range(1000), 50))
    # Two deaths of all, and two of each of eight.
    assert len(tried) == 2 + 2 * 8


def die(task):
    return task if task else os._exit(1)


def test_what_can_be_done_is_done_beside_a_task_that_kills():
    done = []
    with pytest.raises(WorkerDiedError):
        for result in run_tasks(die, [0, 1, 2, 3, 4, 5], 2):
            done.append(result)
    assert sorted(done) == [1, 2, 3, 4, 5]
