"""How far a kernel has moved, and how well it fits what is to be learned; numpy or jax, without the lift K ⊗ I."""

from __future__ import annotations

import math

import numpy as np

from ntk_explorer.comparison.measures import block_norm
from ntk_explorer.errors import InvalidInput
from ntk_explorer.spectra.eigen import unwrap


def drift(kernel, initial) -> float:
    """How far a kernel has moved since initialisation, ‖K_t − K_0‖_F / ‖K_0‖_F.

    Args:
        kernel: K_t [n, m], or Θ_t [n, m, c, c]; numpy, jax or xarray.
        initial: K_0 of the same shape.

    Returns:
        The relative distance, 0 for a lazy network; NaN when K_0 is zero.

    Raises:
        InvalidInput: the shapes differ.

    Source: Fort, Dziugaite, Paul, Kharaghani, Roy & Ganguli (2020), Deep Learning versus Kernel Learning.
    """
    kernel, initial = unwrap(kernel), unwrap(initial)
    if kernel.shape != initial.shape:
        raise InvalidInput(
            f"Kernels of shapes {kernel.shape} and {initial.shape} have no distance", "Pass both for the same examples."
        )
    xp = kernel.__array_namespace__()
    scale = float(xp.linalg.vector_norm(initial))
    return float(xp.linalg.vector_norm(kernel - initial)) / scale if scale > 0 else math.nan


def alignment(kernel, targets) -> float:
    """Alignment of a kernel with the targets, both centred over the examples (CKA with the kernel of the targets).

        A(K, Y) = ⟨HKH, YYᵀ⟩_F / (‖HKH‖_F ‖HYYᵀH‖_F),   H = I − 11ᵀ/n,

    and of the eNTK that with the lift YYᵀ ⊗ I, which a kernel's own lift K ⊗ I would share with K:

        A(Θ, Y) = √c ⟨H tr(Θ) H, YYᵀ⟩_F / (‖(H⊗I) Θ (H⊗I)‖_F ‖HYYᵀH‖_F),   tr(Θ)_ij = tr(Θ_ij)/c.

    Args:
        kernel: K [n, n], or the eNTK Θ [n, n, c, c]; numpy, jax or xarray.
        targets: Y [n, c], one-hot labels or the targets of a regression.

    Returns:
        Between 0 and 1 for a kernel without negative eigenvalues; NaN for a constant kernel or constant targets.

    Raises:
        InvalidInput: the shapes do not belong together.

    Source: Cristianini, Shawe-Taylor, Elisseeff & Kandola (2001), On Kernel-Target Alignment; Cortes, Mohri &
    Rostamizadeh (2012), Algorithms for Learning Kernels Based on Centered Alignment.
    """
    kernel, targets = unwrap(kernel), np.asarray(targets, float)
    if targets.ndim != 2 or kernel.shape[:2] != (len(targets), len(targets)):
        raise InvalidInput(
            f"A kernel of shape {kernel.shape} cannot be aligned with targets of shape {targets.shape}",
            "Pass the kernel of a set of examples against itself, and targets [n, c] of the same.",
        )
    kernel = _centred(kernel)
    if kernel.ndim == 4:
        outputs, norms = kernel.shape[-1], block_norm(kernel)
        traces = kernel.__array_namespace__().einsum("ijkk->ij", kernel) / outputs
    else:
        outputs, norms, traces = 1, kernel, kernel
    targets = targets - targets.mean(axis=0)
    ideal = targets @ targets.T
    size = float(np.linalg.vector_norm(np.asarray(norms))) * float(np.linalg.vector_norm(ideal))
    return math.sqrt(outputs) * float(np.sum(np.asarray(traces) * ideal)) / size if size > 0 else math.nan


def _centred(kernel):
    """HKH, block by block."""
    xp = kernel.__array_namespace__()
    kernel = kernel - xp.mean(kernel, axis=0, keepdims=True)
    return kernel - xp.mean(kernel, axis=1, keepdims=True)
