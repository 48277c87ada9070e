"""The default sweep as a user starts it: nothing computed or compiled before, then from the store."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from run import Figure


def seconds(folder: str) -> float:
    """Wall-clock time of ``ntk-explorer sweep`` with all defaults, the start of the process included."""
    caches = {"NTK_EXPLORER_STORE": f"{folder}/store", "XDG_CACHE_HOME": f"{folder}/cache"}
    command = [str(Path(sys.executable).with_name("ntk-explorer")), "sweep"]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=os.environ | caches)
    return time.perf_counter() - start


def measure() -> Iterator[Figure]:
    """The sweep cold, and again with every cell in the store."""
    with tempfile.TemporaryDirectory() as folder:
        yield Figure("default sweep, cold", seconds(folder), 30)
        yield Figure("default sweep, from the store", min(seconds(folder) for _ in range(3)), 2)
