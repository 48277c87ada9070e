"""What the worker process does before its first request, so that nobody waits for it later."""

from __future__ import annotations

import os
from importlib.metadata import version


def warm_up() -> dict:
    """Import all that a sweep needs, compile a tiny one and measure the machine.

    Returns:
        ``versions`` by package, ``devices`` [str], ``memory`` (bytes that arrays may take) and ``cores``.
    """
    import jax

    from ntk_explorer.reading.machine import available_bytes, matmul_rate
    from ntk_explorer.sweeps.assembly import PACKAGES
    from ntk_explorer.sweeps.cells import compute_cell
    from ntk_explorer.sweeps.plan import plan_sweep

    plan = plan_sweep({"name": "digits", "n": 10}, widths=[8], seeds=1)
    from ntk_explorer.datasets import load

    compute_cell(plan, load(plan.data), 8, 0)
    matmul_rate(plan.dtype)
    return {
        "versions": {name: version(name) for name in PACKAGES},
        "devices": [str(device.device_kind) for device in jax.devices()],
        "memory": available_bytes(),
        "cores": os.cpu_count(),
    }
