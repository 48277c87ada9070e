"""The same kernels by other means: neural-tangents, plain JAX and torch.func, each as ``x[n, ...] -> kernel``.

A peer computes what its authors document for this purpose, compiled where it can be: neural-tangents its three
implementations, JAX and torch the contraction of per-example Jacobians. All of them start from the parameters of
one network of ours and must return our numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ntk_explorer.architectures import Network
from ntk_explorer.errors import InvalidInput
from ntk_explorer.kernels import KERNELS

IMPLEMENTATIONS = {
    "nt structured": "STRUCTURED_DERIVATIVES",
    "nt Jacobian": "JACOBIAN_CONTRACTION",
    "nt products": "NTK_VECTOR_PRODUCTS",
}
OURS, PLAIN, TORCH = "ours", "jax.jacrev", "torch.func"
NAMES = (OURS, *IMPLEMENTATIONS, PLAIN, TORCH)

Kernel = Callable[[Any], Any]


def contenders(network: Network, params: Any, kernel: str) -> dict[str, Kernel | None]:
    """Ours first, then every peer; None for one that is not installed."""
    f = _mean_output(network.apply) if kernel == "pntk" else network.apply
    peers: dict[str, Kernel | None] = {OURS: ours(network, params, kernel)}
    for name, implementation in IMPLEMENTATIONS.items():
        peers[name] = _neural_tangents(f, params, kernel, implementation)
    return peers | {PLAIN: _plain_jax(f, params, kernel), TORCH: _torch(network, params, kernel)}


def ours(network: Network, params: Any, kernel: str) -> Kernel:
    """The kernel function of this library: compiled as a whole like its peers, or for images in parts on all cores."""
    if len(network.config.inputs) > 1:
        return lambda x: KERNELS[kernel](network.apply, params, x)
    compiled = jax.jit(lambda params, x: KERNELS[kernel](network.apply, params, x))
    return lambda x: compiled(params, x)


def _mean_output(f):
    """The one output O^(-1/2) Σ_a f_a, whose tangent kernel the pNTK is."""

    def mean_output(params, x):
        outputs = f(params, x)
        return outputs.sum(axis=-1, keepdims=True) / outputs.shape[-1] ** 0.5

    return mean_output


def _neural_tangents(f, params, kernel: str, implementation: str) -> Kernel | None:
    from ntk_explorer.infinite._neural_tangents import neural_tangents

    try:
        nt = neural_tangents()
    except InvalidInput:
        return None
    ntk = nt.empirical_ntk_fn(
        f,
        trace_axes=() if kernel == "entk" else (-1,),
        vmap_axes=0,
        implementation=nt.NtkImplementation[implementation],
    )
    compiled = jax.jit(lambda params, x: ntk(x, None, params))
    return lambda x: compiled(params, x)


def _plain_jax(f, params, kernel: str) -> Kernel:
    contraction = "ncp,mdp->nmcd" if kernel == "entk" else "ncp,mcp->nm"

    @jax.jit
    def contracted(params, x):
        jacobian = jax.vmap(jax.jacrev(lambda params, one: f(params, one[None])[0]), (None, 0))(params, x)
        rows = [leaf.reshape(*leaf.shape[:2], -1) for leaf in jax.tree.leaves(jacobian)]
        total = sum(jnp.einsum(contraction, row, row) for row in rows)
        return total if kernel == "entk" else total / rows[0].shape[1]

    return lambda x: contracted(params, x)


def _torch(network: Network, params, kernel: str) -> Kernel | None:
    try:
        import torch  # pyright: ignore[reportMissingImports]
        import torch_twin
        from torch.func import jacrev, vmap  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    forward, weights = torch_twin.twin(network.config, params)
    contraction = "ncp,mdp->nmcd" if kernel == "entk" else "ncp,mcp->nm"

    def single(weights, one):
        outputs = forward(weights, one[None])[0]
        return outputs.sum()[None] / len(outputs) ** 0.5 if kernel == "pntk" else outputs

    def contracted(x):
        jacobian = vmap(jacrev(single), (None, 0))(weights, torch_twin.examples(x))
        rows = [leaf.flatten(2) for leaf in jacobian.values()]
        total = sum(torch.einsum(contraction, row, row) for row in rows)
        return total if kernel == "entk" else total / rows[0].shape[1]

    return contracted
