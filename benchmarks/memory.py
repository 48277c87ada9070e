"""Peak memory of one of our kernels, in a process of its own where freed memory goes back to the system at once."""

from __future__ import annotations

import os
import subprocess
import sys

# Blocks of this many bytes or more are then mapped one by one, so that what a first call has freed hides nothing.
ENVIRONMENT = {"MALLOC_MMAP_THRESHOLD_": "65536"}


def peak_bytes(work: str, kernel: str) -> int | None:
    """Bytes that a kernel takes beyond network and examples; None where the system does not say."""
    command = [sys.executable, __file__, work, kernel]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | ENVIRONMENT)
    return None if done.stdout.strip() == "None" else int(done.stdout)


def main(name: str, kernel: str) -> None:
    from peers import ours
    from rounds import cost, seconds
    from works import WORKS, started

    from ntk_explorer.architectures import build

    work = next(work for work in WORKS if work.name == name)
    network = build(work.architecture, **work.options)
    params, x = started(network, work.n)
    function = ours(network, params, kernel)
    seconds(lambda: function(x))  # compiled
    print(cost(lambda: function(x)).bytes)


if __name__ == "__main__":
    main(*sys.argv[1:])
