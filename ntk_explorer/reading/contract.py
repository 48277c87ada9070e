"""From factors to Gram blocks.

Shapes: inputs A (w window places, [n s p] each), sensitivities G [n k s o], gradients [n k q], with n examples,
k cotangents, s positions, p fan-in per place, o fan-out, q parameters. The share of one parameter in the kernel
between cotangents k and l is

    factored      Σ_{s,t} (A_ns · A'_mt) (G_nks · G'_mlt)       about s²(w p + o) operations per pair
    materialised  vec(Σ_s A_ns ⊗ G_nks) · vec(Σ_t A'_mt ⊗ G'_mlt)      w p o operations per pair

and the two are equal. With ``paired`` cotangents only k = l is wanted, summed. Shares of all pairs are laid out
as [n k m l], which is how matrix products leave them.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp

from ntk_explorer.reading.tiles import assembled


class Factors(NamedTuple):
    """A gradient as a sum over positions of outer products: Σ_s inputs_s ⊗ sensitivities_s.

    A convolution's inputs are kept apart by place in the window: each is a shifted slice of the image. A dense
    layer has one place.
    """

    inputs: tuple[jax.Array, ...]
    sensitivities: jax.Array


class Gradients(NamedTuple):
    """A gradient as it is, flattened over the parameter's entries."""

    values: jax.Array


Held = dict[int, "Factors | Gradients"]

# Below this many multiplications, what symmetry saves is less than what compiling more products costs.
SPLIT_ABOVE = 10**9
SPLITS = 4


class Multiplications(NamedTuple):
    """What one parameter's share of the kernel costs on either road."""

    factored: int
    materialised: int


def multiplications(factors_shape: tuple[int, int, int], k: int, n: int, m: int, *, paired: bool) -> Multiplications:
    """Multiplications for a site (s, w·p, o) between n and m examples; a gradient of q numbers as it is: (0, q, 1)."""
    s, p, o = factors_shape
    pairs = k if paired else k * k
    return Multiplications(
        factored=n * m * s * s * (p + pairs * (o + 1)),
        materialised=(n + m) * k * s * p * o + n * m * pairs * p * o,
    )


def factored_is_cheaper(factors_shape: tuple[int, int, int], k: int, n: int, m: int, *, paired: bool) -> bool:
    """Whether the factored contraction of a site takes fewer multiplications than the materialised one."""
    cost = multiplications(factors_shape, k, n, m, paired=paired)
    return cost.factored <= cost.materialised


def materialise(factors: Factors) -> Gradients:
    """The gradient [k o·w·p] of one site of one example: a single matrix product over the positions."""
    windows = jnp.concatenate(factors.inputs, axis=1)
    values = jnp.einsum("kso,sp->kop", factors.sensitivities, windows)
    return Gradients(values.reshape(len(values), -1))


def share(left: Factors | Gradients, right: Factors | Gradients, *, paired: bool) -> jax.Array:
    """One parameter's share of the kernel: [n k m l], or [n m] summed over equal cotangents when ``paired``."""
    if isinstance(left, Factors) and isinstance(right, Factors):
        one_position = left.inputs[0].shape[1] == 1
        return (_share_of_one_position if one_position else _share_of_positions)(left, right, paired=paired)
    return _share_of_gradients(*left, *right, paired=paired)


def _share_of_gradients(one, other, *, paired: bool) -> jax.Array:
    return _long_product(one, other) if paired else jnp.einsum("nkq,mlq->nkml", one, other)


def _long_product(one, other) -> jax.Array:
    """Σ_kq one_nkq other_mkq, as a product of matrices: summing over two axes takes twice as long."""
    return one.reshape(len(one), -1) @ other.reshape(len(other), -1).T


def _share_of_positions(left: Factors, right: Factors, *, paired: bool) -> jax.Array:
    inputs = _sum(jnp.einsum("nsp,mtp->nsmt", a, b) for a, b in zip(left.inputs, right.inputs, strict=True))
    if paired:
        outputs = jnp.einsum("nkso,mkto->nsmt", left.sensitivities, right.sensitivities)
        return jnp.sum(inputs * outputs, axis=(1, 3))
    outputs = jnp.einsum("nkso,mlto->nksmlt", left.sensitivities, right.sensitivities)
    return jnp.einsum("nsmt,nksmlt->nkml", inputs, outputs)


def _share_of_one_position(left: Factors, right: Factors, *, paired: bool) -> jax.Array:
    """With a single position the share is an entrywise product of two Gram matrices."""
    inputs = _sum(a[:, 0] @ b[:, 0].T for a, b in zip(left.inputs, right.inputs, strict=True))
    g, h = left.sensitivities[:, :, 0], right.sensitivities[:, :, 0]
    if paired:
        return inputs * _long_product(g, h)
    return inputs[:, None, :, None] * jnp.einsum("nko,mlo->nkml", g, h)


def contract(left: Held, right: Held | None, *, paired: bool) -> jax.Array:
    """The shares of all leaves added up: [n m k k], or [n m] when ``paired``; ``right=None`` stands for ``left``.

    A large kernel is computed in blocks of rows, so that the shares of all leaves need not exist side by side; that
    of examples with themselves also in blocks of columns, those below the diagonal left out (10 products for 16).
    """
    n, cuts = examples_in(left), splits(left, right, paired=paired)
    slices = [slice(n * i // cuts, n * (i + 1) // cuts) for i in range(cuts)]
    rows = [jax.tree.map(lambda a, cut=cut: a[cut], left) for cut in slices] if cuts > 1 else [left]
    if right is not None:
        return assembled({(i, 0): _sum_of_shares(part, right, paired=paired) for i, part in enumerate(rows)})
    upper = [(i, j) for i in range(cuts) for j in range(i, cuts)]
    return assembled({(i, j): _sum_of_shares(rows[i], rows[j], paired=paired) for i, j in upper})


def splits(left: Held, right: Held | None, *, paired: bool) -> int:
    """Into how many blocks of rows a kernel is cut."""
    n, m = examples_in(left), examples_in(right or left)
    large = n >= SPLITS and held_multiplications(left, n, m, paired=paired) > SPLIT_ABOVE
    return SPLITS if large else 1


def examples_in(held: Held) -> int:
    """How many examples were read."""
    return jax.tree.leaves(held)[0].shape[0]


def held_multiplications(held: Held, n: int, m: int, *, paired: bool) -> int:
    """Multiplications to contract n examples with m, in the form in which they are held."""
    count = 0
    for item in held.values():
        if isinstance(item, Gradients):
            _, k, q = item.values.shape
            count += n * m * (k if paired else k * k) * q
        else:
            _, k, s, o = item.sensitivities.shape
            p = sum(place.shape[-1] for place in item.inputs)
            count += multiplications((s, p, o), k, n, m, paired=paired).factored
    return count


def nothing(n: int, k: int, dtype) -> Held:
    """What is held of a network whose outputs depend on no parameter: gradients of no entries."""
    return {-1: Gradients(jnp.zeros((n, k, 0), dtype))}


def only(held: Held, leaves: tuple[int, ...]) -> Held:
    """What is held of some of the leaves."""
    found = {leaf: held[leaf] for leaf in leaves if leaf in held}
    if found:
        return found
    item = next(iter(held.values()))
    last = item.values if isinstance(item, Gradients) else item.sensitivities
    return nothing(last.shape[0], last.shape[1], last.dtype)


def _sum_of_shares(left: Held, right: Held, *, paired: bool) -> jax.Array:
    total = _sum(share(left[leaf], right[leaf], paired=paired) for leaf in left)
    return total if paired else total.transpose(0, 2, 1, 3)


def _sum(arrays: Iterable[jax.Array]) -> jax.Array:
    return reduce(operator.add, arrays)
