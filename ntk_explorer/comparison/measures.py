"""Distances of a kernel K [n, m] from the eNTK Θ [n, m, c, c], never forming the lift K ⊗ I.

A measure tagged ``spectral`` takes the two spectra as well as the two kernels, so that eigenvalues which
are at hand are not computed again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ntk_explorer.comparison import MEASURES
from ntk_explorer.errors import InvalidInput
from ntk_explorer.spectra.eigen import eigenvalues, unwrap
from ntk_explorer.spectra.summaries import condition_number

# Rows of the eNTK are squared a few at a time, so that norms need this many numbers and not another eNTK.
CHUNK = 2**22


def block_error(kernel, entk):
    """Frobenius norm of every block of the residual: E_ij = ‖K_ij I − Θ_ij‖_F.

    Args:
        kernel: K [n, m], numpy, jax or xarray.
        entk: Θ [n, m, c, c].

    Returns:
        [n, m] norms, numpy, or jax when the eNTK is on an accelerator.

    Raises:
        InvalidInput: the shapes do not belong together.
    """
    kernel, entk = _pair(kernel, entk)
    identity = np.eye(entk.shape[2], dtype=bool)[None, None]
    return _norms(lambda rows: kernel[rows, :, None, None] * identity - entk[rows], entk)


def block_norm(entk):
    """Frobenius norm of every block, ‖Θ_ij‖_F: [n, m] from [n, m, c, c]."""
    entk = unwrap(entk)
    return _norms(lambda rows: entk[rows], entk)


def _norms(blocks: Callable[[slice], Any], entk):
    """Norms [n, m] of ``blocks(rows)`` [rows, m, c, c], for all rows of the eNTK."""
    xp = entk.__array_namespace__()
    step = max(1, CHUNK // max(1, math.prod(entk.shape[1:])))
    parts = (blocks(slice(start, start + step)) for start in range(0, entk.shape[0], step))
    return xp.concat([xp.sqrt(xp.sum(part * part, axis=(2, 3))) for part in parts], axis=0)


@MEASURES.register(
    "relative_frobenius",
    label="relative Frobenius error",
    axis="relative Frobenius error ‖K⊗I − Θ‖ / ‖Θ‖",
    equation=r"\lVert K \otimes I_O - \Theta \rVert_F \,/\, \lVert \Theta \rVert_F",
    reference="Mohamadi, Bae & Sutherland 2023",
    cost="O(n² c²)",
)
def relative_frobenius(kernel, entk) -> float:
    """Relative Frobenius error of a kernel's lift against the eNTK, ‖K ⊗ I − Θ‖_F / ‖Θ‖_F.

    The squares of the residual blocks K_ij I − Θ_ij are summed; nothing is expanded, so that small errors
    keep their digits.

    Args:
        kernel: K [n, m], one number per pair of examples; numpy, jax or xarray.
        entk: Θ [n, m, c, c], the eNTK of the same examples.

    Returns:
        The relative error, 0 for a perfect substitute; NaN when the eNTK is zero.

    Raises:
        InvalidInput: the shapes do not belong together, or a kernel holds NaN or infinite entries.
    """
    error = block_error(kernel, entk)
    xp = error.__array_namespace__()
    return _ratio(float(xp.linalg.vector_norm(error)), float(xp.linalg.vector_norm(block_norm(entk))))


@MEASURES.register(
    "largest_eigenvalue_error",
    label="largest-eigenvalue error",
    axis="largest-eigenvalue error |λ(K) − λ(Θ)| / λ(Θ)",
    equation=r"\lvert \lambda_{\max}(K) - \lambda_{\max}(\Theta) \rvert \,/\, \lambda_{\max}(\Theta)",
    reference="Mohamadi, Bae & Sutherland 2023",
    cost="O(n³ c³)",
    tags=("spectral",),
)
def largest_eigenvalue_error(kernel, entk) -> float:
    """Relative error of a kernel's largest eigenvalue, |λ_max(K) − λ_max(Θ)| / λ_max(Θ).

    For pNTK, trace and single logit the difference has one sign: λ_max(K) ≤ λ_max(Θ) (interlacing).

    Args:
        kernel: K [n, n], or its eigenvalues [n].
        entk: Θ [n, n, c, c], or its eigenvalues [n c].

    Returns:
        The relative error; NaN when the eNTK is zero.

    Raises:
        InvalidInput: a kernel is not one of a set of examples against itself, or not finite.
    """
    largest = float(_spectrum(entk)[0])
    return _ratio(abs(float(_spectrum(kernel)[0]) - largest), largest)


def distance_to_limit(kernel, limit) -> float:
    """Distance of a network's kernel from its limit of infinite width, relative to the limit.

        ‖Θ − Θ_∞ ⊗ I‖_F / ‖Θ_∞ ⊗ I‖_F   or, for one number per pair,   ‖K − Θ_∞‖_F / ‖Θ_∞‖_F

    The second is the first for the lift K ⊗ I. The limit is the scale, since it alone is free of chance.

    Args:
        kernel: Θ [n, m, c, c] or K [n, m]; numpy, jax or xarray.
        limit: Θ_∞ [n, m], from :func:`ntk_explorer.infinite.limits.infinite_ntk`.

    Returns:
        The relative distance; NaN when the limit is zero.

    Raises:
        InvalidInput: the shapes do not belong together, or a kernel holds NaN or infinite entries.
    """
    kernel = unwrap(kernel)
    blocks = kernel[:, :, None, None] if kernel.ndim == 2 else kernel
    error, scale = block_error(limit, blocks), np.asarray(unwrap(limit))
    xp, outputs = error.__array_namespace__(), blocks.shape[-1]
    return _ratio(float(xp.linalg.vector_norm(error)), math.sqrt(outputs) * float(np.linalg.vector_norm(scale)))


def condition_numbers(kernel, entk) -> tuple[float, float]:
    """Condition numbers κ = λ_max/λ_min of a kernel and of the eNTK; shown side by side, as no bound relates them.

    Args:
        kernel: K [n, n], or its eigenvalues [n].
        entk: Θ [n, n, c, c], or its eigenvalues [n c].

    Returns:
        (κ(K), κ(Θ)), infinite where the smallest eigenvalue is not positive.
    """
    return condition_number(np.asarray(_spectrum(kernel))), condition_number(np.asarray(_spectrum(entk)))


def _spectrum(kernel):
    array = unwrap(kernel)
    return array if array.ndim == 1 else eigenvalues(array)


def _pair(kernel, entk):
    kernel, entk = unwrap(kernel), unwrap(entk)
    if entk.ndim != 4 or entk.shape[2] != entk.shape[3]:
        raise InvalidInput(f"An eNTK of shape {entk.shape}", "Pass [n, m, c, c], the full kernel of entk(...).")
    if kernel.shape != entk.shape[:2]:
        raise InvalidInput(
            f"A kernel of shape {kernel.shape} cannot be compared with an eNTK of shape {entk.shape}",
            f"Pass both for the same examples: the kernel must be {entk.shape[:2]}.",
        )
    return entk.__array_namespace__().asarray(kernel), entk


def _ratio(error: float, scale: float) -> float:
    if not (math.isfinite(error) and math.isfinite(scale)):
        raise InvalidInput("A kernel holds NaN or infinite entries", "Check inputs, depth and weight variances.")
    return error / scale if scale > 0 else math.nan
