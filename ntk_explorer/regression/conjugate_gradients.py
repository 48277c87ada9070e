"""Conjugate gradients for many right-hand sides, preconditioned by the kernel's own largest eigenvectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ntk_explorer.regression.cholesky import NotPositive
from ntk_explorer.regression.systems import System

Map = Callable[[np.ndarray], np.ndarray]
RANK = 500  # vectors of the sketch: 200 MB for 50 000 unknowns, and one pass over the kernel


def conjugate_gradients(
    multiply: Map, b: np.ndarray, precondition: Map, *, tolerance: float, iterations: int
) -> tuple[np.ndarray, int]:
    """Solve A x = b for all columns of b [N, r], which share the products; also gives the number of products.

    Ends when every column's relative residual, as the recursion knows it, is below half of the tolerance, or after so
    many iterations; the caller measures the true one.

    Raises:
        NotPositive: vᵀ A v ≤ 0 for a direction v.

    Source: Hestenes & Stiefel (1952).
    """
    x, residual = np.zeros_like(b), b.copy()
    goal = tolerance / 2 * np.linalg.norm(b, axis=0)
    step = z = precondition(residual)
    power = np.sum(residual * z, axis=0)
    for iteration in range(iterations):
        going = np.linalg.norm(residual, axis=0) > goal
        if not going.any():
            return x, iteration
        image = multiply(step)
        curvature = np.sum(step * image, axis=0)
        if (curvature[going] <= 0).any():
            raise NotPositive
        rate = _ratio(power, curvature, going)
        x += rate * step
        residual = residual - rate * image  # a new array: the preconditioner may have returned the old one
        z = precondition(residual)
        before, power = power, np.sum(residual * z, axis=0)
        step = z + _ratio(power, before, going) * step
    return x, iterations


def nystroem(system: System, rank: int = RANK) -> Map:
    """An approximation of (K + ρI)⁻¹ that is exact on the largest eigenvalues, up to the scale of the rest.

        P⁻¹ v = v + U ((λ_r + ρ)/(Λ + ρ) − 1) Uᵀ v,   K ≈ U Λ Uᵀ of rank r from one product with a random matrix

    Raises:
        NotPositive: the kernel has negative eigenvalues.

    Source: Frangella, Tropp & Udell (2023), Randomized Nyström Preconditioning.
    """
    from scipy.linalg import LinAlgError, solve_triangular

    size, rank = system.size, min(rank, system.size // 4)
    if rank < 1:
        return lambda v: v
    # The solution does not depend on the sketch; a fixed one makes its bits the same at each call.
    sketch = np.linalg.qr(np.random.default_rng(0).normal(size=(size, rank)))[0]
    image = system.multiply(sketch) - system.shift * sketch
    shift = max(system.rounding, float(np.finfo(float).eps)) * float(np.linalg.norm(image))
    image += shift * sketch  # keeps the small matrix positive definite; taken off again below
    try:
        root = np.linalg.cholesky(sketch.T @ image)
    except LinAlgError:
        raise NotPositive from None
    basis, singular, _ = np.linalg.svd(solve_triangular(root, image.T, lower=True).T, full_matrices=False)
    values = np.maximum(singular**2 - shift, shift) + system.shift
    weights = (values[-1] / values - 1)[:, None]
    return lambda v: v + basis @ (weights * (basis.T @ v))


def _ratio(above: np.ndarray, below: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Columns that are finished stay where they are."""
    return np.divide(above, below, out=np.zeros_like(above), where=where)
