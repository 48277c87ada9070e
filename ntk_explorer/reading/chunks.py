"""Reading many examples chunk by chunk: bounds what exists only while a network is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ntk_explorer.reading.machine import working_bytes
from ntk_explorer.reading.taps import Reading


class Pass(NamedTuple):
    """One forward pass of one example: numbers made, the largest array among them, operations."""

    numbers: int
    largest: int
    flops: float


def forward_pass(jaxpr) -> Pass:
    """What a program makes and takes, of products and convolutions alone."""
    sizes = [var.aval.size for eqn in jaxpr.eqns for var in eqn.outvars]
    flops = 0.0
    for eqn in jaxpr.eqns:
        out = eqn.outvars[0].aval.size if eqn.outvars else 0
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            flops += 2.0 * out * math.prod(eqn.invars[0].aval.shape[axis] for axis in contracted)
        elif eqn.primitive.name == "conv_general_dilated":
            kernel, spec = eqn.invars[1].aval, eqn.params["dimension_numbers"].rhs_spec
            flops += 2.0 * out * kernel.size / kernel.shape[spec[0]]
    return Pass(sum(sizes), max(sizes, default=0), flops)


def working_numbers(reading: Reading, k: int, materialised: frozenset[int]) -> int:
    """Numbers per example that exist only while it is read.

    These are the forward pass, and k cotangents on their way back and at the sites of materialised leaves.
    """
    jaxpr = reading.program.jaxpr
    forward = forward_pass(jaxpr)
    sites = [index for index, site in reading.sites.items() if site.value.leaf in materialised]
    return forward.numbers + k * (2 * forward.largest + sum(jaxpr.eqns[index].outvars[0].aval.size for index in sites))


def chunk_size(reading: Reading, n: int, k: int, materialised: frozenset[int]) -> int:
    """Examples of n to read at a time: a divisor of n when one is near, so that none are left over."""
    itemsize = reading.program.out_avals[0].dtype.itemsize
    most = working_bytes().chunk // max(1, itemsize * working_numbers(reading, k, materialised))
    most = max(1, min(n, most))
    return next((size for size in range(most, most // 2, -1) if n % size == 0), math.ceil(n / math.ceil(n / most)))


def side_by_side(size_of_one: int) -> int:
    """Examples of so many bytes each whose gradients are formed at a time: as many as stay close to the processor."""
    return max(1, working_bytes().close // size_of_one)


def in_chunks(read: Callable[[Any], Any], x: Any, chunk: int) -> Any:
    """``read(x)``, an array or a tree of arrays [n, ...], from chunks of examples one after the other."""
    count, rest = divmod(len(x), chunk)
    if count <= 1 and not rest:
        return read(x)
    whole = jax.lax.map(read, x[: count * chunk].reshape(count, chunk, *x.shape[1:]))
    whole = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), whole)
    if not rest:
        return whole
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), whole, read(x[count * chunk :]))
