"""Kernels of a network: each module beside this one registers some.

These modules import jax only inside the functions that compute, so that menus, links and the command
line can read the cards without it.
"""

from __future__ import annotations

from ntk_explorer.registry import Registry

KERNELS = Registry("kernel", __name__)

__all__ = ["KERNELS"]
