"""A dask cluster of processes on this machine, and ctxtool commands that use it."""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from running import Ran

CONFIG = {"distributed.comm.timeouts.connect": "1s", "distributed.scheduler.allowed-failures": 0}
# Recordings are read in the worker's process and nothing is flushed: neither isolation nor power
# cuts are tested here.
PREPARE = """
import os
from toolkit.build import extract, worker
worker.IsolatedSource = lambda layout, options, *_: extract.Extractor(layout, options)
os.fsync = lambda handle: None
"""


class Process:
    """A running process; its streams lie in files."""

    def __init__(self, zygote, pid, streams):
        self.zygote, self.pid, self.streams = zygote, pid, streams
        self.handle = os.pidfd_open(pid)
        self.status = None

    def has_ended(self, seconds=0.005):
        return bool(select.select([self.handle], [], [], seconds)[0])

    def send(self, number):
        signal.pidfd_send_signal(self.handle, number)

    def wait(self):
        """Return the exit status and both streams; a traceback fails the test."""
        assert self.has_ended(60), f"{self.streams.name} hangs: {self.read('err')}"
        if self.status is None:
            self.status = self.zygote.ask(wait=self.pid)
            os.close(self.handle)
        return Ran(self.status, self.read("out"), self.read("err"))

    def read(self, stream):
        return Path(f"{self.streams}.{stream}").read_text()

    def kill(self):
        if self.status is None:
            self.send(signal.SIGKILL)
            self.wait()


class Zygote:
    """Starts processes from one that has everything imported; ends them all in the end."""

    def __init__(self):
        program = [sys.executable, str(Path(__file__).with_name("zygote.py"))]
        self.process = subprocess.Popen(
            program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"
        self.started = []

    def ask(self, **order):
        print(json.dumps(order), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def start(self, program, *arguments, folder, prepare=""):
        streams = folder / f"{program}-{len(self.started)}"
        for name in ("out", "err"):
            Path(f"{streams}.{name}").touch()
        pid = self.ask(
            program=program, arguments=[*map(str, arguments)], folder=str(folder),
            streams=str(streams), prepare=PREPARE + prepare, config=CONFIG,
        )  # fmt: skip
        self.started.append(Process(self, pid, streams))
        return self.started[-1]

    def end(self):
        for process in self.started:
            process.kill()
        self.process.communicate(timeout=60)
        assert self.process.returncode == 0


class Cluster:
    """A scheduler and its workers."""

    def __init__(self, zygote, folder):
        self.zygote, self.folder = zygote, folder
        folder.mkdir()
        file = folder / "scheduler.json"
        options = ("--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--no-show")
        self.scheduler = zygote.start(
            "dask_scheduler", *options, "--scheduler-file", file, folder=folder
        )
        wait_until(lambda: file.exists() and file.read_text().endswith("}"), self.scheduler)
        self.address = json.loads(file.read_text())["address"]
        self.workers = []

    def add_worker(self, prepare=""):
        """Start a worker and wait until the scheduler knows of it."""
        options = ("--no-nanny", "--nthreads", 1, "--no-dashboard", "--memory-limit", 0)
        worker = self.zygote.start(
            "dask_worker", self.address, *options, "--local-directory", self.folder,
            folder=self.folder, prepare=prepare,
        )  # fmt: skip
        self.workers.append(worker)
        wait_until(lambda: "Registered to: " in worker.read("err"), worker, self.scheduler)
        return worker

    def end(self):
        for process in (*self.workers, self.scheduler):
            process.kill()


def wait_until(condition, *processes):
    """Wait for a condition; fails when one of the processes that are to bring it about ends."""
    while not condition():
        for process in processes:
            assert not process.has_ended(), process.read("err")
