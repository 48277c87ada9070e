"""Kernel regression: what training of the linearised network on the squared loss ends in."""

from __future__ import annotations

from typing import Any

import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.regression.solve import solve
from ntk_explorer.regression.systems import as_source, read_system, row_parts


def kernel_regression(
    k_train: Any,
    y: Any,
    k_test: Any,
    *,
    f0_train: Any = None,
    f0_test: Any = None,
    ridge: float = 0.0,
    solver: str = "auto",
    tolerance: float = 1e-8,
) -> np.ndarray:
    """Kernel regression on the squared loss, in float64.

        f(x) = f_0(x) + K(x, X) (K(X, X) + ρI)⁻¹ (Y − f_0(X)),   ρ = ridge · mean of the diagonal of K(X, X)

    One number per pair of examples stands for K ⊗ I: all outputs share one factorisation. With the eNTK's blocks the
    system has n c unknowns, examples outer. Without f_0 it is zero, which is another estimator. Without ridge nothing
    depends on the kernel's scale; with a ridge, given in units of the mean diagonal entry of the kernel at hand, it
    does, and what is proved of the pNTK does not hold.

    Args:
        k_train: kernel of the training examples [n, n], or blocks [n, n, c, c]: numpy, jax, or an xarray or Zarr array
            on disk, read by rows where it does not fit in memory; or a ``kernel_operator``.
        y: targets [n, c], one-hot rows for classes; [n] real numbers count as [n, 1].
        k_test: kernel of test with training examples, [m, n] or [m, n, c, c].
        f0_train: the network's outputs for the training examples [n, c], at the parameters of the kernel.
        f0_test: its outputs for the test examples [m, c].
        ridge: 0 or more.
        solver: as for :func:`~ntk_explorer.regression.solve.solve`.
        tolerance: relative residual of conjugate gradients.

    Returns:
        Predictions [m, c], numpy float64.

    Raises:
        InvalidInput: shapes that do not belong together, classes instead of one-hot rows, NaN, a negative ridge, only
            one of f0_train and f0_test; a singular kernel, with the pair of examples that makes it so.
        NotConverged: conjugate gradients did not reach the tolerance.
        TooLarge: a factorisation was asked for that does not fit in memory.

    Example:
        >>> kernel_regression([[2.0, 0.0], [0.0, 1.0]], [[1.0], [3.0]], [[1.0, 1.0]])
        array([[3.5]])

    Source: Jacot, Gabriel & Hongler (2018), Neural Tangent Kernel; Mohamadi, Bae & Sutherland (2023), A Fast,
    Well-Founded Approximation to the Empirical Neural Tangent Kernel.
    """
    y = as_targets(y, "y")
    if (f0_train is None) != (f0_test is None):
        raise InvalidInput("Only one of f0_train and f0_test is given", "Give both, or neither.")
    if f0_train is None:
        return applied(k_test, coefficients(k_train, y, ridge=ridge, solver=solver, tolerance=tolerance))
    f0_train, f0_test = as_targets(f0_train, "f0_train"), as_targets(f0_test, "f0_test")
    require_shape("f0_train", f0_train, y.shape)
    require_shape("f0_test", f0_test, (as_source(k_test).shape[0], y.shape[1]))
    return f0_test + applied(
        k_test, coefficients(k_train, y - f0_train, ridge=ridge, solver=solver, tolerance=tolerance)
    )


def coefficients(
    k_train: Any, targets: Any, *, ridge: float = 0.0, solver: str = "auto", tolerance: float = 1e-8
) -> np.ndarray:
    """(K + ρI)⁻¹ Y, for one Y [n, c] or several [s, n, c] with one factorisation; the other half is :func:`applied`.

    Arguments and errors as for :func:`kernel_regression`.

    Returns:
        Of the shape of ``targets``.
    """
    targets = np.asarray(targets, float)
    if targets.ndim not in (2, 3) or not targets.size or not np.isfinite(targets).all():
        raise InvalidInput(f"Targets of shape {targets.shape}", "Pass real, finite numbers [n, c] or [s, n, c].")
    several = targets if targets.ndim == 3 else targets[None]
    s, n, c = several.shape
    system = read_system(k_train, n, ridge)
    if system.outputs == 1:
        columns = several.transpose(1, 0, 2).reshape(n, s * c)
        found = solve(system, columns, solver=solver, tolerance=tolerance).x.reshape(n, s, c).transpose(1, 0, 2)
    elif system.outputs == c:
        columns = several.reshape(s, n * c).T
        found = solve(system, columns, solver=solver, tolerance=tolerance).x.T.reshape(s, n, c)
    else:
        raise InvalidInput(
            f"A kernel with blocks of {system.outputs} × {system.outputs} for targets of {c} outputs",
            "Pass targets [n, c], one-hot rows for classes.",
        )
    return found.reshape(targets.shape)


def applied(k_test: Any, found: np.ndarray) -> np.ndarray:
    """K(x, X) times coefficients: [m, c] from [n, c], [s, m, c] from [s, n, c]; the kernel is read by rows.

    Raises:
        InvalidInput: the kernel [m, n] or [m, n, c, c] does not fit the coefficients, or is not finite.
    """
    source, several = as_source(k_test), found if found.ndim == 3 else found[None]
    s, n, c = several.shape
    blocks = len(source.shape) == 4
    if tuple(source.shape[1:]) != ((n, c, c) if blocks else (n,)):
        raise InvalidInput(
            f"A kernel of test examples of shape {tuple(source.shape)} for {n} training examples and {c} outputs",
            "Pass [m, n] or [m, n, c, c], rows for test and columns for training examples.",
        )
    columns = several.reshape(s, n * c).T if blocks else several.transpose(1, 0, 2).reshape(n, s * c)
    product = np.concatenate([part @ columns for _, part in row_parts(source)])
    if not np.isfinite(product).all():
        raise InvalidInput("The kernel of test examples holds NaN or infinite entries", "Check inputs and depth.")
    shaped = product.T.reshape(s, -1, c) if blocks else product.reshape(-1, s, c).transpose(1, 0, 2)
    return shaped if found.ndim == 3 else shaped[0]


def as_targets(y: Any, name: str) -> np.ndarray:
    """Targets or outputs as float64 [n, c].

    Raises:
        InvalidInput: classes instead of one-hot rows, another shape, NaN.
    """
    array = np.asarray(y)
    if array.ndim == 1 and array.dtype.kind in "iu":
        raise InvalidInput(
            f"{name} holds whole numbers of shape {array.shape}, which may be classes or targets",
            "Pass classes as one-hot rows, np.eye(c)[y], and targets as [n, 1].",
        )
    array = array.astype(float)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim != 2 or not array.size or not np.isfinite(array).all():
        raise InvalidInput(f"{name} of shape {array.shape}", "Pass real, finite numbers [n, c].")
    return array


def require_shape(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Refuse targets or outputs of another shape than the kernels and the others have."""
    if array.shape != shape:
        raise InvalidInput(f"{name} has shape {array.shape}", f"It has to be {shape}, as the targets and kernels.")
