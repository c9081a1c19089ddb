"""Starts real processes of ctxtool and dask without a new start of Python for each of them.

This process imports once what all of them need and forks on request: a line of JSON on its stdin is
one process to start, and the answer is its number.
"""

import atexit
import json
import os
import signal
import sys

LOADED = (
    "distributed.cli.dask_scheduler", "distributed.cli.dask_worker", "pyarrow.dataset",
    "toolkit.cli", "toolkit.build.cluster", "toolkit.build.extract", "toolkit.build.run",
    "toolkit.datasets.ntu", "tqdm.auto",
)  # fmt: skip


def main():
    ending = {}
    # The first to be registered comes last: freeing all that was imported takes a second.
    atexit.register(lambda: ending and os._exit(ending["status"]))
    for name in LOADED:
        __import__(name)
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                become(ending, order)
        print(answer, flush=True)


def become(ending, order):
    """Be the process asked for; what it is to ``prepare`` is Python to run before it begins."""
    os.setsid()
    os.chdir(order["folder"])
    program, streams = order["program"], order["streams"]
    for number, name in ((0, os.devnull), (1, f"{streams}.out"), (2, f"{streams}.err")):
        handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
        os.close(handle)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import dask

    dask.config.set(order["config"])
    exec(order["prepare"], {"__name__": "prepare"})
    sys.argv = [program, *order["arguments"]]
    module = "toolkit.cli" if program == "ctxtool" else f"distributed.cli.{program}"
    try:
        sys.modules[module].main()
        ending["status"] = 0
    except SystemExit as end:
        ending["status"] = end.code or 0
    finally:
        ending.setdefault("status", 70)
        sys.stdout.flush()
    sys.exit()


if __name__ == "__main__":
    main()
