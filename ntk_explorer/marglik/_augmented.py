"""Transformations of examples with sampled strengths, and the evidence as a function of how strong they are.

A network averaged over transformed copies of each example, f̂(x) = (1/S) Σ_s f(T_{ε_s, η} x), is a network of the
copies; its outputs, its Jacobian and so its evidence depend on η, and JAX differentiates through all of them.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntk_explorer.kernels.empirical import entk
from ntk_explorer.marglik import INVARIANCES, LIKELIHOODS
from ntk_explorer.marglik._reading import WhitenedNetwork
from ntk_explorer.reading.taps import parameter_names


@dataclass(frozen=True)
class Averaged:
    """``(params, copies [n, S, ...]) -> (1/S) Σ_s f(params, copies_s)`` [n, c]."""

    f: Callable[..., Any]

    def __call__(self, params, copies):
        """Outputs averaged over the copies of each example."""
        n, samples, *shape = copies.shape
        outputs = self.f(params, copies.reshape(n * samples, *shape))
        return outputs.reshape(n, samples, -1).mean(axis=1)


def rotated_points(x, eta, noise):
    """Points [n, 2] turned by the angles η ε [n, S, 1]: [n, S, 2]."""
    angles = noise[..., 0] * eta[0]
    cosine, sine = jnp.cos(angles), jnp.sin(angles)
    first, second = x[:, 0][:, None], x[:, 1][:, None]
    return jnp.stack([cosine * first - sine * second, sine * first + cosine * second], axis=-1)


# Columns act on homogeneous coordinates (horizontal, vertical, 1) of an image between −1 and 1.
GENERATORS = np.array(
    [
        [[0, 0, 1], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 1], [0, 0, 0]],
        [[0, -1, 0], [1, 0, 0], [0, 0, 0]],
        [[1, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]],
    ],
    np.float64,
)
ROTATION = 2


def transformed_images(x, eta, noise):
    """Images [n, h, w, channels] resampled at exp(Σ_k η_k ε_k G_k) of their coordinates: [n, S, h, w, channels]."""
    # Turning by more than half a circle either way adds no images, only noise to the gradient.
    limited = jnp.concatenate([eta[:ROTATION], jnp.clip(eta[ROTATION], -math.pi, math.pi)[None], eta[ROTATION + 1 :]])
    weights = noise * limited[None, None]
    exponents = jnp.einsum("nsk,kij->nsij", weights, jnp.asarray(GENERATORS, x.dtype))
    matrices = jax.vmap(jax.vmap(jax.scipy.linalg.expm))(exponents)
    one = jax.vmap(_resampled, in_axes=(None, 0))
    return jax.vmap(one)(x, matrices)


def _resampled(image, matrix):
    """Bilinear values of an image [h, w, channels] at transformed coordinates, zero outside."""
    height, width, _ = image.shape
    rows, columns = jnp.meshgrid(_axis(height, image.dtype), _axis(width, image.dtype), indexing="ij")
    places = jnp.stack([columns, rows, jnp.ones_like(rows)], axis=-1) @ matrix.T
    across, down = ((places[..., i] + 1) / 2 * (size - 1) for i, size in ((0, width), (1, height)))
    along = partial(jax.scipy.ndimage.map_coordinates, coordinates=[down, across], order=1)
    return jax.vmap(along, in_axes=-1, out_axes=-1)(image)


def _axis(size, dtype):
    return jnp.linspace(-1, 1, size, dtype=dtype) if size > 1 else jnp.zeros(1, dtype)


@partial(jax.jit, static_argnames="invariance")
def copies_of(x, eta, noise, *, invariance):
    """Transformed copies [n, S, ...] of every example."""
    return INVARIANCES[invariance].extras["transform"](x, eta, noise)


@partial(jax.jit, static_argnames=("f", "invariance", "likelihood"))
def pieces(eta, f, params, x, noise, targets, rows, precisions, scale, sigma, *, invariance, likelihood):
    """Log-likelihood and ld as functions of η, each with its gradient: ((fit, ld), (∂fit/∂η, ∂ld/∂η)).

    ``rows`` [n, k] are the whitened outputs that count, ``precisions`` δ of every tensor, ``scale`` 1/σ².
    """

    def fit(outputs):
        return (
            LIKELIHOODS[likelihood](outputs, targets, sigma=None)
            if sigma is None
            else _gaussian(outputs, targets, sigma)
        )

    def both(eta):
        copies = copies_of(x, eta, noise, invariance=invariance)
        averaged = Averaged(f)
        outputs = averaged(params, copies)
        roots = LIKELIHOODS[likelihood].extras["root"](outputs)
        directions = jnp.take_along_axis(roots, rows[:, :, None], axis=1)
        n, k, c = directions.shape
        network = WhitenedNetwork(averaged, tuple(copies.shape[1:]), copies.dtype.name, k, c)
        packed = jnp.concatenate([copies.reshape(n, -1), directions.reshape(n, -1)], axis=1)
        names = parameter_names(params)
        shares = entk(network, params, packed, by="parameter")
        kernel = reduce(operator.add, (shares[name] / d for name, d in zip(names, precisions, strict=True)))
        matrix = scale * kernel.transpose(0, 2, 1, 3).reshape(n * k, n * k)
        factor = jnp.linalg.cholesky((matrix + matrix.T) / 2 + jnp.eye(n * k, dtype=matrix.dtype))
        return jnp.stack([fit(outputs), 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))])

    values, pullback = jax.vjp(both, eta)
    return values, jax.vmap(lambda row: pullback(row)[0])(jnp.eye(2, dtype=values.dtype))


def _gaussian(outputs, targets, sigma):
    squares = jnp.sum((targets - outputs) ** 2)
    return -squares / (2 * sigma**2) - targets.size * (jnp.log(sigma) + math.log(2 * math.pi) / 2)
