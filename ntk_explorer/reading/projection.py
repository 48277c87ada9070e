"""Tangent kernels from randomly projected gradients (Johnson & Lindenstrauss, 1984).

One matrix S [P, K] of independent entries of variance 1/K serves all examples and all outputs, so that
E ⟨Sᵀg, Sᵀg'⟩ = ⟨g, g'⟩. S is never stored: each of its rows has a key of its own, so that rows are drawn a few at a
time wherever they are needed, however many that are, and come out the same each time.
"""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ntk_explorer.errors import InvalidInput, UnknownName
from ntk_explorer.reading.checks import checked_call
from ntk_explorer.reading.chunks import forward_pass, in_chunks, side_by_side
from ntk_explorer.reading.cost import Cost, columns_read
from ntk_explorer.reading.machine import working_bytes
from ntk_explorer.reading.tangent import share_groups
from ntk_explorer.reading.taps import Reading, parameter_names, read_network, tap
from ntk_explorer.reading.tiles import TiledKernel

# Numbers of S that exist at a time.
DRAWN = 2**21
# Chunks of examples are larger than for other readings: all rows of S are drawn again for each.
CHUNKS = 4


class Projection:
    """How gradients are projected: onto ``size`` directions drawn from ``key``; equal where these are."""

    def __init__(self, size: int, key: jax.Array, kind: str = "rademacher"):
        """Check the three.

        Raises:
            InvalidInput: ``size`` below one, or a key that is none.
            UnknownName: another ``kind``.
        """
        if isinstance(size, bool) or not hasattr(size, "__index__") or size < 1:
            raise InvalidInput(f"The projection dimension is {size!r}", "Give a whole number of at least 1, e.g. 512.")
        if kind not in ENTRIES:
            raise UnknownName("kind of projection", kind, ENTRIES)
        is_key = isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim == 0
        if not is_key:
            raise InvalidInput(f"The projection's key is {key!r}", "Give jax.random.key(seed).")
        self.size, self.key, self.kind = operator.index(size), key, kind

    @property
    def _identity(self) -> tuple:
        if isinstance(self.key, Tracer):
            return self.size, self.kind, id(self.key)
        return self.size, self.kind, str(self.key.dtype), tuple(np.ravel(jax.random.key_data(self.key)).tolist())

    def __eq__(self, other):
        """Whether both draw the same numbers."""
        return isinstance(other, Projection) and self._identity == other._identity

    def __hash__(self):
        """Equal projections have equal hashes."""
        return hash(self._identity)

    def __repr__(self):
        """All that decides what is drawn."""
        key = "traced" if isinstance(self.key, Tracer) else list(self._identity[-1])
        return f"{self.size}, key={key}, kind={self.kind!r}"


def tiled_projected_kernel(
    f: Callable[..., Any],
    params: Any,
    x1: Any,
    x2: Any = None,
    *,
    directions: Callable[[int], Any],
    projection: Projection,
    paired: bool = False,
    batch_size: int | None = None,
    precision: str = "highest",
    by: str | None = None,
) -> TiledKernel:
    """``tiled_tangent_kernel`` of the same arguments, with every gradient g replaced by its projection Sᵀg.

    Shares ½(⟨S_lᵀg_l, Sᵀg'⟩ + ⟨Sᵀg, S_lᵀg'_l⟩) add up to the projected kernel, and each is unbiased for its own part.

    Raises:
        InvalidInput: as ``tiled_tangent_kernel``.
    """
    x1, x2 = checked_call(f, x1, x2, batch_size, by, precision)
    numbers = sum(math.prod(jnp.shape(leaf)) for leaf in jax.tree.leaves(params))
    if projection.size > numbers:
        warnings.warn(
            f"A projection onto {projection.size} directions is larger than the {numbers} parameters themselves: "
            "the exact kernel costs less.",
            stacklevel=2,
        )
    groups = share_groups(parameter_names(params), by)

    def read(x):
        with jax.default_matmul_precision(precision):
            return read_projected(
                f,
                params,
                x,
                key=projection.key,
                directions=directions,
                size=projection.size,
                kind=projection.kind,
                groups=groups,
            )

    def contract(left, right):
        with jax.default_matmul_precision(precision):
            shares = _shares(left, left if right is None else right, paired=paired)
        return shares if by else shares[""]

    return TiledKernel(read, contract, x1, x2)


@partial(jax.jit, static_argnames=("f", "directions", "size", "kind", "groups"))
def read_projected(f, params, x, *, key, directions, size, kind, groups):
    """Sᵀ ∂(u·f)/∂θ for each example and each row u of ``directions(c)``: [n, k, K], by the name of its share."""
    reading, leaves = read_network(f, params, x), jax.tree.leaves(params)
    cotangents = jnp.asarray(directions(reading.outputs))
    sited = frozenset(site.value.leaf for site in reading.sites.values())
    dtype = reading.program.out_avals[0].dtype

    def read(x):
        found = tap(reading, leaves, x, cotangents, materialised=sited, at_a_time=side_by_side)
        projections = {leaf: _project(found[leaf], jax.random.fold_in(key, leaf), size, kind) for leaf in found}
        nothing = jnp.zeros((len(x), len(cotangents), size), dtype)
        return {
            name: sum((projections[leaf] for leaf in members if leaf in projections), nothing) / math.sqrt(size)
            for name, members in groups
        }

    return in_chunks(read, x, _chunk(reading, len(x), len(cotangents)))


def _chunk(reading: Reading, n: int, k: int) -> int:
    """Examples whose gradients are formed at a time."""
    itemsize = reading.program.out_avals[0].dtype.itemsize
    return max(1, min(n, CHUNKS * working_bytes().chunk // (itemsize * _numbers(reading, k))))


def _numbers(reading: Reading, k: int) -> int:
    """Numbers per example that exist while it is read: its gradients and the forward pass."""
    parameters = sum(math.prod(shape) for shape in reading.shapes)
    return k * parameters + (1 + k) * forward_pass(reading.program.jaxpr).numbers


def _project(gradients, key, size, kind):
    """Gradients [n k q] of one parameter times its q rows of S (of variance 1), a few rows at a time."""
    values = gradients.values
    n, k, q = values.shape
    rows = min(q, max(1, DRAWN // size))
    blocks, rest = divmod(q, rows)

    def product(first, count):
        part = jax.lax.dynamic_slice_in_dim(values, first, count, axis=2)
        return jnp.einsum("nkr,rq->nkq", part, draw_rows(key, first + jnp.arange(count), size, kind, values.dtype))

    if blocks == 1 and not rest:
        return product(0, q)
    zeros = jnp.zeros((n, k, size), values.dtype)
    total = jax.lax.fori_loop(0, blocks, lambda block, total: total + product(block * rows, rows), zeros)
    return total + product(blocks * rows, rest) if rest else total


def draw_rows(key, rows, size, kind, dtype):
    """Rows of S times √K [r, size], each from a key of its own."""
    return jax.vmap(lambda row: ENTRIES[kind](jax.random.fold_in(key, row), size, dtype))(rows)


def _signs(key, size, dtype):
    """Independent ±1; each random word gives 32 of them."""
    words = jax.random.bits(key, (-(-size // 32),), "uint32")
    bits = (words[:, None] >> jnp.arange(32, dtype="uint32")[None, :]) & 1
    return 2 * bits.reshape(-1)[:size].astype(dtype) - 1


def _normal(key, size, dtype):
    return jax.random.normal(key, (size,), dtype)


ENTRIES = {"rademacher": _signs, "gaussian": _normal}


@partial(jax.jit, static_argnames="paired")
def _shares(left, right, *, paired):
    def product(a, b):
        return jnp.einsum("nkq,mkq->nm" if paired else "nkq,mlq->nmkl", a, b)

    if len(left) == 1:
        return {name: product(part, right[name]) for name, part in left.items()}
    rows, columns = (reduce(operator.add, side.values()) for side in (left, right))
    return {name: (product(part, columns) + product(rows, right[name])) / 2 for name, part in left.items()}


def projected_cost(
    f: Callable[..., Any],
    params: Any,
    x1: Any,
    x2: Any = None,
    *,
    directions: Callable[[int], Any],
    projection: Projection,
    paired: bool = False,
    batch_size: int | None = None,
    in_memory: bool = True,
) -> Cost:
    """Peak bytes and operations of :func:`tiled_projected_kernel`, from shapes alone; a number drawn counts as 4."""
    reading = read_network(f, params, x1)
    k = jax.eval_shape(lambda: jnp.asarray(directions(reading.outputs))).shape[0]
    n, m = x1.shape[0], (x1 if x2 is None else x2).shape[0]
    tile, size = min(batch_size or max(n, m), max(n, m)), projection.size
    chunk, pairs = _chunk(reading, min(n, tile), k), (1 if paired else k * k)
    one_tile = x2 is None and tile >= n
    held = (min(n, tile) + (0 if one_tile else min(m, tile))) * k * size
    result = n * m * pairs * (2 if tile < max(n, m) else 1) if in_memory else 0
    working = chunk * _numbers(reading, k) + 2 * min(DRAWN, size * max(map(math.prod, reading.shapes), default=1))
    examples = n + columns_read(n, m, tile, symmetric=x2 is None)
    parameters = sum(math.prod(shape) for shape in reading.shapes)
    drawing = 4.0 * parameters * size * math.ceil(examples / chunk)
    reading_one = forward_pass(reading.program.jaxpr).flops * (1 + 2 * k) + 2.0 * k * parameters * size
    itemsize = reading.program.out_avals[0].dtype.itemsize
    total = (result + held + max(working, 0 if one_tile else tile * tile * pairs)) * itemsize
    return Cost(int(total), examples * reading_one + drawing + 2.0 * n * m * pairs * size)
