"""Kernels in the limit of infinite width: each module beside this one registers some.

They belong to a configuration and not to drawn parameters, so they have a registry of their own. The
modules import jax and neural-tangents only inside the functions that compute.
"""

from __future__ import annotations

from ntk_explorer.registry import Registry

LIMITS = Registry("infinite-width kernel", __name__)

__all__ = ["LIMITS"]
