"""The kernel of the training examples as solvers see it: K + ρI, by rows or by its products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntk_explorer.errors import InvalidInput

# Bytes of rows that are read and turned into float64 at a time.
PART = 2**27


@dataclass(frozen=True, eq=False)
class System:
    """K + ρI of N = n c unknowns; ``source`` is the kernel as it was given, ``rounding`` that of its entries."""

    source: Any
    n: int
    outputs: int
    shift: float
    rounding: float

    @property
    def size(self) -> int:
        """N."""
        return self.n * self.outputs

    @property
    def has_rows(self) -> bool:
        """Whether single entries can be read; of an operator only products are known."""
        return not _is_operator(self.source)

    def parts(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Rows of K, float64 [b, N], as many at a time as fit into ``PART``."""
        return row_parts(self.source)

    def matrix(self) -> np.ndarray:
        """K + ρI, float64 [N, N], a copy in any case."""
        whole = np.empty((self.size, self.size))
        for rows, part in self.parts():
            whole[rows] = part
            _require_finite(part)
        whole[np.diag_indices(self.size)] += self.shift
        return whole

    def multiply(self, v: np.ndarray) -> np.ndarray:
        """(K + ρI) V for the columns of V [N, r]."""
        if self.has_rows:
            product = np.concatenate([part @ v for _, part in self.parts()])
        else:
            product = np.asarray(self.source.matmat(v), float)
        _require_finite(product)
        return product + self.shift * v


def read_system(kernel: Any, n: int, ridge: float) -> System:
    """Check a kernel of n examples with themselves.

    Args:
        kernel: [n, n], or blocks [n, n, c, c]; numpy, jax, xarray or Zarr, of which rows are read where they are
            needed; or a :class:`~ntk_explorer.kernels.operator.KernelOperator`.
        n: examples.
        ridge: ρ in units of the mean of the kernel's diagonal.

    Raises:
        InvalidInput: the shape is not that of n examples, the diagonal is not finite, or the ridge is negative.
    """
    if not (np.isfinite(ridge) and ridge >= 0):
        raise InvalidInput(f"ridge is {ridge}", "Give 0 or more, in units of the kernel's mean diagonal entry.")
    source = as_source(kernel)
    shape, rounding = tuple(source.shape), _rounding(source)
    outputs = shape[2] if len(shape) == 4 else shape[0] // max(n, 1) if _is_operator(source) else 1
    expected = (n * outputs,) * 2 if _is_operator(source) else (n, n, outputs, outputs)[: len(shape)]
    if len(shape) not in (2, 4) or shape != expected or n < 1:
        raise InvalidInput(
            f"A kernel of shape {shape} for {n} training examples", "Pass [n, n] or [n, n, c, c] for targets y [n, c]."
        )
    diagonal = _diagonal(source)
    _require_finite(diagonal)
    return System(source, n, outputs, ridge * float(diagonal.mean()), rounding)


def as_source(kernel: Any) -> Any:
    """Anything with a shape, as it is; else an array of numbers."""
    return kernel if hasattr(kernel, "shape") else np.asarray(kernel, float)


def row_parts(source: Any) -> Iterator[tuple[slice, np.ndarray]]:
    """Rows of [m, n] or [m, n, c, d] as a float64 matrix [m c, n d], examples outer, some at a time."""
    outputs, chunk = source.shape[2] if len(source.shape) == 4 else 1, _chunk(source)
    # Whole chunks of an array on disk: each is read once.
    step = max(chunk, PART // (8 * int(np.prod(source.shape[1:]))) // chunk * chunk)
    for start in range(0, source.shape[0], step):
        part = np.asarray(source[start : start + step])
        if part.ndim == 4:
            part = part.transpose(0, 2, 1, 3).reshape(len(part) * outputs, -1)
        yield slice(start * outputs, start * outputs + len(part)), part.astype(float, copy=False)


def _chunk(source: Any) -> int:
    """Rows that an array on disk reads together."""
    chunks = getattr(source, "encoding", {}).get("chunks") or getattr(source, "chunks", None) or (1,)
    return int(chunks[0]) if isinstance(chunks[0], int) else 1


def _diagonal(source: Any) -> np.ndarray:
    if _is_operator(source):
        return np.asarray(source.diagonal(), float)
    return np.concatenate([part[np.arange(len(part)), np.r_[rows]] for rows, part in row_parts(source)])


def _is_operator(source: Any) -> bool:
    return hasattr(source, "matmat") and hasattr(source, "diagonal") and not hasattr(source, "__array__")


def _require_finite(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise InvalidInput("The kernel holds NaN or infinite entries", "Check inputs, depth and weight variances.")


def _rounding(source: Any) -> float:
    """Relative rounding of what the kernel was computed in."""
    if _is_operator(source):
        return float(source.rounding)
    dtype = np.dtype(source.dtype)
    if dtype.kind not in "fiubV":
        raise InvalidInput(f"A kernel of {dtype} values", "Pass real numbers.")
    return float(np.finfo(dtype).eps) if dtype.name in ("float32", "float16") else float(np.finfo(float).eps)
