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
from ntk_explorer.reading.taps import Factors, Gradients, read_network, tap


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
    """Rows held, columns streamed; with x2 = x1 each pair of tiles is contracted once."""
    rows = [x1[i : i + size] for i in range(0, len(x1), size)]
    columns = rows if x2 is None else [x2[i : i + size] for i in range(0, len(x2), size)]
    grid = {}
    for i, row in enumerate(rows):
        held = factors(row)
        for j in range(i if x2 is None else 0, len(columns)):
            itself = x2 is None and i == j
            grid[i, j] = contract(held, held if itself else factors(columns[j]), symmetric=itself)
    return _assembled(grid, len(rows), len(columns))


def _assembled(grid: dict[tuple[int, int], jax.Array], rows: int, columns: int) -> jax.Array:
    """Blocks side by side; one that is not in the grid is its mirror image with both pairs of axes changed."""
    if rows == columns == 1:
        return grid[0, 0]

    def block(i, j):
        if (i, j) in grid:
            return grid[i, j]
        return grid[j, i].T if grid[j, i].ndim == 2 else grid[j, i].transpose(1, 0, 3, 2)

    return jnp.concatenate([jnp.concatenate([block(i, j) for j in range(columns)], axis=1) for i in range(rows)])


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
        (_, s, p), o = item.inputs[0].shape, item.sensitivities.shape[3]
        fan_in = p * len(item.inputs)
        return item if factored_is_cheaper((s, fan_in, o), k, size, size, paired=paired) else materialise(item)

    nothing = {-1: Gradients(jnp.zeros((len(x), k, 0), cotangents.dtype))}
    return {leaf: cheaper(item) for leaf, item in found.items()} or nothing


# Below this many multiplications, what symmetry saves is less than what compiling more products costs.
_SPLIT_ABOVE = 10**9
_SPLITS = 4


@partial(jax.jit, static_argnames=("paired", "symmetric"))
def _contract(left, right, *, paired, symmetric):
    """The shares of all parameters, added up: [n m k k], or [n m] when ``paired``.

    A large symmetric kernel is cut into blocks, and those below the diagonal are not computed: 10 products
    instead of 16.
    """
    n = len(jax.tree.leaves(left)[0])
    splits = _SPLITS if symmetric and n >= _SPLITS and _multiplications(left, paired=paired) > _SPLIT_ABOVE else 1
    cuts = [slice(n * i // splits, n * (i + 1) // splits) for i in range(splits)]

    def block(rows, columns):
        one, other = jax.tree.map(lambda a: a[rows], left), jax.tree.map(lambda a: a[columns], right)
        total = sum(share(one[leaf], other[leaf], paired=paired) for leaf in one)
        return total if paired else total.transpose(0, 2, 1, 3)

    if not symmetric:
        return block(slice(None), slice(None))
    grid = {(i, j): block(cuts[i], cuts[j]) for i in range(splits) for j in range(i, splits)}
    return _assembled(grid, splits, splits)


def _multiplications(factors, *, paired):
    """Roughly those of a kernel of these examples with themselves."""
    count = 0
    for item in factors.values():
        if isinstance(item, Factors):
            n, k, s, o = item.sensitivities.shape
            count += n * n * s * s * (len(item.inputs) * item.inputs[0].shape[-1] + (k if paired else k * k) * o)
        else:
            n, k, q = item.values.shape
            count += n * n * (k if paired else k * k) * q
    return count
