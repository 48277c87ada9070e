"""The empirical tangent kernels: one gradient product each, along different output directions.

With J(x) = ∂f/∂θ [c, P] and Θ(x, x') = J(x) J(x')ᵀ [c, c], each kernel below is a contraction of Θ that is
computed without forming it: along fixed cotangents in output space.
"""

from __future__ import annotations

import numpy as np

from ntk_explorer.kernels import KERNELS
from ntk_explorer.kernels._ways import Gradients, facts, matrix

_MOHAMADI = (
    "Mohamadi, Bae & Sutherland (2023), A Fast, Well-Founded Approximation to the Empirical Neural Tangent Kernel"
)


def _mean(outputs: int) -> np.ndarray:
    return np.full((1, outputs), outputs**-0.5)


def _each(outputs: int) -> np.ndarray:
    return np.eye(outputs) * outputs**-0.5


def _first(outputs: int) -> np.ndarray:
    return np.eye(1, outputs)


@KERNELS.register(
    "entk",
    label="eNTK",
    equation=r"\Theta(x, x') = J(x)\, J(x')^\top \in \mathbb{R}^{O \times O}",
    reference="Jacot, Gabriel & Hongler (2018), Neural Tangent Kernel",
    cost="O vector-Jacobian products per example; N²O² numbers",
    tags=("psd", "per-output"),
    **facts(Gradients(np.eye, paired=False)),
)
def entk(f, params, x1, x2=None, *, batch_size=None, precision="highest", by=None):
    """The empirical neural tangent kernel Θ(x, x') = J(x) J(x')ᵀ, all pairs of outputs.

    Args:
        f: any ``f(params, x[n, ...]) -> [n, c]`` that treats examples independently; hashable.
        params: pytree of real floating-point arrays.
        x1: examples [n, ...].
        x2: examples [m, ...]; ``x1`` again when None.
        batch_size: examples read at a time; bounds memory, never changes the result beyond rounding.
        precision: precision of all matrix products (``jax.default_matmul_precision``).
        by: "layer" or "parameter" for the share of each, by name; shares add up to the kernel.

    Returns:
        Array [n, m, c, c]; entry [i, j, a, b] is ∂f_a(x1_i)/∂θ · ∂f_b(x2_j)/∂θ. With ``by`` a dictionary of them.

    Raises:
        InvalidInput: wrong shapes, dtypes or NaN in ``x1``, ``x2`` or ``params``; a function that is not [n, c], or
            whose output for one example changes with the others in its batch.

    Source: Jacot, Gabriel & Hongler (2018).
    """
    return matrix("entk", f, params, x1, x2, batch_size=batch_size, precision=precision, by=by)


@KERNELS.register(
    "pntk",
    label="pNTK",
    equation=r"K(x, x') = \tfrac{1}{O} \sum_{a,b} \Theta_{ab}(x, x')",
    reference=_MOHAMADI,
    cost="1 vector-Jacobian product per example; N² numbers",
    tags=("psd",),
    **facts(Gradients(_mean, paired=True)),
    from_blocks=lambda theta: theta.sum(axis=(2, 3)) / theta.shape[-1],
)
def pntk(f, params, x1, x2=None, *, batch_size=None, precision="highest", by=None):
    """The pseudo-NTK: the tangent kernel of g(x) = O^(-1/2) Σ_a f_a(x), so (1/O) Σ_ab Θ_ab.

    Arguments and errors as for :func:`entk`. Source: Mohamadi, Bae & Sutherland (2023).

    Returns:
        Array [n, m], or its shares by name.
    """
    return matrix("pntk", f, params, x1, x2, batch_size=batch_size, precision=precision, by=by)


@KERNELS.register(
    "trntk",
    label="trNTK",
    equation=r"K(x, x') = \tfrac{1}{O} \operatorname{tr} \Theta(x, x')",
    reference=_MOHAMADI
    + "; Engel et al. (2024), Faithful and Efficient Explanations for Neural Networks via NTK Surrogates",
    cost="O vector-Jacobian products per example; N² numbers",
    tags=("psd",),
    **facts(Gradients(_each, paired=True)),
    from_blocks=lambda theta: theta.diagonal(axis1=2, axis2=3).sum(axis=-1) / theta.shape[-1],
)
def trntk(f, params, x1, x2=None, *, batch_size=None, precision="highest", by=None):
    """The trace NTK (1/O) tr Θ(x, x'): the best N × N surrogate of the eNTK in Frobenius norm.

    Arguments and errors as for :func:`entk`. Source: Mohamadi, Bae & Sutherland (2023).

    Returns:
        Array [n, m], or its shares by name.
    """
    return matrix("trntk", f, params, x1, x2, batch_size=batch_size, precision=precision, by=by)


@KERNELS.register(
    "single_logit",
    label="single logit",
    equation=r"K(x, x') = \Theta_{11}(x, x')",
    reference="Mohamadi, Bae & Sutherland (2022), Making Look-Ahead Active Learning Strategies Feasible with NTKs",
    cost="1 vector-Jacobian product per example; N² numbers",
    tags=("psd",),
    **facts(Gradients(_first, paired=True)),
    from_blocks=lambda theta: theta[:, :, 0, 0],
)
def single_logit(f, params, x1, x2=None, *, batch_size=None, precision="highest", by=None):
    """The tangent kernel Θ_11 of the first output alone.

    Arguments and errors as for :func:`entk`. Source: Mohamadi, Bae & Sutherland (2022).

    Returns:
        Array [n, m], or its shares by name.
    """
    return matrix("single_logit", f, params, x1, x2, batch_size=batch_size, precision=precision, by=by)
