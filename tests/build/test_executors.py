import os

import pytest

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


def test_a_killed_worker_is_told_in_one_sentence():
    with pytest.raises(WorkerDiedError, match=r"a worker process died .* what is finished is kept"):
        list(run_tasks(os._exit, [1, 1, 1], 2))
