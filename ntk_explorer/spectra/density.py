"""How the eigenvalues of a kernel that is never formed are distributed."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from ntk_explorer.errors import InvalidInput
from ntk_explorer.linalg.estimates import gauss_quadrature
from ntk_explorer.spectra.eigen import noise_floor

SAMPLES, DEGREE, SMOOTHING, POINTS = 8, 60, 0.1, 400
MANY = 20  # eigenvalues per node: too many for the node to be one of them


def spectral_density(
    operator: Any,
    *,
    key: Any,
    samples: int = SAMPLES,
    degree: int | None = None,
    smoothing: float = SMOOTHING,
) -> xr.Dataset:
    """The density of eigenvalues on a logarithmic axis, by stochastic Lanczos quadrature.

    Each of ``samples`` random vectors gives nodes θ_i and weights w_i with Σ_i w_i f(θ_i) ≈ (1/N) tr f(K), and so
    the density Σ_i w_i N(log10 λ; log10 θ_i, σ_i²) per decade of λ. The large eigenvalues, which stand alone, come out
    one by one; among the small ones, which lie close, nodes stand for many. Such a node is spread as far as the next
    one is away: where its eigenvalues lie in between is not known, and no error bar shows it.

    Args:
        operator: a positive semi-definite matrix [N, N] or a ``kernel_operator``.
        key: a JAX random key.
        samples: random vectors; the error bars are over these.
        degree: products per random vector; 60, or N where that is less, when None.
        smoothing: σ in decades, the least that a node is spread.

    Returns:
        Dataset with ``density(eigenvalue)`` per decade and its ``standard_error``, ``nodes(probe, node)`` and
        ``weights(probe, node)``. Attributes: ``size`` N; ``noise_floor``, below which eigenvalues are rounding;
        ``below_floor``, the share of eigenvalues there, which the density leaves out, and
        ``below_floor_error``; ``samples``, ``degree``, ``smoothing``, ``dtype``, ``precision``.

    Raises:
        InvalidInput: numbers out of range, or a kernel that is zero.

    Source: Lin, Saad & Yang (2016); Ghorbani, Krishnan & Xiao (2019), An Investigation into Neural Net Optimization
    via Hessian Eigenvalue Density.
    """
    if not smoothing > 0:
        raise InvalidInput(f"smoothing is {smoothing}", "Give a positive number of decades, for instance 0.1.")
    size = int(operator.shape[0]) if getattr(operator, "shape", None) else len(operator)
    degree = min(DEGREE, size) if degree is None else degree
    nodes, weights = gauss_quadrature(operator, key=key, samples=samples, degree=degree)
    dtype, precision = str(getattr(operator, "dtype", "float64")), getattr(operator, "precision", "highest")
    floor = float(noise_floor(nodes.max(), size, dtype, precision))
    above = nodes > floor
    if not above.any():
        raise InvalidInput("The kernel is zero up to rounding", "Check the inputs and the parameters.")
    places = np.log10(np.where(above, nodes, floor))
    spread = np.where(weights * size > MANY, np.maximum(smoothing, _to_the_next(places, above)), smoothing)
    grid = _grid(places[above], spread[above])
    each = _smoothed(places, spread, np.where(above, weights, 0.0), grid)
    density, error = _mean_and_error(each)
    below, below_error = _mean_and_error(np.where(above, 0.0, weights).sum(axis=1))
    attrs = {
        "size": size,
        "noise_floor": floor,
        "below_floor": float(below),
        "below_floor_error": float(below_error),
        "samples": samples,
        "degree": degree,
        "smoothing": smoothing,
        "dtype": dtype,
        "precision": precision,
        "kernel": getattr(operator, "kernel", ""),
    }
    variables = {
        "density": ("eigenvalue", density, {"long_name": "share of eigenvalues per decade"}),
        "standard_error": ("eigenvalue", error),
        "nodes": (("probe", "node"), nodes),
        "weights": (("probe", "node"), weights),
    }
    return xr.Dataset(variables, {"eigenvalue": 10**grid}, attrs=attrs)


def _to_the_next(places: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Distance of each node to its nearest neighbour above the floor, by as much as smooths evenly spaced ones."""
    gaps = np.where(above[:, 1:] & above[:, :-1], np.diff(places, axis=1), np.inf)
    beyond = np.full((len(places), 1), np.inf)
    nearest = np.minimum(np.hstack([beyond, gaps]), np.hstack([gaps, beyond]))
    return np.where(np.isfinite(nearest), 0.7 * nearest, 0.0)


def _grid(places: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Points in log10 λ that hold all of every bump."""
    low, high = np.min(places - 4 * spread), np.max(places + 4 * spread)
    # At least four points per σ, so that sums over them are integrals.
    return np.linspace(low, high, max(POINTS, int(4 * (high - low) / spread.min())))


def _smoothed(places, spread, weights, grid):
    """One density [points] per random vector."""
    bumps = np.exp(-0.5 * ((grid - places[..., None]) / spread[..., None]) ** 2)
    return np.einsum("sd,sdp->sp", weights / (spread * np.sqrt(2 * np.pi)), bumps)


def _mean_and_error(values):
    """Over the first axis; with a single sample the error is unknown."""
    count = len(values)
    error = values.std(axis=0, ddof=1) / count**0.5 if count > 1 else np.full(values.shape[1:], np.nan)
    return values.mean(axis=0), error
