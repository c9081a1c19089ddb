"""Runs the real command in a fork of a process that has its imports done, and disturbs it there."""

import multiprocessing
import os
import resource
import sys
from functools import partial
from pathlib import Path

from disk_steps import watch_disk
from running import Ran

# pytest too, because a child imports the program that started the test.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["toolkit.cli", "toolkit.build.run", "toolkit.build.extract", "toolkit.datasets.ntu",
     "toolkit.build.video_match", "toolkit.verify", "pyarrow.dataset", "tqdm.auto", "pytest"]
)  # fmt: skip


def run_forked(arguments, folder: Path, *, prepare=None, at_step=None) -> Ran:
    """Run ``ctxtool``; ``prepare`` is called in its process before it begins.

    ``at_step`` is called before each change on disk (see ``disk_steps``).  Streams and the list of
    steps are kept in ``folder``.  A killed command has the status -9.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "steps").unlink(missing_ok=True)
    begin = partial(_begin, list(map(str, arguments)), folder, prepare, at_step)
    process = SERVER.Process(target=begin)
    process.start()
    process.join(60)
    assert process.exitcode is not None, "the command hangs"
    ran = Ran(process.exitcode, *((folder / name).read_text() for name in ("out", "err")))
    assert "Traceback" not in ran.err, ran.err
    return ran


def steps_of(folder: Path) -> list[str]:
    """Return the names of the changes on disk that the last command run there came to."""
    return (folder / "steps").read_text().split()


def limit(what: int, value: int) -> None:
    """Lower a resource limit of this process and of those it starts."""
    resource.setrlimit(what, (value, resource.getrlimit(what)[1]))


def _begin(arguments, folder, prepare, at_step):
    for number, name in ((1, "out"), (2, "err")):
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
        os.close(handle)
    os.chdir(folder)
    watch_disk(folder / "steps", at_step)
    _read_in_this_process()
    if prepare is not None:
        prepare()
    sys.argv = ["ctxtool", *arguments]
    from toolkit.cli import main

    main()


def _read_in_this_process():
    # The process that reads recordings writes nothing to the disk, and takes a second to start.
    from toolkit.build import extract, worker

    worker.IsolatedSource = lambda layout, options, *_: extract.Extractor(layout, options)
