"""Real processes that talk over the loopback device, against one process alone."""

import json
import socket

import pytest
import torch
from child_jobs import run_deserted, run_processes, run_rank
from tiny_runs import write_tiny_dataset

from train.distributed import World, choose_device, gather_over_ranks, open_world, sum_over_ranks
from train.errors import TrainError


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_ranks(n_ranks, dataset, out):
    """Run the job on some ranks and return what each wrote."""
    out.mkdir()
    port = free_port()
    places = [(rank, n_ranks, port, dataset, out) for rank in range(n_ranks)]
    assert run_processes(run_rank, places) == [0] * n_ranks
    return [json.loads((out / f"rank{rank}.json").read_text()) for rank in range(n_ranks)]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """What 1, 2 and 3 ranks saw of the same training."""
    folder = tmp_path_factory.mktemp("ranks")
    dataset = write_tiny_dataset(folder / "data")
    return {n: run_ranks(n, dataset, folder / f"ranks{n}") for n in (1, 2, 3)}


@pytest.mark.parametrize("n_ranks", [1, 2, 3])
def test_every_sample_comes_exactly_once_an_epoch(jobs, n_ranks):
    for epoch in range(2):
        seen = sorted(sample for facts in jobs[n_ranks] for sample in facts["seen"][epoch])
        assert seen == sorted(jobs[1][0]["seen"][0])
        assert len(seen) == len(set(seen)) == 8


@pytest.mark.parametrize("n_ranks", [2, 3])
def test_ranks_agree_on_metrics_and_weights(jobs, n_ranks):
    first, *others = jobs[n_ranks]
    assert all(facts["history"] == first["history"] for facts in others)
    assert all(facts["equal"] for facts in jobs[n_ranks])
    assert [facts["sum"] for facts in jobs[n_ranks]] == [n_ranks * (n_ranks + 1) / 2] * n_ranks


@pytest.mark.parametrize("n_ranks", [2, 3])
def test_the_same_network_validates_the_same_on_any_number_of_ranks(jobs, n_ranks):
    alone = jobs[1][0]["before"]
    shared = jobs[n_ranks][0]["before"]
    assert (shared["top1"], shared["top5"]) == (alone["top1"], alone["top5"])
    assert shared["loss"] == pytest.approx(alone["loss"], rel=1e-6)


@pytest.mark.parametrize("n_ranks", [2, 3])
def test_the_gradient_is_the_mean_over_the_clips_of_all_ranks(jobs, n_ranks):
    for facts in jobs[n_ranks]:
        assert facts["gradient"] == pytest.approx(jobs[1][0]["gradient"], rel=1e-5, abs=1e-7)


@pytest.mark.parametrize(("n_ranks", "n_steps"), [(1, 2), (2, 1), (3, 1)])
def test_ranks_share_the_steps(jobs, n_ranks, n_steps):
    # 8 samples in batches of 2, two of them a step.
    assert [facts["clips"] for facts in jobs[n_ranks]] == [2 * n_steps] * n_ranks


@pytest.mark.parametrize("n_ranks", [1, 2, 3])
def test_ranks_stop_together_and_resume_exactly(jobs, n_ranks):
    assert all(facts["exact"] for facts in jobs[n_ranks])


def test_a_rank_that_is_left_alone_says_so(tmp_path):
    port = free_port()
    codes = run_processes(run_deserted, [(rank, port, tmp_path / "said") for rank in range(2)])
    assert codes == [0, 7]
    assert "rank 0 lost another rank" in (tmp_path / "said").read_text()


def test_one_process_needs_no_group():
    with open_world("cpu") as world:
        assert world == World()
        assert sum_over_ranks(torch.ones(2), world).tolist() == [1, 1]
        assert gather_over_ranks(torch.ones(2), world).tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("name", "message"),
    [("gpu", "must be auto, cpu, cuda or cuda:N, got 'gpu'"), ("cuda:99", "cuda:99 .* not exist"),
     ("meta", "device meta .* does not exist here")],
)  # fmt: skip
def test_a_device_that_is_not_there_is_named(name, message):
    with pytest.raises(TrainError, match=message):
        choose_device(name)
