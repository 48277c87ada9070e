"""Estimates from products with random vectors, on matfree's; compiled once per map and number of samples."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from matfree import decomp, stochtrace

from ntk_explorer.linalg._maps import one_by_one


@partial(jax.jit, static_argnames=("product", "samples"))
def moments(product, held, key, like, *, samples: int):
    """Means and standard errors of tr K and tr K² by Hutch++; ``like`` is any vector of the map's shape and dtype.

    Both are exact on the span of K times a random sketch; what is orthogonal to it is sampled. matfree's own
    leave-one-out estimators need fewer products, but their standard errors are too small by up to seven times
    where the spectrum has a step, since their samples share one basis; these samples are independent.
    """
    sketched, sampled = jax.random.split(key)
    if samples >= like.size:
        basis = jnp.eye(like.size, dtype=like.dtype)
    else:
        sketch = jax.random.rademacher(sketched, (like.size, samples), like.dtype)
        basis, _ = jnp.linalg.qr(product(held, sketch))
    image = product(held, basis)
    exact = jnp.vdot(basis, image), jnp.vdot(image, image)
    if samples >= like.size:
        return exact, (0.0, 0.0)

    def orthogonal_to_basis(key):
        v = jax.random.normal(key, (samples, like.size), like.dtype)
        for _ in range(2):  # twice is enough: the first projection leaves a rounding of the basis behind
            v = v - (v @ basis) @ basis.T
        # Directions on a sphere: with the length drawn as well the variance would be larger.
        return v * jnp.sqrt((like.size - samples) / jnp.sum(v**2, axis=1, keepdims=True))

    def both(matvec, v, held):
        image = matvec(v, held)
        return jnp.vdot(v, image), jnp.vdot(image, image)

    estimate = stochtrace.estimator_monte_carlo_mean_and_sem(both, orthogonal_to_basis)
    rest, errors = estimate(one_by_one(product), sampled, held)
    unbiased = (samples / (samples - 1)) ** 0.5
    return jax.tree.map(jnp.add, exact, rest), jax.tree.map(lambda error: unbiased * error, errors)


@partial(jax.jit, static_argnames=("product", "samples", "degree"))
def tridiagonals(product, held, key, like, *, samples: int, degree: int):
    """Diagonals [samples, degree] and off-diagonals [samples, degree − 1] of Lanczos from random vectors."""
    matvec = one_by_one(product)
    lanczos = decomp.tridiag_sym(degree, materialize=False, reortho="full", custom_vjp=False)
    starts = stochtrace.sampler_sphere(like, num=samples)(key)
    return jax.vmap(lambda v: lanczos(matvec, v, held).J_small)(starts)
