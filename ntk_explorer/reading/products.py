"""Products of a tangent kernel with vectors; the kernel itself is never formed.

Along directions D [k, c] in output space the kernel of n examples is K = Σ_k (D_k J)(D_k J)ᵀ, or, with all pairs
of directions kept, the [n k, n k] matrix (D J)(D J)ᵀ with examples outer and directions inner. A product goes
down to the shape of the parameters, summing over all examples, and back up:

    Transforms   by a vector-Jacobian and a Jacobian-vector product of the network, a batch at a time
    Factored     by what was read of the network once: M = Σ_n v_n A_nᵀ G_n for each parameter, then A_n M · G_n
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ntk_explorer.reading import tiles
from ntk_explorer.reading.chunks import in_chunks
from ntk_explorer.reading.contract import Factors, nothing
from ntk_explorer.reading.tangent import tiled_tangent_kernel
from ntk_explorer.reading.taps import read_network, tap


@dataclass(frozen=True)
class Transforms:
    """``(params, batches), v [N, r] -> K v`` by JAX's own transformations of the network.

    Holds nothing but the parameters and the examples [batches, b, ...]; the network is evaluated twice per
    product. ``columns`` are the columns of v that are taken at a time.
    """

    f: Callable[..., Any]
    directions: Callable[[int], Any]
    paired: bool
    precision: str
    columns: int

    def __call__(self, held, v: jax.Array) -> jax.Array:
        """K v."""
        if v.shape[1] > self.columns:
            return _in_passes(self, held, v)
        params, batches = held
        with jax.default_matmul_precision(self.precision):
            directions = self._directions(params, batches)
            cotangents = _spread(v, directions, paired=self.paired)
            gradient = self._pull(params, batches, _cut(cotangents, batches.shape[:2]))
            tangents = jax.lax.map(lambda x: self._push(params, x, gradient, len(cotangents)), batches)
            out = jnp.moveaxis(tangents, 0, 1).reshape(len(cotangents), -1, cotangents.shape[2])
            return _gather(out[:, : cotangents.shape[1]], directions, paired=self.paired).astype(v.dtype)

    def _directions(self, params, batches):
        out = jax.eval_shape(self.f, params, jax.ShapeDtypeStruct(batches.shape[1:], batches.dtype))
        return jnp.asarray(self.directions(out.shape[1]), out.dtype)

    # One cotangent after the other, below: convolutions whose weights differ by column are slow beyond use.

    def _pull(self, params, batches, cotangents):
        """Gradients [q, ...] of the parameters, summed over all examples, for q cotangents."""

        def add(total, item):
            x, cotangent = item
            _, pullback = jax.vjp(lambda p: self.f(p, x), params)
            return jax.tree.map(jnp.add, total, jax.lax.map(lambda u: pullback(u)[0], cotangent)), None

        zeros = jax.tree.map(lambda p: jnp.zeros((cotangents.shape[1], *p.shape), p.dtype), params)
        return jax.lax.scan(add, zeros, (batches, cotangents))[0]

    def _push(self, params, x, tangents, count):
        """Output tangents [q, b, c]; their number is told, since a network may have no parameters."""
        _, along = jax.linearize(lambda p: self.f(p, x), params)
        return jax.lax.map(lambda i: along(jax.tree.map(lambda t: t[i], tangents)), jnp.arange(count))


@dataclass(frozen=True)
class Factored:
    """``{leaf: Factors | Gradients}, v [N, r] -> K v``; ``columns`` of v are taken at a time."""

    paired: bool
    precision: str
    columns: int

    def __call__(self, held, v: jax.Array) -> jax.Array:
        """K v."""
        if v.shape[1] > self.columns:
            return _in_passes(self, held, v)
        with jax.default_matmul_precision(self.precision):
            if not self.paired:
                k = _cotangents(held)
                blocks = v.reshape(-1, k, v.shape[1])
                return jnp.asarray(sum(_down_and_up(item, blocks) for item in held.values())).reshape(v.shape)

            def along(index, total):
                one = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, index, 1, axis=1), _by_cotangent(held))
                single = {leaf: _with(held[leaf], part) for leaf, part in one.items()}
                return total + jnp.asarray(sum(_down_and_up(item, v[:, None]) for item in single.values()))[:, 0]

            return jax.lax.fori_loop(0, _cotangents(held), along, jnp.zeros_like(v))


def _by_cotangent(held):
    """What has an axis [n k ...] of cotangents, by leaf."""
    return {leaf: item.sensitivities if isinstance(item, Factors) else item.values for leaf, item in held.items()}


def _cotangents(held) -> int:
    return next(iter(_by_cotangent(held).values())).shape[1]


def _with(item, part):
    return item._replace(sensitivities=part) if isinstance(item, Factors) else item._replace(values=part)


def _down_and_up(item, v):
    """One parameter's share of K v for v [n k r]: the sum of gradients along v, and its products with each."""
    if not isinstance(item, Factors):
        return jnp.einsum("nkq,qr->nkr", item.values, jnp.einsum("nkq,nkr->qr", item.values, v))
    weighted = jnp.einsum("nkso,nkr->nsor", item.sensitivities, v)
    back = sum(
        jnp.einsum("nsp,por->nsor", inputs, jnp.einsum("nsp,nsor->por", inputs, weighted)) for inputs in item.inputs
    )
    return jnp.einsum("nkso,nsor->nkr", item.sensitivities, back)


def _in_passes(product, held, v):
    """A product with more columns than are taken at a time."""
    passes = -(-v.shape[1] // product.columns)
    size = -(-v.shape[1] // passes)
    filled = jnp.pad(v, ((0, 0), (0, passes * size - v.shape[1])))
    parts = jnp.moveaxis(filled.reshape(len(v), passes, size), 1, 0)
    out = jax.lax.map(partial(replace(product, columns=size), held), parts)
    return jnp.moveaxis(out, 0, 1).reshape(len(v), -1)[:, : v.shape[1]]


def in_batches(x: jax.Array, size: int) -> jax.Array:
    """Examples [n, ...] as [batches, size, ...], the last filled up with copies of the last example.

    Copies, because a network may have no finite derivative at zeros; their cotangents are zero.
    """
    missing = -len(x) % size
    if missing:
        x = jnp.concatenate([x, jnp.repeat(x[-1:], missing, axis=0)])
    return x.reshape(-1, size, *x.shape[1:])


def _spread(v, directions, *, paired):
    """Cotangents [q, n, c]: one per column of v, and per direction when these are paired."""
    if paired:
        return jnp.einsum("nr,kc->rknc", v, directions).reshape(-1, len(v), directions.shape[1])
    return jnp.einsum("nkr,kc->rnc", v.reshape(-1, len(directions), v.shape[1]), directions)


def _gather(tangents, directions, *, paired):
    """From output tangents [q, n, c] to the product [N, r]: the transpose of :func:`_spread`."""
    if paired:
        split = tangents.reshape(-1, len(directions), *tangents.shape[1:])
        return jnp.einsum("rknc,kc->nr", split, directions)
    return jnp.einsum("rnc,kc->nkr", tangents, directions).reshape(-1, len(tangents))


def _cut(cotangents, shape):
    """[q, n, c] -> [batches, q, b, c], with zeros for the examples that fill up the last batch."""
    batches, size = shape
    q, n, c = cotangents.shape
    filled = jnp.pad(cotangents, ((0, 0), (0, batches * size - n), (0, 0)))
    return jnp.moveaxis(filled.reshape(q, batches, size, c), 1, 0)


@partial(jax.jit, static_argnames=("f", "directions", "batch", "precision"))
def read_factors(f, params, x, *, directions, batch: int, precision: str):
    """Factors and gradients of all examples, read a batch at a time: what :class:`Factored` holds."""
    reading = read_network(f, params, x)
    cotangents = jnp.asarray(directions(reading.outputs))
    with jax.default_matmul_precision(precision):
        found = in_chunks(lambda x: tap(reading, jax.tree.leaves(params), x, cotangents), x, batch)
    return found or nothing(len(x), len(cotangents), reading.program.out_avals[0].dtype)


@partial(jax.jit, static_argnames=("f", "directions", "paired", "batch", "precision"))
def diagonal(f, params, x, *, directions, paired: bool, batch: int, precision: str):
    """The diagonal [N] of the kernel, exactly: squared lengths of gradients, a batch at a time."""
    # Tiles of one example, since that is what each parameter's road is chosen for.
    kernel = tiled_tangent_kernel(f, params, x, directions=directions, paired=paired, batch_size=1, precision=precision)
    values = in_chunks(lambda x: tiles.diagonal(kernel, kernel.read(x)), x, batch)
    return values if paired else jnp.diagonal(values, axis1=1, axis2=2).reshape(-1)
