"""Cholesky factorisation of K + ρI, on the host or on an accelerator."""

from __future__ import annotations

import numpy as np

from ntk_explorer.regression.systems import System


class NotPositive(Exception):
    """K + ρI is not positive definite up to rounding."""


def on_host(system: System, b: np.ndarray) -> np.ndarray:
    """Solve by LAPACK, in one copy of the matrix."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve  # not above: a tenth of a second to import

    matrix = system.matrix()
    floor = _floor(system, matrix)
    try:
        # The transpose has the order of columns that LAPACK works in, so nothing is copied.
        factor = cho_factor(matrix.T, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        raise NotPositive from None
    _require_pivots(np.diagonal(factor[0]), floor)
    return cho_solve(factor, b, check_finite=False)


def on_device(system: System, b: np.ndarray) -> np.ndarray:
    """Solve on the accelerator, in a copy of the matrix and its factor."""
    import jax  # not above: small systems need no jax
    from jax.scipy.linalg import cho_factor, cho_solve

    matrix = system.matrix()
    floor = _floor(system, matrix)
    with jax.enable_x64(True):
        held = jax.device_put(matrix)
        del matrix
        factor = cho_factor(held, lower=True)
        held.delete()
        _require_pivots(np.asarray(jax.numpy.diagonal(factor[0])), floor)
        return np.asarray(cho_solve(factor, jax.numpy.asarray(b)))


def _floor(system: System, matrix: np.ndarray) -> float:
    """What rounding makes of a pivot that is zero: in the factorisation, and in the entries that came in."""
    rounding = system.size * np.finfo(float).eps + 10 * system.rounding
    return rounding * float(np.diagonal(matrix).max())


def _require_pivots(diagonal: np.ndarray, floor: float) -> None:
    # A factorisation that failed on an accelerator holds NaN, which no comparison finds large.
    if not (diagonal**2 > floor).all():
        raise NotPositive
