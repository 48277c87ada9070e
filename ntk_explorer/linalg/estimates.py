"""Trace, Frobenius norm and Gauss quadrature of a symmetric map, from products with random vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ntk_explorer.errors import InvalidInput


@dataclass(frozen=True)
class Estimated:
    """A number and its standard error over the random vectors it was estimated from."""

    value: float
    standard_error: float

    def __str__(self) -> str:
        """``12.3 ± 0.4``, to the digits that mean something."""
        if not self.standard_error > 0:
            return f"{self.value:.6g}"
        decades = _decade(self.value) - _decade(self.standard_error) if self.value else 0
        return f"{self.value:.{min(max(decades, 0) + 2, 8)}g} ± {self.standard_error:.2g}"


def _decade(value: float) -> int:
    return math.floor(math.log10(abs(value)))


class Moments(NamedTuple):
    """The first two moments of a spectrum: tr K and ‖K‖_F."""

    trace: Estimated
    frobenius_norm: Estimated


def moments(operator: Any, *, key: Any, samples: int = 20) -> Moments:
    """Trace and Frobenius norm √tr(K²) by Hutch++: exact on the range of a random sketch, sampled on the rest.

    Args:
        operator: a symmetric matrix [N, N] or a ``kernel_operator``.
        key: a JAX random key.
        samples: vectors of the sketch, and random vectors for the rest; three products for each.

    Returns:
        Both numbers with their standard errors; exact with N samples.

    Raises:
        InvalidInput: ``samples`` is not between 2 and N, or the matrix is not symmetric, real and finite.

    Source: Meyer, Musco, Musco & Woodruff (2021), Hutch++: Optimal Stochastic Trace Estimation.
    """
    import jax
    import jax.numpy as jnp  # not above: only callers of estimates need jax

    from ntk_explorer.linalg._maps import as_map, in_precision_of
    from ntk_explorer.linalg._stochastic import moments

    checked = as_map(operator)
    check_count("samples", samples, 2, max(2, checked.shape[0]))
    # matfree adds matrices to vectors, which a session may have forbidden.
    with in_precision_of(checked), jax.numpy_rank_promotion("allow"):
        like = jnp.zeros(checked.shape[0], checked.dtype)
        found = moments(checked.product, checked.held, key, like, samples=samples)
    (trace, squared), (trace_error, squared_error) = jax.tree.map(float, found)
    norm = math.sqrt(squared)
    return Moments(Estimated(trace, trace_error), Estimated(norm, squared_error / (2 * norm) if norm else 0.0))


def trace(operator: Any, *, key: Any, samples: int = 20) -> Estimated:
    """The trace tr K; see :func:`moments`."""
    return moments(operator, key=key, samples=samples).trace


def frobenius_norm(operator: Any, *, key: Any, samples: int = 20) -> Estimated:
    """The Frobenius norm ‖K‖_F = √tr(K²); see :func:`moments`."""
    return moments(operator, key=key, samples=samples).frobenius_norm


def gauss_quadrature(operator: Any, *, key: Any, samples: int, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights whose sums over f are (1/N) tr f(K) in expectation: stochastic Lanczos quadrature.

    Each random vector z gives ``degree`` Ritz values θ_i and weights w_i ≥ 0 that sum to 1, such that
    Σ_i w_i f(θ_i) equals zᵀ f(K) z / zᵀ z for polynomials f of degree below 2·``degree``.

    Args:
        operator: a symmetric matrix [N, N] or a ``kernel_operator``.
        key: a JAX random key.
        samples: random vectors, all carried through Lanczos together.
        degree: products per random vector; at most N.

    Returns:
        Nodes and weights [samples, degree], as numpy arrays; nodes ascend.

    Raises:
        InvalidInput: ``samples`` below 1 or ``degree`` not between 1 and N.

    Source: Golub & Meurant (1994); Lin, Saad & Yang (2016), Approximating Spectral Densities of Large Matrices.
    """
    import jax
    import jax.numpy as jnp  # not above: only callers of estimates need jax

    from ntk_explorer.linalg._maps import as_map, in_precision_of
    from ntk_explorer.linalg._stochastic import tridiagonals

    checked = as_map(operator)
    check_count("samples", samples, 1)
    check_count("degree", degree, 1, checked.shape[0])
    with in_precision_of(checked), jax.numpy_rank_promotion("allow"):
        like = jnp.zeros(checked.shape[0], checked.dtype)
        found = tridiagonals(checked.product, checked.held, key, like, samples=samples, degree=degree)
    eps = float(np.finfo(checked.dtype).eps)
    pairs = [_nodes(diagonal, off, eps) for diagonal, off in zip(*map(np.asarray, found), strict=True)]
    nodes, weights = zip(*pairs, strict=True)
    return np.stack(nodes), np.stack(weights)


def _nodes(diagonal, off_diagonal, eps):
    """Eigenvalues of one tridiagonal matrix and the squared first entries of its eigenvectors."""
    # Where a length vanishes the Krylov space is complete; what follows is rounding, and decoupled from the start.
    scale = np.nanmax(np.abs(diagonal))
    going_on = np.cumprod(np.isfinite(off_diagonal) & (off_diagonal > 100 * eps * scale)).astype(bool)
    kept = np.concatenate([[True], going_on])
    matrix = np.diag(np.where(kept, diagonal, 0.0).astype(float))
    matrix += sum(np.diag(np.where(going_on, off_diagonal, 0.0).astype(float), side) for side in (-1, 1))
    nodes, vectors = np.linalg.eigh(matrix)
    return nodes, vectors[0] ** 2


def check_count(name: str, count: int, least: int, most: int | None = None) -> None:
    """Refuse a number of samples, products or eigenvalues that the size of the map does not allow."""
    if isinstance(count, bool) or not isinstance(count, int) or count < least or (most is not None and count > most):
        span = f"{least} or more" if most is None else f"between {least} and {most}"
        raise InvalidInput(f"{name} is {count!r}", f"Give a whole number, {span}.")
