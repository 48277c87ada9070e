"""The tangent kernel along chosen cotangents, by tiles."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from ntk_explorer.errors import InvalidInput
from ntk_explorer.reading.contract import factored_is_cheaper, materialise, share
from ntk_explorer.reading.taps import Factors, read_network, tap


def tangent_kernel(
    f: Callable[..., Any],
    params: Any,
    x1: Any,
    x2: Any = None,
    *,
    directions: Callable[[int], Any],
    paired: bool = False,
    batch_size: int | None = None,
    precision: str = "highest",
) -> jax.Array:
    """Inner products of gradients of ``u·f`` for the rows u of ``directions(c)`` [k, c].

    Args:
        f: any ``f(params, x[n, ...]) -> [n, c]`` that treats examples independently; hashable.
        params: its parameters, a pytree of real floating-point arrays.
        x1: examples [n, ...].
        x2: examples [m, ...]; ``x1`` again when None.
        directions: number of outputs c -> directions in output space [k, c]; hashable.
        paired: sum over equal directions only, instead of keeping all pairs.
        batch_size: examples read at a time (rows and columns of a tile); all when None.
        precision: precision of all matrix products, a name that ``jax.default_matmul_precision`` takes.

    Returns:
        [n, m, k, k], or [n, m] when ``paired``.

    Raises:
        InvalidInput: shapes, dtypes or values that no kernel can be computed from.
    """
    x1 = _checked(x1, "x1")
    x2 = None if x2 is None else _checked(x2, "x2")
    if x2 is not None and x2.shape[1:] != x1.shape[1:]:
        raise InvalidInput(f"Examples of x1 have shape {x1.shape[1:]}, of x2 {x2.shape[1:]}", "Give both the same.")
    if batch_size is not None and batch_size < 1:
        raise InvalidInput(f"batch_size is {batch_size}", "Give a positive number, or None for all at once.")
    try:
        hash(f)
    except TypeError:
        raise InvalidInput(
            f"The function {f!r} cannot be hashed, so what is compiled for it could not be found again",
            "Pass a function, or a bound method of a frozen object; keep arrays in `params`.",
        ) from None
    size = batch_size or max(len(x1), 0 if x2 is None else len(x2))
    with jax.default_matmul_precision(precision):
        factors = partial(_factors, f, params, directions=directions, paired=paired, size=size)
        return _tiles(x1, x2, size, factors, partial(_contract, paired=paired))


def _checked(x, name):
    x = jnp.asarray(x)
    if x.ndim < 2 or x.shape[0] == 0:
        raise InvalidInput(f"{name} has shape {x.shape}", "Give at least one example along the first axis: x[n, ...].")
    if not isinstance(x, Tracer):
        # A concrete x is looked at even while a caller's function around it is being traced.
        with jax.ensure_compile_time_eval():
            finite = jnp.isfinite(x.reshape(len(x), -1)).all(axis=1)
            if not bool(finite.all()):
                raise InvalidInput(
                    f"{name} holds NaN or infinite values, first in example {int(jnp.argmin(finite))}",
                    "Remove or replace them.",
                )
    return x


def _tiles(x1, x2, size, factors, contract):
    """Rows held, columns streamed; with x2 = x1 each pair of blocks is contracted once and mirrored."""
    rows = [x1[i : i + size] for i in range(0, len(x1), size)]
    columns = None if x2 is None else [x2[i : i + size] for i in range(0, len(x2), size)]
    if len(rows) == 1 and columns is None:
        held = factors(rows[0])
        return contract(held, held)
    grid: dict[tuple[int, int], jax.Array] = {}
    for i, row in enumerate(rows):
        held = factors(row)
        for j in range(i, len(rows)) if columns is None else range(len(columns)):
            other = rows[j] if columns is None else columns[j]
            grid[i, j] = contract(held, held if columns is None and i == j else factors(other))
            if columns is None and i != j:
                grid[j, i] = _mirror(grid[i, j])
    width = len(rows) if columns is None else len(columns)
    return jnp.concatenate([jnp.concatenate([grid[i, j] for j in range(width)], axis=1) for i in range(len(rows))])


def _mirror(block):
    """The block of (x2, x1) from that of (x1, x2): both pairs of axes change places."""
    return block.T if block.ndim == 2 else block.transpose(1, 0, 3, 2)


@partial(jax.jit, static_argnames=("f", "directions", "paired", "size"))
def _factors(f, params, x, *, directions, paired, size):
    """What each parameter contributes for these examples, in whichever form is cheaper to contract."""
    reading = read_network(f, params, x)
    cotangents = jnp.asarray(directions(reading.outputs))
    found = tap(reading, jax.tree.leaves(params), x, cotangents)
    k = cotangents.shape[0]

    def cheaper(item):
        if not isinstance(item, Factors):
            return item
        (_, s, p), o = item.inputs.shape, item.sensitivities.shape[3]
        return item if factored_is_cheaper((s, p, o), k, size, size, paired=paired) else materialise(item)

    return {leaf: cheaper(item) for leaf, item in found.items()}


@partial(jax.jit, static_argnames="paired")
def _contract(left, right, *, paired):
    return sum(share(left[leaf], right[leaf], paired=paired) for leaf in left)
