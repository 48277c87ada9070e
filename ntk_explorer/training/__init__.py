"""Training of any network ``f(params, x)``: losses, optimisers, schedules, and checkpoints in the store.

Each module beside this one may register optimisers and schedules. Those that are read for menus and plans import
jax and optax only inside the functions that compute.
"""

from __future__ import annotations

from ntk_explorer.registry import Registry

OPTIMIZERS = Registry("optimizer", __name__)
SCHEDULES = Registry("schedule", __name__)

__all__ = ["OPTIMIZERS", "SCHEDULES"]
