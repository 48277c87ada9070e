"""Kernel regression in two steps, so that test examples can come a few at a time."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ntk_explorer.errors import InvalidInput
from ntk_explorer.spectra.eigen import flatten


def coefficients(kernel: np.ndarray, targets: np.ndarray, ridge: float) -> np.ndarray:
    """K⁻¹ Y for several Y [s, n, c]; K [n, n] or [n, n, c, c]."""
    matrix = flatten(kernel)
    matrix = matrix + ridge * np.trace(matrix) / len(matrix) * np.eye(len(matrix))
    s, n, c = targets.shape
    columns = targets.transpose(1, 0, 2).reshape(n, s * c) if kernel.ndim == 2 else targets.reshape(s, n * c).T
    try:
        solved = cho_solve(cho_factor(matrix, lower=True), columns)
    except np.linalg.LinAlgError:
        raise InvalidInput("The kernel is singular", "Set a ridge.") from None
    return solved.reshape(n, s, c).transpose(1, 0, 2) if kernel.ndim == 2 else solved.T.reshape(s, n, c)


def applied(rows: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Kernel rows [m, n] or [m, n, c, c] times coefficients [s, n, c]: [s, m, c]."""
    if rows.ndim == 2:
        return rows @ found
    m, n, c, _ = rows.shape
    return (found.reshape(len(found), n * c) @ rows.transpose(1, 3, 0, 2).reshape(n * c, m * c)).reshape(-1, m, c)
