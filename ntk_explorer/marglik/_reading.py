"""What is read of a network for its evidence: outputs, whitened kernels by parameter, Jacobians, Kronecker factors.

With the whitening rows packed beside their examples, whitened outputs Rᵀf are those of a network like any other,
so that its kernels are read and contracted like any network's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.reading.checks import checked_examples
from ntk_explorer.reading.chunks import chunk_size, in_chunks
from ntk_explorer.reading.contract import Factors
from ntk_explorer.reading.independence import require_readable
from ntk_explorer.reading.lanes import in_lanes
from ntk_explorer.reading.tangent import tiled_tangent_kernel
from ntk_explorer.reading.taps import parameter_names, read_network, tap
from ntk_explorer.reading.tiles import TiledKernel, evaluate


@dataclass(frozen=True)
class WhitenedNetwork:
    """``(params, [x | U]) -> U f(params, x)`` [n, k], with rows U [k, c] of their own for each example."""

    f: Callable[..., Any]
    shape: tuple[int, ...]
    dtype: str
    rows: int
    outputs: int

    def __call__(self, params, packed):
        """Combinations of the outputs for packed rows of examples and directions."""
        size = math.prod(self.shape)
        x = packed[:, :size].reshape(-1, *self.shape).astype(self.dtype)
        directions = packed[:, size:].reshape(-1, self.rows, self.outputs)
        outputs = self.f(params, x)
        return jnp.einsum("nkc,nc->nk", directions.astype(outputs.dtype), outputs)


class Call(NamedTuple):
    """A whitened network at its parameters and packed examples."""

    network: WhitenedNetwork
    params: Any
    packed: jax.Array


class Kronecker(NamedTuple):
    """Inputs [n, s, p] and sensitivities [n, k, s, o] of a tensor whose gradient is Σ_s inputs_s ⊗ sensitivities_s."""

    inputs: np.ndarray
    sensitivities: np.ndarray


def arithmetic(dtype):
    """The settings of JAX under which a network is read in ``dtype``."""
    return jax.enable_x64(np.dtype(dtype) == np.float64)


def checked_network(f, params, x, dtype):
    """Parameters and examples in ``dtype``, the names of the tensors and the outputs [n, c] in double precision.

    Raises:
        InvalidInput: parameters of another architecture, outputs that are NaN, and whatever no kernel can be read from.
    """
    with arithmetic(dtype):
        params = jax.tree.map(lambda leaf: _cast(leaf, dtype), params)
        x = _cast(checked_examples(x, "x"), dtype)
        try:
            read_network(f, params, x)
        except InvalidInput:
            raise
        except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
            raise InvalidInput(
                f"The function cannot be evaluated with these parameters and examples: {error}",
                "Give parameters of the same architecture and examples of its input shape.",
            ) from None
        require_readable(f, params, x)
        outputs = np.asarray(jax.jit(f)(params, x), np.float64)
    bad = ~np.isfinite(outputs).all(axis=1)
    if bad.any():
        raise InvalidInput(
            f"The outputs of example {int(np.argmax(bad))} are NaN or infinite",
            "Take weights from before the training diverged.",
        )
    # On the host: arrays in double precision must not meet JAX where that is switched off.
    return jax.device_get(params), np.asarray(x), parameter_names(params), outputs


def _cast(value, dtype):
    value = jnp.asarray(value)
    return value.astype(dtype) if jnp.issubdtype(value.dtype, jnp.floating) else value


def whitened_call(f, params, x, directions: np.ndarray, dtype) -> Call:
    """The network of the combinations ``directions`` [n, k, c] of the outputs."""
    _, rows, outputs = directions.shape
    network = WhitenedNetwork(f, tuple(x.shape[1:]), x.dtype.name, rows, outputs)
    flat = [np.reshape(part, (len(x), -1)).astype(dtype) for part in (x, directions)]
    return Call(network, jax.tree.map(jnp.asarray, params), jnp.asarray(np.concatenate(flat, axis=1)))


def read_grams(call: Call, other: Call | None = None, *, batch_size: int | None = None) -> np.ndarray:
    """Φ_l Φ'_lᵀ of every tensor [L, n·k, m·k], rows ordered by example, then by direction."""
    tiled = _tiled(call, other, batch_size)
    shares = evaluate(in_lanes(tiled, (call.params, tiled.x1, tiled.x2)), batch_size)
    names = parameter_names(call.params)
    n, m, k, _ = shares[names[0]].shape
    found = np.empty((len(names), n, k, m, k))
    for place, name in zip(found, names, strict=True):
        place[...] = np.asarray(shares.pop(name)).transpose(0, 2, 1, 3)
    return found.reshape(len(names), n * k, m * k)


def _tiled(call: Call, other: Call | None = None, batch_size: int | None = None) -> TiledKernel:
    """The eNTK of the whitened network, without the question whether it can be read: it was asked of the network."""
    packed = None if other is None else other.packed
    options = {"directions": np.eye, "batch_size": batch_size, "by": "parameter"}
    return tiled_tangent_kernel(call.network, call.params, call.packed, packed, **options)


def read_own_blocks(call: Call) -> np.ndarray:
    """Every example's own blocks Φ_l Φ_lᵀ [L, n, k, k]."""
    tiled = _tiled(call)
    alone = jax.tree.map(lambda a: a[:, None], tiled.read(tiled.x1))
    blocks = jax.vmap(lambda one: jax.tree.map(lambda a: a[0, 0], tiled.contract(one, None)))(alone)
    return np.stack([np.asarray(blocks[name], np.float64) for name in parameter_names(call.params)])


def read_jacobian(call: Call, tensors: tuple[int, ...]) -> list[np.ndarray]:
    """Φ_l [n·k, P_l] of some tensors, entries in the order of the tensor."""
    found = _jacobian(call.network, call.params, call.packed, tensors=tensors)
    return [np.asarray(part, np.float64).reshape(-1, part.shape[-1]) for part in found]


@partial(jax.jit, static_argnames=("network", "tensors"))
def _jacobian(network, params, packed, *, tensors):
    leaves, tree = jax.tree.flatten(params)

    def one(example):
        def outputs(chosen):
            values = list(leaves)
            for index, leaf in zip(tensors, chosen, strict=True):
                values[index] = leaf
            return network(jax.tree.unflatten(tree, values), example[None])[0]

        rows = jax.jacrev(outputs)([leaves[index] for index in tensors])
        return [part.reshape(len(part), -1) for part in rows]

    reading = read_network(network, params, packed)
    all_sited = frozenset(site.value.leaf for site in reading.sites.values())
    chunk = chunk_size(reading, len(packed), network.rows, all_sited)
    with jax.default_matmul_precision("highest"):
        return in_chunks(jax.vmap(one), packed, chunk)


def read_tangents(call: Call) -> np.ndarray:
    """Φ_l w_l of every tensor [L, n·k]: how the outputs move along the weights themselves."""
    return np.asarray(_tangents(call.network, call.params, call.packed), np.float64).reshape(
        len(jax.tree.leaves(call.params)), -1
    )


@partial(jax.jit, static_argnames="network")
def _tangents(network, params, packed):
    leaves, tree = jax.tree.flatten(params)

    def along(index):
        step = [leaf if i == index else jnp.zeros_like(leaf) for i, leaf in enumerate(leaves)]
        return jax.jvp(lambda p: network(p, packed), (params,), (jax.tree.unflatten(tree, step),))[1]

    with jax.default_matmul_precision("highest"):
        return jnp.stack([along(index) for index in range(len(leaves))])


def read_factors(call: Call, copies: int) -> dict[int, Kronecker]:
    """Kronecker factors of every tensor that meets the data in a product, by the tensor's place.

    Of transformed copies of an example the inputs are averaged and the sensitivities added up, as in LILA's code:
    with equal copies these are the factors of the example itself.
    """
    found = _factors(call.network, call.params, call.packed, copies=copies)
    return {leaf: Kronecker(*(np.asarray(part, np.float64) for part in parts)) for leaf, parts in found.items()}


@partial(jax.jit, static_argnames=("network", "copies"))
def _factors(network, params, packed, *, copies):
    reading, leaves = read_network(network, params, packed), jax.tree.leaves(params)

    def read(x):
        with jax.default_matmul_precision("highest"):
            held = tap(reading, leaves, x, jnp.eye(reading.outputs))
        sited = {leaf: item for leaf, item in held.items() if isinstance(item, Factors)}
        return {leaf: _over_copies(item, copies) for leaf, item in sited.items()}

    return in_chunks(read, packed, chunk_size(reading, len(packed), network.rows, frozenset()))


def _over_copies(factors: Factors, copies: int) -> tuple[jax.Array, jax.Array]:
    """Inputs and sensitivities of a tensor, with copies in the place of the first of the positions' axes."""
    inputs, sensitivities = jnp.concatenate(factors.inputs, axis=-1), factors.sensitivities
    n, k, _, o = sensitivities.shape
    return (
        inputs.reshape(n, copies, -1, inputs.shape[-1]).mean(axis=1),
        sensitivities.reshape(n, k, copies, -1, o).sum(axis=2),
    )
