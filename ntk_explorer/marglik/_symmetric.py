"""Log-determinants, inverses and spectra of stacks of positive semi-definite matrices, in double precision."""

from __future__ import annotations

import numpy as np

# Rounding in a kernel of trace t is about ε t; beside the identity of I + K it must stay small.
_RESOLVED = 1e-2


def eigenvalues(matrices: np.ndarray) -> np.ndarray:
    """Eigenvalues [t, m] of positive semi-definite matrices [t, m, m]; what rounding made negative is zero."""
    return np.maximum(np.linalg.eigvalsh(matrices), 0)


def trace(matrices: np.ndarray) -> float:
    """The largest trace among matrices [t, m, m]."""
    return float(np.trace(matrices, axis1=1, axis2=2).max(initial=0.0))


def resolved(trace_of_kernel: float) -> bool:
    """Whether I + K is more than rounding: false where the identity is lost beside K, and for what overflowed."""
    return trace_of_kernel * np.finfo(float).eps < _RESOLVED


def log_determinant(matrices: np.ndarray, *, inverse: bool = False) -> tuple[float, np.ndarray | None]:
    """Σ_t log|I + K_t| of stacks [t, m, m], and the inverses of I + K_t [t, m, m] if wanted.

    Every eigenvalue of I + K is at least 1, so that its Cholesky factor needs no jitter.
    """
    t, m, _ = matrices.shape
    shifted = (matrices + matrices.swapaxes(1, 2)) / 2 + np.eye(m)[None]
    if t > 1:
        factors = np.linalg.cholesky(shifted)
        total = 2 * np.log(np.diagonal(factors, axis1=1, axis2=2)).sum()
        return float(total), np.linalg.inv(shifted) if inverse else None
    from scipy.linalg import get_lapack_funcs  # not above: a tenth of a second to import

    # LAPACK's own pair takes a third of the operations of a general inverse, and fills one triangle.
    factorise, invert = get_lapack_funcs(("potrf", "potri"), (shifted,))
    factor, failed = factorise(shifted[0].T, lower=True, overwrite_a=True)
    if failed:
        raise np.linalg.LinAlgError("I + K is not positive definite")
    total = 2 * np.log(np.diagonal(factor)).sum()
    if not inverse:
        return float(total), None
    lower = np.tril(invert(factor, lower=True, overwrite_c=True)[0])
    return float(total), (lower + np.tril(lower, -1).T)[None]


def solve_shifted(kernel: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(I + K)⁻¹ b for K [m, m] and b [m] or [m, r]."""
    from scipy.linalg import cho_factor, cho_solve  # not above: a tenth of a second to import

    factor = cho_factor(kernel + np.eye(len(kernel)), lower=True, overwrite_a=True, check_finite=False)
    return cho_solve(factor, right, check_finite=False)
