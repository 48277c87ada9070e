"""What the job layer adds to tasks of a second: in this process, in two workers, and through a Dask scheduler."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from run import Figure

from ntk_explorer.jobs import Backend, Task, backend

TASKS, SECONDS, WORKERS = 10, 1.0, 2


def resting(count: int, seconds: float) -> list[Task]:
    """Tasks that need no core while they run, so that what comes on top is the layer's own."""
    arguments = {"args": ["sleep", str(seconds)]}
    return [Task(f"{seconds} {number} {time.time()}", "subprocess:check_call", arguments) for number in range(count)]


def overhead(engine: Backend) -> float:
    """Per cent of the tasks' own time that the layer adds, once its processes are warm."""

    def needed(tasks: list[Task]) -> float:
        begun = time.perf_counter()
        with closing(engine.run(tasks)) as outcomes:
            errors = [outcome.error for outcome in outcomes if outcome is not None]
        assert errors == [None] * len(tasks), errors
        return time.perf_counter() - begun

    needed(resting(WORKERS, 0.1))
    own = TASKS * SECONDS / min(engine.workers, TASKS)
    return 100 * (needed(resting(TASKS, SECONDS)) / own - 1)


@contextmanager
def cluster() -> Iterator[str]:
    """A Dask scheduler and two workers on this machine; the scheduler's address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    host, port = address.removeprefix("tcp://").split(":")
    commands = [
        ("scheduler", "--host", host, "--port", port),
        ("worker", address, "--nworkers", str(WORKERS), "--nthreads", "1"),
    ]
    with ExitStack() as stack:
        for command in commands:
            program = [str(Path(sys.executable).with_name("dask")), *command, "--no-dashboard"]
            process = stack.enter_context(
                subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            stack.callback(process.terminate)
            time.sleep(5)
        yield address


def measure() -> Iterator[Figure]:
    """The three ways, each with its processes warm."""
    kinds = {"in this process": {}, f"in {WORKERS} workers": {"workers": WORKERS}}
    for name, options in kinds.items():
        with closing(backend(**options)) as engine:
            yield Figure(f"job layer on tasks of 1 s, {name}", overhead(engine), 5, "%")
    with cluster() as address, closing(backend(scheduler=address)) as engine:
        yield Figure("job layer on tasks of 1 s, through Dask", overhead(engine), 5, "%")
