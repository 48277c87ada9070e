"""A Dask scheduler and workers as their users start them: programs of their own, on loopback."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil

TARGETS = str(Path(__file__).parent)


def wait_for(condition, timeout=60):
    end = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.05)
    return found


@contextmanager
def dask(program, *options, path=(), log=subprocess.DEVNULL):
    """``dask scheduler`` or ``dask worker``; its processes are gone at the end."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*path, TARGETS])}
    command = [sys.executable, "-m", f"distributed.cli.dask_{program}", "--no-dashboard", *options]
    running = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield running
    finally:
        family = [running, *psutil.Process(running.pid).children(recursive=True)] if running.poll() is None else []
        for process in family:
            process.kill()
        running.wait()


@contextmanager
def scheduler(folder, *options, port="0"):
    """A scheduler; gives its address."""
    file = Path(folder) / "scheduler.json"
    fixed = ("--host", "127.0.0.1", "--port", port, "--scheduler-file", str(file))
    with dask("scheduler", *fixed, *options) as process:
        wait_for(lambda: file.exists() and file.read_text().strip().endswith("}"))
        yield json.loads(file.read_text())["address"], process


def worker(address, *options, workers=1, path=()):
    fixed = ("--host", "127.0.0.1", "--nworkers", str(workers), "--nthreads", "1")
    return dask("worker", address, *fixed, *options, path=path)
