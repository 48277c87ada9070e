"""What a tangent kernel will cost, from shapes alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ntk_explorer.reading.chunks import chunk_size, forward_pass, working_numbers
from ntk_explorer.reading.contract import Factors, Held, share, splits
from ntk_explorer.reading.machine import lanes_for
from ntk_explorer.reading.roads import materialised_leaves, roads
from ntk_explorer.reading.tangent import read_tile
from ntk_explorer.reading.taps import Reading, read_network


class Cost(NamedTuple):
    """Peak bytes and floating-point operations of one tangent kernel."""

    bytes: int
    flops: float


def tangent_cost(
    f: Callable[..., Any],
    params: Any,
    x1: Any,
    x2: Any = None,
    *,
    directions: Callable[[int], Any],
    paired: bool = False,
    batch_size: int | None = None,
    in_memory: bool = True,
) -> Cost:
    """Bytes and operations of ``tiled_tangent_kernel`` with the same arguments; nothing is computed.

    Bytes are the result (twice where it is put together from tiles), what is held of two tiles of examples, and
    the working memory of reading or of contracting, whichever is more. Operations count symmetric halves once.
    ``x1`` and ``x2`` may be ``jax.ShapeDtypeStruct``; with ``in_memory=False`` tiles are handed on one by one.
    """
    reading = read_network(f, params, x1)
    k = jax.eval_shape(lambda: jnp.asarray(directions(reading.outputs))).shape[0]
    n, symmetric = x1.shape[0], x2 is None
    m = n if symmetric else x2.shape[0]
    tile = min(batch_size or max(n, m), max(n, m))
    rows, columns = (_held(f, params, x1, min(size, tile), directions, paired, tile) for size in (n, m))
    taken = roads(reading, tile, tile, k, paired=paired)
    formed = materialised_leaves(taken)
    right = None if symmetric and tile >= n else columns
    result = n * m * (1 if paired else k * k) * reading.program.out_avals[0].dtype.itemsize
    tiles = 2 if tile < max(n, m) else 1
    size = (
        (result * tiles if in_memory else 0)
        + _bytes(rows)
        + (_bytes(right) if right else 0)
        + max(
            lanes_for(x1) * _reading_bytes(reading, min(n, tile), k, formed),
            _contracting_bytes(rows, right, paired=paired),
        )
    )
    forming = sum(road.forming_flops(1, k) for road in taken.values())
    per_example = forward_pass(reading.program.jaxpr).flops * (1 + k) + forming
    contracting = sum(road.contraction_flops(n, m, k, paired=paired) for road in taken.values()) * (
        0.5 if symmetric else 1.0
    )
    return Cost(int(size), (n + columns_read(n, m, tile, symmetric=symmetric)) * per_example + contracting)


def _held(f, params, x, count: int, directions, paired: bool, tile: int) -> Held:
    """Shapes of what is held of ``count`` examples."""
    examples = jax.ShapeDtypeStruct((count, *x.shape[1:]), jnp.result_type(x))
    return jax.eval_shape(
        lambda params, x: read_tile(f, params, x, directions=directions, paired=paired, size=tile), params, examples
    )


def _bytes(tree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _reading_bytes(reading: Reading, n: int, k: int, formed: frozenset[int]) -> int:
    itemsize = reading.program.out_avals[0].dtype.itemsize
    return chunk_size(reading, n, k, formed) * working_numbers(reading, k, formed) * itemsize


def _contracting_bytes(left: Held, right: Held | None, *, paired: bool) -> int:
    """The shares of all leaves in one block, side by side, and all blocks before they are put together."""
    cuts, other = splits(left, right, paired=paired), right or left
    total = sum(_share_bytes(left[leaf], other[leaf], paired=paired) for leaf in left)
    if cuts == 1:
        return total
    block = cuts if right else cuts * cuts
    result = jax.eval_shape(lambda a, b: share(a, b, paired=paired), *(next(iter(h.values())) for h in (left, other)))
    largest = max(_bytes(item) for item in left.values()) * (1 if right else 2)
    return total // block + _bytes(result) + largest


def _share_bytes(left, right, *, paired: bool) -> int:
    """One leaf's share, and what it is made of where it is a product of two Gram matrices."""
    result = _bytes(jax.eval_shape(lambda a, b: share(a, b, paired=paired), left, right))
    if not isinstance(left, Factors):
        return result
    inputs, outputs = left.inputs[0], right.inputs[0]
    pairs = inputs.shape[0] * outputs.shape[0] * (inputs.shape[1] * outputs.shape[1]) * inputs.dtype.itemsize
    positions = inputs.shape[1] * outputs.shape[1]
    return pairs + result * (1 + positions if positions > 1 else 1)


def columns_read(n: int, m: int, tile: int, *, symmetric: bool) -> int:
    """Examples read as columns: every panel of rows meets all columns, or those to the right of its own."""
    if not symmetric:
        return math.ceil(n / tile) * m
    return sum(max(0, n - start - tile) for start in range(0, n, tile))
