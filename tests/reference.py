"""The slow, obvious way: materialise the Jacobian of every example and contract it."""

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
