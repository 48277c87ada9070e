"""The tangent kernel along chosen cotangents."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ntk_explorer.reading.checks import checked_call, share_of
from ntk_explorer.reading.chunks import chunk_size, in_chunks, side_by_side
from ntk_explorer.reading.contract import contract, nothing, only
from ntk_explorer.reading.roads import materialised_leaves, roads
from ntk_explorer.reading.taps import parameter_names, read_network, tap
from ntk_explorer.reading.tiles import TiledKernel


def tiled_tangent_kernel(
    f: Callable[..., Any],
    params: Any,
    x1: Any,
    x2: Any = None,
    *,
    directions: Callable[[int], Any],
    paired: bool = False,
    batch_size: int | None = None,
    precision: str = "highest",
    by: str | None = None,
) -> TiledKernel:
    """Inner products of gradients of ``u·f`` for the rows u of ``directions(c)`` [k, c], before they are computed.

    Args:
        f: any ``f(params, x[n, ...]) -> [n, c]`` that treats examples independently; hashable.
        params: its parameters, a pytree of real floating-point arrays.
        x1: examples [n, ...].
        x2: examples [m, ...]; ``x1`` again when None.
        directions: number of outputs c -> directions in output space [k, c]; hashable.
        paired: sum over equal directions only, instead of keeping all pairs.
        batch_size: examples along each side of a tile, for which each parameter's road is chosen; all when None.
        precision: precision of all matrix products, a name that ``jax.default_matmul_precision`` takes.
        by: "layer" or "parameter" for the shares of each, which add up to the kernel.

    Returns:
        A kernel [n, m, k, k], or [n, m] when ``paired``; of dictionaries of them by name when ``by`` is given.

    Raises:
        InvalidInput: shapes, dtypes or values that no kernel can be computed from.
    """
    x1, x2 = checked_call(f, x1, x2, batch_size, by, precision)
    size = batch_size or max(len(x1), 0 if x2 is None else len(x2))
    groups = None if by is None else share_groups(parameter_names(params), by)

    def read(x):
        with jax.default_matmul_precision(precision):
            return read_tile(f, params, x, directions=directions, paired=paired, size=size)

    def between(left, right):
        with jax.default_matmul_precision(precision):
            return _contract(left, right, paired=paired, groups=groups)

    return TiledKernel(read, between, x1, x2)


def share_groups(names: tuple[str, ...], by: str | None) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Leaf indices by the name of the share that they go into."""
    found: dict[str, tuple[int, ...]] = {}
    for leaf, name in enumerate(names):
        group = share_of(name, by)
        found[group] = (*found.get(group, ()), leaf)
    return tuple(found.items())


@partial(jax.jit, static_argnames=("f", "directions", "paired", "size"))
def read_tile(f, params, x, *, directions, paired, size):
    """What each parameter contributes for these examples, in whichever form is cheaper to contract."""
    reading, leaves = read_network(f, params, x), jax.tree.leaves(params)
    cotangents = jnp.asarray(directions(reading.outputs))
    k = len(cotangents)
    materialised = materialised_leaves(roads(reading, size, size, k, paired=paired))

    def read(x):
        return tap(reading, leaves, x, cotangents, materialised=materialised, at_a_time=side_by_side)

    dtype = reading.program.out_avals[0].dtype
    return in_chunks(read, x, chunk_size(reading, len(x), k, materialised)) or nothing(len(x), k, dtype)


@partial(jax.jit, static_argnames=("paired", "groups"))
def _contract(left, right, *, paired, groups):
    """Shares added up, [n m k k] or [n m] when ``paired``: of all parameters, or a dictionary by group."""
    if groups is None:
        return contract(left, right, paired=paired)
    return {
        name: contract(only(left, members), None if right is None else only(right, members), paired=paired)
        for name, members in groups
    }
