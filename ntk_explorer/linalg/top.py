"""The largest eigenvalues of a symmetric map, by Lanczos iteration."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ntk_explorer.errors import InvalidInput, NotConverged
from ntk_explorer.linalg.estimates import check_count


class TopEigenvalues(NamedTuple):
    """The k largest eigenvalues, and how well each is known: |λ − λ_i| ≤ ‖K v_i − λ_i v_i‖ for some true λ."""

    values: np.ndarray
    vectors: np.ndarray
    residuals: np.ndarray
    products: int


def top_eigenvalues(operator: Any, k: int, *, tolerance: float = 0.0, iterations: int | None = None) -> TopEigenvalues:
    """The k largest eigenvalues of a symmetric map by implicitly restarted Lanczos (ARPACK).

    Args:
        operator: a symmetric matrix [N, N] or a ``kernel_operator``.
        k: how many, below N.
        tolerance: relative accuracy of the eigenvalues; 0 for that of the map's own arithmetic.
        iterations: restarts at most; 10 N when None.

    Returns:
        Values in descending order [k], their unit vectors [N, k], residual norms ‖K v − λ v‖ [k] and the number
        of products that were taken.

    Raises:
        InvalidInput: ``k`` is not between 1 and N − 1, or the matrix is not symmetric, real and finite.
        NotConverged: too few restarts, or residuals that no rounding explains.

    Source: Lehoucq, Sorensen & Yang (1998), ARPACK Users' Guide.
    """
    from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, eigsh

    from ntk_explorer.linalg._maps import apply, as_map  # not above: only callers need jax
    from ntk_explorer.linalg._scipy import Products

    checked = as_map(operator)
    n = checked.shape[0]
    if n == 1:
        raise InvalidInput("A 1 × 1 matrix is its own eigenvalue", "Take two examples or more.")
    check_count("k", k, 1, n - 1)
    rounding = float(getattr(operator, "rounding", np.finfo(checked.dtype).eps))

    products = Products(checked.shape, checked.dtype, lambda v: apply(checked, v))
    # The result does not depend on where the iteration starts; a fixed start makes it the same at each call.
    start = np.random.default_rng(0).normal(size=n).astype(checked.dtype)
    # Below the rounding of the products there is nothing to converge to.
    goal: Any = max(tolerance, rounding if rounding > np.finfo(checked.dtype).eps else 0.0)
    try:
        values, vectors = eigsh(products, k, which="LA", v0=start, tol=goal, maxiter=iterations)
    except ArpackNoConvergence as error:
        raise NotConverged(
            f"After {products.count} products {len(error.eigenvalues)} of {k} eigenvalues had converged",
            "Ask for fewer eigenvalues, a larger tolerance (for instance 1e-4) or more iterations.",
        ) from None
    except ArpackError as error:
        raise NotConverged(
            f"The iteration broke down after {products.count} products ({error})",
            "A map that is zero has no largest eigenvalue to converge to.",
        ) from None
    order = np.argsort(values)[::-1]
    values, vectors = values[order], vectors[:, order]
    residuals = np.linalg.norm(products.matmat(vectors) - vectors * values, axis=0)
    _require_small(residuals, max(abs(values[0]), abs(values[-1])), max(tolerance, rounding), n)
    return TopEigenvalues(values, vectors, residuals, products.count)


def _require_small(residuals, scale, rounding, n):
    """Residuals beyond √N roundings of the largest eigenvalue mean products of no symmetric matrix."""
    limit = 100 * max(n, 100) ** 0.5 * rounding * scale
    if not (residuals <= limit).all():
        raise NotConverged(
            f"Eigenvalues are known to ± {residuals.max():.2g} only, where rounding explains {limit:.2g}",
            "Check that the map is symmetric and finite; raise the precision of its products or the tolerance.",
        )
