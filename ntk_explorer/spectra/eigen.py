"""From a kernel, in either of its two forms, to its eigenvalues."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ntk_explorer.errors import InvalidInput

HOST_MEMORY = 1  # kDLCPU of the DLPack standard


def unwrap(kernel):
    """The real floating-point array inside a DataArray, a jax array or a nested list.

    What lies in host memory becomes a numpy array (without a copy), whatever library made it: LAPACK is
    faster there than an accelerator's compiler, and float64 stays float64 when JAX's x64 mode is off.
    """
    array = kernel.data if isinstance(kernel, xr.DataArray) else kernel
    if not hasattr(array, "__dlpack_device__") or array.__dlpack_device__()[0] == HOST_MEMORY:
        array = np.asarray(array)
    if array.dtype.name in ("float64", "float32"):
        return array
    if array.dtype.kind not in "fiubV":
        raise InvalidInput(f"A kernel of {array.dtype} values has no real spectrum", "Pass real numbers.")
    return array.astype(float)


def flatten(kernel):
    """One square matrix: [n, n] as it is, [n, n, c, c] as [n c, n c] with samples outer and outputs inner."""
    array = unwrap(kernel)
    shape = array.shape
    if array.ndim not in (2, 4) or shape[0] != shape[1] or shape[2:3] != shape[3:4]:
        raise InvalidInput(
            f"A kernel of shape {shape} has no eigenvalues",
            "Pass [n, n], or the eNTK [n, n, c, c], of a set of examples against itself.",
        )
    if 0 in shape:
        raise InvalidInput(f"A kernel of shape {shape} holds nothing", "Pass at least one example.")
    if array.ndim == 2:
        return array
    return array.__array_namespace__().permute_dims(array, (0, 2, 1, 3)).reshape(shape[0] * shape[2], -1)


def eigenvalues(kernel):
    """All eigenvalues of a kernel, λ_1 ≥ λ_2 ≥ … ≥ λ_N.

    The matrix is symmetrised, (K + Kᵀ)/2, before its eigenvalues are taken. They are computed on the device
    that holds the array, in its precision.

    Args:
        kernel: [n, n], or the eNTK [n, n, c, c], which is read as the (n c) × (n c) matrix with samples
            outer and outputs inner; numpy, jax or xarray.

    Returns:
        [N] eigenvalues in descending order, N = n or n c: numpy, or jax when the kernel is on an accelerator.

    Raises:
        InvalidInput: the shape is not that of a kernel of a set against itself, an entry is NaN or
            infinite, or the matrix is far from symmetric.
    """
    matrix = flatten(kernel)
    xp = matrix.__array_namespace__()
    if not bool(xp.all(xp.isfinite(matrix))):
        raise InvalidInput("The kernel holds NaN or infinite entries", "Check inputs, depth and weight variances.")
    # Beyond rounding, asymmetry means x1 against another x2, or outputs and samples in the wrong order.
    asymmetry = float(xp.max(xp.abs(matrix - matrix.T)))
    if asymmetry > float(xp.finfo(matrix.dtype).eps) ** 0.5 * float(xp.max(xp.abs(matrix))):
        raise InvalidInput(
            f"The kernel is not symmetric: entries differ from their mirror images by up to {asymmetry:.2g}",
            "Take the spectrum of a set of examples against itself.",
        )
    symmetric = (matrix + matrix.T) / 2
    return xp.flip(xp.linalg.eigvalsh(symmetric))


def rounding_floor(largest, count, dtype):
    """N·ε·λ_1: eigenvalues of an N × N matrix below it are what rounding left, down to their sign."""
    return count * np.finfo(dtype).eps * largest
