"""Kernels of activations: inner products of what a network computes on its way, without gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ntk_explorer.reading._jaxpr import bind, evaluate
from ntk_explorer.reading.activations import Which, wanted_activations
from ntk_explorer.reading.checks import checked_call, share_of
from ntk_explorer.reading.chunks import chunk_size, forward_pass, in_chunks, working_numbers
from ntk_explorer.reading.cost import Cost, columns_read
from ntk_explorer.reading.taps import read_network
from ntk_explorer.reading.tiles import TiledKernel


def tiled_features_kernel(
    f: Callable[..., Any],
    params: Any,
    x1: Any,
    x2: Any = None,
    *,
    which: Which,
    batch_size: int | None = None,
    precision: str = "highest",
    by: str | None = None,
) -> TiledKernel:
    """Inner products of activations before they are computed: K(x, x') = Σ_m a_m(x) · a_m(x'), [n, m].

    Args:
        f: any ``f(params, x[n, ...]) -> [n, c]`` that treats examples independently; hashable.
        params: its parameters.
        x1: examples [n, ...].
        x2: examples [m, ...]; ``x1`` again when None.
        which: ``"last"`` hidden features, or ``"all"`` module outputs.
        batch_size: examples in a tile.
        precision: precision of all matrix products.
        by: "layer" or "parameter" for the share of each module, by the parameter that makes it; the last features
            are one share, of the readout that meets them.

    Raises:
        InvalidInput: shapes, dtypes or values that no kernel can be computed from; no parameter meets the data.
    """
    x1, x2 = checked_call(f, x1, x2, batch_size, by, precision)
    wanted_activations(read_network(f, params, x1), which)

    def read(x):
        with jax.default_matmul_precision(precision):
            return read_features(f, params, x, which=which, by=by)

    def contract(left, right):
        shares = _products(left, left if right is None else right, precision=precision)
        return shares if by else shares[""]

    return TiledKernel(read, contract, x1, x2)


@partial(jax.jit, static_argnames=("f", "which", "by"))
def read_features(f, params, x, *, which: Which, by: str | None = None):
    """The wanted activations of each example, side by side [n, d], by the name of the share that they are of."""
    reading = read_network(f, params, x)
    jaxpr, leaves = reading.program.jaxpr, jax.tree.leaves(params)
    groups: dict[str, list] = {}
    for activation in wanted_activations(reading, which):
        groups.setdefault(share_of(reading.names[activation.leaf], by), []).append(activation.variable)

    def one(example):
        inputs = [*leaves, example]
        values = dict(zip(jaxpr.invars, inputs, strict=True))

        def step(_index, eqn, operands, _read):
            outputs = bind(eqn, operands)
            values.update(zip(eqn.outvars, outputs, strict=True))
            return outputs

        evaluate(jaxpr, reading.program.consts, inputs, step)
        return {name: jnp.concatenate([jnp.ravel(values[var]) for var in wanted]) for name, wanted in groups.items()}

    return in_chunks(jax.vmap(one), x, chunk_size(reading, len(x), 0, frozenset()))


@partial(jax.jit, static_argnames="precision")
def _products(left, right, *, precision):
    return {name: jnp.matmul(features, right[name].T, precision=precision) for name, features in left.items()}


def features_cost(
    f: Callable[..., Any],
    params: Any,
    x1: Any,
    x2: Any = None,
    *,
    which: Which,
    batch_size: int | None = None,
    in_memory: bool = True,
) -> Cost:
    """Peak bytes and floating-point operations of :func:`tiled_features_kernel`, from shapes alone."""
    reading = read_network(f, params, x1)
    numbers = sum(activation.variable.aval.size for activation in wanted_activations(reading, which))
    n, m = x1.shape[0], (x1 if x2 is None else x2).shape[0]
    tile = min(batch_size or max(n, m), max(n, m))
    one_tile = x2 is None and tile >= n
    held = min(n, tile) + (0 if one_tile else min(m, tile))
    reading_at_once = chunk_size(reading, min(n, tile), 0, frozenset()) * working_numbers(reading, 0, frozenset())
    result = n * m * (2 if tile < max(n, m) else 1) if in_memory else 0
    contracting = 0 if one_tile else tile * tile
    size = result + held * numbers + max(reading_at_once, contracting)
    examples = n + columns_read(n, m, tile, symmetric=x2 is None)
    flops = examples * forward_pass(reading.program.jaxpr).flops + 2.0 * n * m * numbers
    return Cost(size * reading.program.jaxpr.outvars[0].aval.dtype.itemsize, flops)
