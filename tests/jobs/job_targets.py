"""Work for the worker's tests; imported in its process."""

import os
import sys
import time
from contextlib import closing
from pathlib import Path

from ntk_explorer.errors import InvalidInput, UnknownName


def count(n, pause=0.0, trace=None, bulk=False):
    """n events; each run leaves a line in ``trace``."""
    if trace:
        with open(trace, "a") as file:
            file.write("run\n")
    for i in range(n):
        time.sleep(pause)
        yield {"kind": "step", "i": i} | ({"cells": [bytes(1000)]} if bulk else {})


def pauses(n):
    """A step among moments at which nothing has happened."""
    for i in range(n):
        time.sleep(0.01)
        yield {"kind": "step", "i": i} if i == 1 else None


def stubborn(seconds, begun):
    """One step that cannot be interrupted."""
    yield {"kind": "step", "i": 0}
    Path(begun).touch()
    time.sleep(seconds)
    yield {"kind": "step", "i": 1}


def square(x):
    return x * x


def whoami():
    print("noise on standard output")
    return {"pid": os.getpid(), "x64": os.environ["JAX_ENABLE_X64"], "jax": "jax" in sys.modules}


def refuse():
    raise InvalidInput("The number 7 is odd", "Use 8.")
    yield


def break_down():
    yield {"kind": "step", "i": 0}
    raise RuntimeError("a defect\nwith a second line")


def unreadable():
    yield {"kind": "step", "i": 0}
    yield {"kind": "step", "large": bytes(200_000), "local": lambda: None}


class Foreign:
    """Made here, but not to be remade elsewhere."""

    def __reduce__(self):
        return os.getenv, ()


def foreign():
    yield Foreign()


def starve():
    raise MemoryError


def die():
    yield {"kind": "step", "i": 0}
    os.kill(os.getpid(), 9)


def ready():
    return {"ready": True}


def unable():
    raise RuntimeError("no device")


def double(x, pause=0.0):
    time.sleep(pause)
    return 2 * x


def unknown(name):
    raise UnknownName("number", name, ["one", "two"])


def defect():
    raise RuntimeError("a defect\nwith a second line")


def die_at_first(marker):
    """Ends its process the first time."""
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), 9)
    return "second time"


def always_die(record):
    with open(record, "a") as file:
        file.write("x")
    os.kill(os.getpid(), 9)


def fail_at_first(marker):
    if not Path(marker).exists():
        Path(marker).touch()
        raise InvalidInput("Not at the first time", "Try again.")
    return "second time"


def visible(path):
    if not Path(path).exists():
        raise InvalidInput(f"The store {path} is not visible", "Use a folder that all machines share.")


def mark(folder, pause=0.0):
    time.sleep(pause)
    Path(folder, str(time.monotonic_ns())).touch()


def whereabouts(pause):
    time.sleep(pause)
    return os.getpid()


def stay(folder, seconds=600):
    """Says that it has begun, and does not end."""
    Path(folder, str(os.getpid())).touch()
    time.sleep(seconds)


def local():
    return lambda: None


def interrupted():
    raise KeyboardInterrupt


def hold_the_interpreter(seconds):
    """Computes without letting any other thread of the process run."""
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    sys.setswitchinterval(switch)


def coordinate(folder):
    """A job that has its own pool at work."""
    from ntk_explorer.jobs import Task, WorkerPool

    tasks = [Task(str(i), "job_targets:stay", {"folder": folder}) for i in range(2)]
    with WorkerPool(2) as pool, closing(pool.run(tasks)) as outcomes:
        yield from outcomes


def freeze_at_first(marker):
    """Stops its process the first time, so that it neither speaks nor computes."""
    if not Path(marker).exists():
        Path(marker).write_text(str(os.getpid()))
        os.kill(os.getpid(), 19)
    return "second time"


def eigenvalues(n):
    """Of a matrix large enough for BLAS to use its threads, as the bytes that jax gives."""
    import jax
    import numpy as np

    with jax.enable_x64(True):
        a = np.random.default_rng(0).normal(size=(n, n))
        return np.asarray(jax.numpy.linalg.eigvalsh(a @ a.T)).tobytes()


def variables(names, pause):
    time.sleep(pause)
    return tuple(os.environ[name] for name in names)
