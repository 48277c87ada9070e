"""The slow, obvious way: materialise the Jacobian of every example and contract it."""

from functools import cache

import jax
import jax.numpy as jnp


def dense_jacobian(f, params, x):
    """J [n, c, P] by reverse mode, each example on its own."""

    def one(params, example):
        rows = jax.tree.leaves(jax.jacrev(lambda p: f(p, example[None])[0])(params))
        return jnp.concatenate([row.reshape(row.shape[0], -1) for row in rows], axis=1)

    return jax.jit(jax.vmap(one, in_axes=(None, 0)))(params, x)


def dense_ntk(f, params, x1, x2=None):
    """Θ [n, m, c, c] = J(x1) J(x2)ᵀ."""
    j1 = dense_jacobian(f, params, x1)
    j2 = j1 if x2 is None else dense_jacobian(f, params, x2)
    return jnp.einsum("ncp,mdp->nmcd", j1, j2, precision="highest")


def quick(function):
    """Compiled soon rather than to run fast: for programs that run once on a few examples."""
    return jax.jit(
        function, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
    )


@cache
def jacobians_of(case):
    """J of both sets of a case's examples, computed once."""
    jacobian = quick(lambda params, x: dense_jacobian(case.f, params, x))
    return jacobian(case.params, case.x1), jacobian(case.params, case.x2)


def close(actual, expected, tolerance=1e-10):
    """Relative distance in Frobenius norm, the issue's own measure of exactness."""
    assert actual.shape == expected.shape
    assert jnp.linalg.norm(jnp.ravel(actual - expected)) <= tolerance * jnp.linalg.norm(jnp.ravel(expected))
