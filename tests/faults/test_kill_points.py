"""Killed at every step of plan, shard, sidecar, manifest and ``dataset.json``: the same files.

What a death leaves is copied at each step of one run, and each different leftover is gone on with;
that a copy is what a real kill leaves is a test of its own.
"""

import pytest
from disk_steps import KeepStates, KillAt
from faulty_builds import Build, digests, is_one_sentence

KILLED = -9
# Both recordings in one shard: every further shard only repeats its steps.
ONE = ("--samples-per-shard", 2)


def keep_states(build, *options):
    """Run a build, keeping what each step found; return the folders of those that differ."""
    folder = build.folder / "states"
    folder.mkdir()
    assert build.run(*options, at_step=KeepStates(build.out, folder)).status == 0
    different = {}
    for state in sorted(folder.iterdir()):
        different.setdefault(frozenset(digests(state).items()), state)
    return list(different.values())


@pytest.fixture(scope="module")
def watched(raw, tmp_path_factory):
    """An undisturbed build into one shard, and all states that a death may leave of it."""
    build = Build(raw, tmp_path_factory.mktemp("watched"))
    return build, keep_states(build, *ONE)


def go_on(raw, state, *options):
    """Run the build in a folder that somebody died in; return it and how it ended."""
    build = Build(raw, state.parent / f"{state.name}-again")
    build.folder.mkdir()
    state.rename(build.out)
    return build, build.run(*options)


def test_every_part_of_a_commit_is_a_step(watched):
    build, states = watched
    steps = set(build.steps())
    assert steps >= {"mkdir", "write-plan", "create-shard", "write-table", "close-shard", "fsync"}
    assert steps >= {"rename", "write-text", "write-manifest"}
    assert len(states) >= 20


def test_a_build_that_died_at_any_step_ends_in_the_same_files(raw, watched):
    (calm, states), different = watched, []
    for state in states:
        build, again = go_on(raw, state, *ONE)
        if (again.status, build.files()) != (0, calm.files()):
            different.append((state.name, again, build.files()))
    assert not different


@pytest.mark.parametrize("name", ["create-shard", "close-shard", "rename", "write-manifest"])
def test_a_real_kill_ends_in_the_same_files(raw, calm, tmp_path, name):
    build = Build(raw, tmp_path)
    last = max(number for number, step in enumerate(calm.steps()) if step == name)
    assert build.run(at_step=KillAt(last)).status == KILLED
    assert build.files() != calm.files()
    assert build.run().status == 0
    assert build.files() == calm.files()


def test_an_overwriting_build_that_died_ends_as_it_would_or_says_what_it_needs(raw, tmp_path):
    other = (*ONE, "--quality", 50)
    build = Build(raw, tmp_path / "first")
    assert build.run(*ONE).status == 0
    states = keep_states(build, *other, "--overwrite")
    wanted, different = build.files(), []
    # Once a shard is begun, all that was there is gone.
    begun = next(n for n, state in enumerate(states) if "create-shard" in state.name)
    for state in states[: begun + 1]:
        half, again = go_on(raw, state, *other)
        if again.status == 1 and is_one_sentence(again.err) and "--overwrite" in again.err:
            again = half.run(*other, "--overwrite")
        if (again.status, half.files()) != (0, wanted):
            different.append((state.name, again, half.files()))
    assert not different
