"""Runs the real command in a fork of a process that has its imports done, and disturbs it there."""

import atexit
import functools
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

from disk_steps import watch_disk
from running import Ran

_LOADED = (
    "toolkit.cli", "toolkit.build.run", "toolkit.build.extract", "toolkit.build.video_match",
    "toolkit.datasets.ntu", "toolkit.verify", "pyarrow.dataset", "tqdm.auto", "pytest",
)  # fmt: skip
_HERE = Path(__file__).parent


def run_forked(arguments, folder: Path, *, prepare=None, at_step=None) -> Ran:
    """Run ``ctxtool``; ``prepare`` is called in its process before it begins.

    ``at_step`` is called before each change on disk (see ``disk_steps``).  Streams and the list of
    steps are kept in ``folder``.  A killed command has the status -9.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "steps").unlink(missing_ok=True)
    server = _server()
    pickle.dump((list(map(str, arguments)), folder, prepare, at_step), server.stdin)
    server.stdin.flush()
    status = int(server.stdout.readline())
    ran = Ran(status, *((folder / name).read_text() for name in ("out", "err")))
    assert "Traceback" not in ran.err, ran.err
    return ran


def steps_of(folder: Path) -> list[str]:
    """Return the names of the changes on disk that the last command run there came to."""
    return (folder / "steps").read_text().split()


def limit(what: int, value: int) -> None:
    """Lower a resource limit of this process and of those it starts."""
    resource.setrlimit(what, (value, resource.getrlimit(what)[1]))


@functools.cache
def _server():
    """Return the process that commands are forked from; it ends with this one."""
    paths = [str(_HERE), str(_HERE.parent), os.environ.get("PYTHONPATH", "")]
    server = subprocess.Popen(
        [sys.executable, "-c", "import forked_command; forked_command.serve()"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    atexit.register(_end, server)
    return server


def _end(server):
    server.stdin.close()
    server.stdout.close()
    server.wait()


def serve() -> None:
    """Fork a command for each order on stdin and answer with its status."""
    for name in _LOADED:
        __import__(name)
    while True:
        try:
            order = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        child = os.fork()
        if child == 0:
            _become_command(*order)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _become_command(arguments, folder, prepare, at_step):
    for number, name in ((0, os.devnull), (1, folder / "out"), (2, folder / "err")):
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
        os.close(handle)
    os.setsid()
    os.chdir(folder)
    sys.argv = ["ctxtool", *arguments]
    from toolkit.cli import main

    status = 0
    try:
        watch_disk(folder / "steps", at_step)
        _read_in_this_process()
        if prepare is not None:
            prepare()
        main()
    except SystemExit as end:
        status = end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 70
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _read_in_this_process():
    # The process that reads recordings writes nothing to the disk, and takes a second to start.
    from toolkit.build import extract, worker

    worker.IsolatedSource = lambda layout, options, *_: extract.Extractor(layout, options)
