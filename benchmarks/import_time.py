"""What importing the library costs beside importing jax: medians of interleaved fresh processes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from run import Figure

REPEATS = 7
STATEMENTS = {
    "jax": "import jax",
    "library": "import jax, ntk_explorer",
    "names": "import jax, ntk_explorer as n; [getattr(n, name) for name in n.__all__]",
}


def seconds(statement: str) -> float:
    """Wall-clock time of a fresh process that runs a statement."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def measure() -> Iterator[Figure]:
    """Extra seconds over ``import jax``, of the bare import and of touching every public name."""
    for statement in STATEMENTS.values():
        seconds(statement)  # fills the bytecode and file caches
    rounds = [{name: seconds(statement) for name, statement in STATEMENTS.items()} for _ in range(REPEATS)]
    median = {name: statistics.median(one[name] for one in rounds) for name in STATEMENTS}
    yield Figure("`import ntk_explorer` over `import jax`", median["library"] - median["jax"], 1.5)
    yield Figure("every public name over `import jax`", median["names"] - median["jax"], 1.5)
