"""From factors to Gram blocks.

Shapes: inputs A (w of them, [n s p] each), sensitivities G [n k s o], gradients [n k q]. The share of one
parameter in the kernel between cotangents k and l is

    factored      Σ_{s,t} (A_ns · A'_mt) (G_nks · G'_mlt)       about s²(w p + o) operations per pair
    materialised  vec(Σ_s A_ns ⊗ G_nks) · vec(Σ_t A'_mt ⊗ G'_mlt)      w p o operations per pair

and the two are equal. With ``paired`` cotangents only k = l is wanted, summed. Shares of all pairs are laid out
as [n k m l], which is how matrix products leave them.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from ntk_explorer.reading.taps import Factors, Gradients


class Multiplications(NamedTuple):
    """What one parameter's share of the kernel costs on either road."""

    factored: int
    materialised: int


def multiplications(factors_shape: tuple[int, int, int], k: int, n: int, m: int, *, paired: bool) -> Multiplications:
    """Multiplications for a site (s, p, o) between n and m examples; a gradient of p numbers as it is: (0, p, 1)."""
    s, p, o = factors_shape
    pairs = k if paired else k * k
    return Multiplications(
        factored=n * m * s * s * (p + pairs * (o + 1)),
        materialised=(n + m) * k * s * p * o + n * m * pairs * p * o,
    )


def factored_is_cheaper(factors_shape: tuple[int, int, int], k: int, n: int, m: int, *, paired: bool) -> bool:
    """Whether the factored contraction of a site (s, p, o) takes fewer multiplications than the materialised one."""
    cost = multiplications(factors_shape, k, n, m, paired=paired)
    return cost.factored <= cost.materialised


def materialise(factors: Factors) -> Gradients:
    """Form the per-example gradients [n k w·o·p] of one site."""
    values = [jnp.einsum("nsp,nkso->nkop", place, factors.sensitivities) for place in factors.inputs]
    n, k = values[0].shape[:2]
    return Gradients(jnp.stack(values, axis=2).reshape(n, k, -1))


def share(left: Factors | Gradients, right: Factors | Gradients, *, paired: bool) -> jax.Array:
    """One parameter's share of the kernel: [n k m l], or [n m] summed over equal cotangents when ``paired``."""
    if isinstance(left, Factors) and isinstance(right, Factors):
        one_position = left.inputs[0].shape[1] == 1
        return (_share_of_one_position if one_position else _share_of_positions)(left, right, paired=paired)
    return jnp.einsum("nkq,mkq->nm" if paired else "nkq,mlq->nkml", *left, *right)


def _share_of_positions(left: Factors, right: Factors, *, paired: bool) -> jax.Array:
    places = zip(left.inputs, right.inputs, strict=True)
    inputs = sum(jnp.einsum("nsp,mtp->nmst", *pair) for pair in places)
    if paired:
        return jnp.sum(inputs * jnp.einsum("nkso,mkto->nmst", left.sensitivities, right.sensitivities), axis=(2, 3))
    outputs = jnp.einsum("nkso,mlto->nkmlst", left.sensitivities, right.sensitivities)
    return jnp.einsum("nmst,nkmlst->nkml", inputs, outputs)


def _share_of_one_position(left: Factors, right: Factors, *, paired: bool) -> jax.Array:
    """With a single position the share is an entrywise product of two Gram matrices."""
    places = zip(left.inputs, right.inputs, strict=True)
    inputs = sum(a[:, 0] @ b[:, 0].T for a, b in places)
    g, h = left.sensitivities[:, :, 0], right.sensitivities[:, :, 0]
    if paired:
        return inputs * jnp.einsum("nko,mko->nm", g, h)
    return inputs[:, None, :, None] * jnp.einsum("nko,mlo->nkml", g, h)
