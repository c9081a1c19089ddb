import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import clips
from train.sampling import (
    EpochSampler,
    Key,
    Span,
    draw_span,
    item_rng,
    loop_order,
    tile_spans,
)


class Fixed:
    """Random numbers that are not random."""

    def __init__(self, value):
        self.value = value

    def integers(self, high):
        assert self.value < high
        return self.value


@pytest.mark.parametrize(
    ("n_frames", "centre", "start"),
    [
        (40, 0, 0),
        (40, 8, 0),
        (40, 9, 1),
        (40, 20, 12),
        (40, 31, 23),
        (40, 32, 24),
        (40, 39, 24),
        (17, 16, 1),
        (16, 15, 0),
        (5, 4, 0),
    ],
)
def test_window_lies_around_its_centre_frame(n_frames, centre, start):
    span = draw_span(n_frames, 16, "centre", Fixed(centre))
    assert span == Span(start, min(n_frames, 16))


def test_centre_windows_favour_both_ends():
    # 40 centre frames: 0-8 give start 0 and 32-39 give start 24, one each the starts between.
    starts = Counter(draw_span(40, 16, "centre", Fixed(c)).start for c in range(40))
    assert starts == {0: 9, 24: 8} | dict.fromkeys(range(1, 24), 1)


def test_uniform_windows_reach_every_start():
    starts = [draw_span(18, 16, "uniform", Fixed(s)).start for s in range(3)]
    assert starts == [0, 1, 2]
    with pytest.raises(AssertionError):
        draw_span(18, 16, "uniform", Fixed(3))


@pytest.mark.parametrize("window", ["centre", "uniform"])
@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 40), st.integers(0, 2**32))
def test_windows_lie_inside_the_sample(window, n_frames, length, seed):
    start, n_valid = draw_span(n_frames, length, window, np.random.default_rng(seed))
    assert n_valid == min(length, n_frames)
    assert 0 <= start <= n_frames - n_valid


@pytest.mark.parametrize(
    ("n_frames", "keep", "drop"),
    [
        (5, [(0, 5)], [(0, 5)]),
        (16, [(0, 16)], [(0, 16)]),
        (17, [(0, 16), (16, 1)], [(0, 16)]),
        (48, [(0, 16), (16, 16), (32, 16)], [(0, 16), (16, 16), (32, 16)]),
        (63, [(0, 16), (16, 16), (32, 16), (48, 15)], [(0, 16), (16, 16), (32, 16)]),
    ],
)
def test_tiles(n_frames, keep, drop):
    assert tile_spans(n_frames, 16, "keep") == keep
    assert tile_spans(n_frames, 16, "drop") == drop


@pytest.mark.parametrize("n_frames", range(1, 70))
def test_tiles_are_the_clips_that_shards_list(n_frames):
    starts, n_valid = clips.tile(n_frames)
    assert tile_spans(n_frames, 16, "keep") == list(zip(starts, n_valid, strict=True))


def test_short_clips_loop():
    assert loop_order(5, 16).tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0]
    assert loop_order(16, 16).tolist() == list(range(16))


@settings(deadline=None)
@given(st.tuples(*[st.integers(0, 50)] * 3), st.tuples(*[st.integers(0, 50)] * 3))
def test_items_have_streams_of_their_own(a, b):
    same = item_rng(*a).integers(2**62) == item_rng(*b).integers(2**62)
    assert same == (a == b)


def test_order_and_first_item_do_not_share_a_stream():
    order = [key.sample for key in EpochSampler(range(50), 50, seed=3)]
    assert order != item_rng(3, 0, 0).permutation(50).tolist()


def epoch_of_ranks(samples, batch_size, seed, epoch, world):
    ranks = []
    for rank in range(world):
        sampler = EpochSampler(samples, batch_size, seed, rank, world)
        sampler.set_epoch(epoch)
        ranks.append((sampler, list(sampler)))
    return ranks


SAMPLES = st.lists(st.integers(0, 300), min_size=1, max_size=40, unique=True)


@settings(deadline=None)
@given(SAMPLES, st.integers(1, 9), st.integers(0, 99), st.integers(0, 9), st.integers(1, 5))
def test_ranks_share_every_sample_once_in_equal_steps(samples, batch_size, seed, epoch, world):
    ranks = epoch_of_ranks(samples, batch_size, seed, epoch, world)
    counted = [key.sample for _, keys in ranks for key in keys if key.weight == 1]
    assert sorted(counted) == sorted(samples)
    assert len({len(keys) for _, keys in ranks}) == 1
    for sampler, keys in ranks:
        assert sampler.n_steps == -(-len(keys) // batch_size)
        assert {key.sample for key in keys} <= set(samples)
        assert {key.epoch for key in keys} == {epoch}


@settings(deadline=None)
@given(SAMPLES, st.integers(0, 9), st.integers(1, 5))
def test_a_rank_pads_with_one_sample_at_most(samples, epoch, world):
    for _, keys in epoch_of_ranks(samples, 4, 0, epoch, world):
        assert [key.weight for key in keys[:-1]] == [1.0] * (len(keys) - 1)
        assert keys[-1].weight in (0.0, 1.0)


@settings(deadline=None)
@given(SAMPLES, st.integers(1, 3))
def test_a_global_step_has_the_same_samples_for_any_number_of_ranks(samples, per_rank):
    alone = list(EpochSampler(samples, 6 * per_rank, seed=1))
    for world in (2, 3):
        ranks = epoch_of_ranks(samples, 6 * per_rank // world, 1, 0, world)
        n = 6 * per_rank // world
        step = [key for _, keys in ranks for key in keys[:n] if key.weight]
        assert sorted(step) == sorted(alone[: 6 * per_rank])


def test_epochs_and_seeds_differ_and_repeat():
    def order(seed, epoch):
        sampler = EpochSampler(range(30), 4, seed)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(0, 1) == order(0, 1)
    assert [k.sample for k in order(0, 0)] != [k.sample for k in order(0, 1)]
    assert [k.sample for k in order(0, 0)] != [k.sample for k in order(1, 0)]


def test_resuming_leaves_out_the_steps_done():
    sampler = EpochSampler([4, 5, 6, 7, 8], 2, seed=0)
    whole = list(sampler)
    sampler.set_epoch(0, start_step=1)
    assert list(sampler) == whole[2:]
    assert len(sampler) == 3
    sampler.set_epoch(0, start_step=3)
    assert (list(sampler), len(sampler), sampler.n_steps) == ([], 0, 3)


def test_an_interrupted_run_meets_the_order_it_was_begun_with():
    sampler = EpochSampler([5, 6, 7, 8, 9, 10, 11], 2, seed=11)
    sampler.set_epoch(4, start_step=1)
    # Runs were stopped half-way in this order: a new one would give them samples twice.
    assert [key.sample for key in sampler] == [5, 11, 6, 10, 9]


def test_an_epoch_is_not_held_as_objects():
    sampler = EpochSampler(np.arange(200_000), 64, seed=0)
    tracemalloc.start()
    try:
        n_items = sum(1 for _ in sampler)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert n_items == 200_000
    assert peak < 200_000 * 32  # Two arrays of numbers have 16 bytes a sample, a Key alone 64.


def test_iterating_keeps_the_epoch_it_began_with():
    sampler = EpochSampler([4], 1, seed=0)
    keys = iter(sampler)
    sampler.set_epoch(1)
    assert list(keys) == [Key(0, 4)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples": []},
        {"batch_size": 0},
        {"seed": -1},
        {"rank": 2, "world": 2},
        {"rank": -1},
    ],
)
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="need"):
        EpochSampler(**({"samples": [1], "batch_size": 1, "seed": 0} | wrong))


@pytest.mark.parametrize(("epoch", "step"), [(-1, 0), (0, -1), (0, 4)])
def test_steps_outside_an_epoch_are_refused(epoch, step):
    with pytest.raises(ValueError, match="there are 3"):
        EpochSampler(range(5), 2, seed=0).set_epoch(epoch, step)
