"""From a kernel, in either of its two forms, to its eigenvalues."""

from __future__ import annotations

import numpy as np
import xarray as xr

from ntk_explorer.errors import InvalidInput, TooLarge
from ntk_explorer.linalg.rounding import unit_rounding

HOST_MEMORY = 1  # kDLCPU of the DLPack standard
DENSE_LIMIT = 20_000  # 72 TFLOP and four times 3.2 GB in float64; the largest eigenvalues alone take seconds
EVD_LIMIT = 32_766  # from the next size on, 1 + 6n + 2n² overflows a 32-bit integer
GPU_BYTES = 2**31  # of the matrix; jax issue 33062


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


def eigenvalues(kernel, *, dense: bool = False):
    """All eigenvalues of a kernel, λ_1 ≥ λ_2 ≥ … ≥ λ_N.

    The matrix is symmetrised, (K + Kᵀ)/2, before its eigenvalues are taken. They are computed on the device
    that holds the array, in its precision, by the method that :func:`choose_solver` names.

    Args:
        kernel: [n, n], or the eNTK [n, n, c, c], which is read as the (n c) × (n c) matrix with samples
            outer and outputs inner; numpy, jax or xarray.
        dense: all eigenvalues, whatever their number: 9 N³ operations and four times the memory of the matrix.

    Returns:
        [N] eigenvalues in descending order, N = n or n c: numpy, or jax when the kernel is on an accelerator.

    Raises:
        InvalidInput: the shape is not that of a kernel of a set against itself, an entry is NaN or
            infinite, or the matrix is far from symmetric.
        TooLarge: more than 20,000 of them, without ``dense``.
    """
    matrix = flatten(kernel)
    solver = choose_solver(len(matrix), matrix.dtype.name, platform_of(matrix), dense=dense)
    if solver == "lanczos":
        raise TooLarge(
            f"All {len(matrix)} eigenvalues would take about {9e-12 * len(matrix) ** 3:.0f} TFLOP",
            "Take the largest with top_eigenvalues or the shape of all with spectral_density; or insist: dense=True.",
        )
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
    return xp.flip(_SOLVERS[solver]((matrix + matrix.T) / 2))


def platform_of(array) -> str:
    """``cpu`` for what lies in host memory, ``gpu`` for what lies on an accelerator."""
    return "cpu" if array.__dlpack_device__()[0] == HOST_MEMORY else "gpu"


def choose_solver(n: int, dtype: str, platform: str, *, dense: bool = False) -> str:
    """How to take eigenvalues of an n × n matrix: ``own``, ``host``, ``host-evr`` or, from 20,001 on, ``lanczos``.

    Solvers count their workspace in 32-bit integers, so that each has a size at which it fails: LAPACK's
    divide and conquer on a host from n = 32,767 on (its successor ``evr`` needs less workspace), cuSOLVER on a GPU
    above n² numbers of 2 GiB.

    Args:
        n: rows of the matrix.
        dtype: ``float64`` or ``float32``.
        platform: ``cpu`` or ``gpu``, where the matrix lies.
        dense: never ``lanczos``.

    Returns:
        ``own``: the array library that made the matrix. ``host``: numpy, after a copy. ``host-evr``: SciPy's evr.
        ``lanczos``: all eigenvalues are too many.
    """
    if n > DENSE_LIMIT and not dense:
        return "lanczos"
    if n > EVD_LIMIT:
        return "host-evr"
    if platform != "cpu" and n * n * np.dtype(dtype).itemsize > GPU_BYTES:
        return "host"
    return "own"


def _own(symmetric):
    return symmetric.__array_namespace__().linalg.eigvalsh(symmetric)


def _host(symmetric):
    return symmetric.__array_namespace__().asarray(np.linalg.eigvalsh(np.asarray(symmetric)))


def _host_evr(symmetric):
    from scipy.linalg import eigh  # not above: seldom needed, and a tenth of a second to import

    values = eigh(np.asarray(symmetric), eigvals_only=True, driver="evr", overwrite_a=True, check_finite=False)
    return symmetric.__array_namespace__().asarray(values)


_SOLVERS = {"own": _own, "host": _host, "host-evr": _host_evr}


def noise_floor(largest, count, dtype, precision: str | None = "highest"):
    """N·ε·λ_1: eigenvalues of an N × N kernel below it are what rounding left, down to their sign.

    Args:
        largest: λ_1, a number or an array.
        count: N.
        dtype: of the kernel's entries.
        precision: of the matrix products that made them, as for the kernel functions; products in TF32 (5e-4)
            or bfloat16 (4e-3) raise the floor.

    Returns:
        The floor, of the shape of ``largest``.
    """
    return count * unit_rounding(dtype, precision) * largest
