"""What a tangent kernel will cost, and which road each parameter takes: from shapes alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ntk_explorer.reading.contract import factored_is_cheaper, multiplications
from ntk_explorer.reading.taps import Reading, read_network


class Road(NamedTuple):
    """How one parameter enters the kernel: ``factored`` (s positions, p fan-in, o fan-out) or ``materialised``."""

    parameter: str
    shape: tuple[int, ...]
    road: str
    positions: int
    fan_in: int
    fan_out: int

    def contraction_flops(self, n: int, m: int, k: int, *, paired: bool) -> float:
        """Operations to turn what was read into this parameter's share of the kernel."""
        sited = self.positions, self.fan_in, self.fan_out
        shape = sited if self.positions else (0, math.prod(self.shape), 1)
        return 2.0 * getattr(multiplications(shape, k, n, m, paired=paired), self.road)

    def numbers(self, k: int) -> int:
        """Numbers held per example."""
        if self.road == "factored":
            return self.positions * (self.fan_in + k * self.fan_out)
        return k * math.prod(self.shape) + self.positions * (self.fan_in + k * self.fan_out)


class Cost(NamedTuple):
    """Peak bytes and floating-point operations of one tangent kernel."""

    bytes: int
    flops: float


def roads(reading: Reading, n: int, m: int, k: int, *, paired: bool) -> list[Road]:
    """The road of every parameter that the outputs depend on."""
    found = []
    for index, site in reading.sites.items():
        eqn, leaf = reading.program.jaxpr.eqns[index], site.value.leaf
        shape, outputs = reading.shapes[leaf], eqn.outvars[0].aval.size
        fan_out = _fan_out(eqn, site)
        s, p = outputs // fan_out, math.prod(shape) // fan_out
        cheap = factored_is_cheaper((s, p, fan_out), k, n, m, paired=paired)
        found.append(Road(reading.names[leaf], shape, "factored" if cheap else "materialised", s, p, fan_out))
    found += [Road(reading.names[leaf], reading.shapes[leaf], "materialised", 0, 0, 0) for leaf in reading.general]
    return found


def _fan_out(eqn, site) -> int:
    if eqn.primitive.name == "conv_general_dilated":
        return eqn.invars[1].aval.shape[eqn.params["dimension_numbers"].rhs_spec[0]]
    parameter = 1 - site.data_operand
    contracted = eqn.params["dimension_numbers"][0][parameter]
    shape = eqn.invars[parameter].aval.shape
    return math.prod(size for axis, size in enumerate(shape) if axis not in contracted)


def tangent_cost(
    f: Callable[..., Any],
    params: Any,
    x1: Any,
    x2: Any = None,
    *,
    directions: Callable[[int], Any],
    paired: bool = False,
    batch_size: int | None = None,
) -> Cost:
    """Bytes and operations of ``tangent_kernel`` with the same arguments; nothing is computed.

    Bytes are the result, twice for the running sum, what is held of two tiles of examples, and the working
    memory of reading one tile; ``x1`` and ``x2`` may be ``jax.ShapeDtypeStruct``.
    """
    reading = read_network(f, params, x1)
    k = jax.eval_shape(lambda: jnp.asarray(directions(reading.outputs))).shape[0]
    n, symmetric = x1.shape[0], x2 is None
    m = n if symmetric else x2.shape[0]
    tile = min(batch_size or max(n, m), max(n, m))
    all_roads = roads(reading, tile, tile, k, paired=paired)
    pairs = 1 if paired else k * k
    held = sum(road.numbers(k) for road in all_roads)
    tiles_held = 1 if symmetric and tile >= n else 2
    forward, largest, flops = _forward(reading.program.jaxpr)
    working = forward + 2 * k * largest
    contraction = 2 * min(n, tile) * min(m, tile) * pairs
    columns_read = math.ceil(n / tile) * m if not symmetric or tile < n else 0
    numbers = n * m * pairs + tile * (tiles_held * held + working) + contraction
    size = reading.program.jaxpr.outvars[0].aval.dtype.itemsize
    read_flops = (n + columns_read) * flops * (1 + k)
    contract_flops = sum(road.contraction_flops(n, m, k, paired=paired) for road in all_roads)
    return Cost(int(numbers * size), read_flops + contract_flops * (0.5 if symmetric and tile < n else 1.0))


def _forward(jaxpr) -> tuple[int, int, float]:
    """Numbers made by one forward pass, the largest array among them, and its multiply-adds times two."""
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
    return sum(sizes), max(sizes, default=0), flops
