"""What the worker process does before its first request, so that nobody waits for it later."""

from __future__ import annotations

import os
from importlib.metadata import version

from ntk_explorer.datasets import load
from ntk_explorer.sweeps.assembly import PACKAGES
from ntk_explorer.sweeps.cells import compute_cell
from ntk_explorer.sweeps.plan import plan_sweep


def warm_up() -> dict:
    """Compute the first cell of the default sweep, for its compiled programs, and measure the machine.

    Returns:
        ``versions`` by package, ``devices`` [str], ``memory`` (bytes that arrays may take) and ``cores``.
    """
    import jax  # not above: the server process reads the names of this package without jax

    from ntk_explorer.reading.machine import available_bytes, matmul_rate

    plan = plan_sweep()
    compute_cell(plan, load(plan.data), *plan.cells[0])
    matmul_rate(plan.dtype)
    return {
        "versions": {name: version(name) for name in PACKAGES},
        "devices": [str(device.device_kind) for device in jax.devices()],
        "memory": available_bytes(),
        "cores": os.cpu_count(),
    }
