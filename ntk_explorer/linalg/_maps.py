"""What every method here starts from: a checked linear map, and its product with one vector as JAX sees it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from ntk_explorer.errors import InvalidInput


class LinearMap(Protocol):
    """A symmetric N × N map; ``product(held, v[N, r]) -> [N, r]`` is hashable and can be traced."""

    @property
    def shape(self) -> tuple[int, int]:
        """(N, N)."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Of vectors and products."""
        ...

    @property
    def product(self) -> Callable[[Any, Any], Any]:
        """Of the map with the columns of v."""
        ...

    @property
    def held(self) -> Any:
        """The arrays that ``product`` computes with."""
        ...


class Dense(NamedTuple):
    """A matrix that fits in memory, as a map."""

    held: Any
    shape: tuple[int, int]
    dtype: np.dtype

    @staticmethod
    def product(held, v):
        """The matrix times the columns of v."""
        return jnp.matmul(held, v, precision="highest")


def as_map(operator: Any) -> LinearMap:
    """The map itself, or the map of a symmetric matrix.

    Raises:
        InvalidInput: no square matrix of real, finite numbers that equals its transpose up to rounding.
    """
    if hasattr(operator, "product") and hasattr(operator, "held"):
        return operator
    matrix = np.asarray(getattr(operator, "data", operator) if hasattr(operator, "dims") else operator)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise InvalidInput(
            f"A matrix of shape {matrix.shape} has no eigenvalues", "Pass a square matrix [N, N] or a kernel_operator."
        )
    if matrix.dtype.kind not in "fiu":
        raise InvalidInput(f"A matrix of {matrix.dtype} values has no real spectrum", "Pass real numbers.")
    if matrix.dtype.name != "float32":
        matrix = matrix.astype(np.float64)
    if not np.isfinite(matrix).all():
        raise InvalidInput("The matrix holds NaN or infinite entries", "Check inputs, depth and weight variances.")
    asymmetry = float(np.abs(matrix - matrix.T).max())
    if asymmetry > float(np.finfo(matrix.dtype).eps) ** 0.5 * float(np.abs(matrix).max()):
        raise InvalidInput(
            f"The matrix is not symmetric: entries differ from their mirror images by up to {asymmetry:.2g}",
            "Take the kernel of a set of examples against itself.",
        )
    return Dense(matrix, matrix.shape, matrix.dtype)


def in_precision_of(operator: LinearMap):
    """Double precision for maps that are double, whatever JAX's setting is when they are used."""
    return jax.enable_x64(True) if np.dtype(operator.dtype) == np.float64 else nullcontext()


def apply(operator: LinearMap, v: np.ndarray) -> np.ndarray:
    """The product with a vector [N] or with columns [N, r]."""
    with in_precision_of(operator):
        columns = jnp.asarray(v, operator.dtype).reshape(operator.shape[0], -1)
        return np.asarray(_apply(operator.product, operator.held, columns)).reshape(v.shape)


_apply = jax.jit(lambda product, held, v: product(held, v), static_argnums=0)


def one_by_one(product: Callable) -> Callable:
    """``(v[N], held) -> [N]``, which under ``vmap`` becomes one product with all columns.

    A product may take many columns in several passes to keep within memory; batching it from outside would
    undo that.
    """

    @jax.custom_batching.custom_vmap
    def matvec(v, held):
        return product(held, v[:, None])[:, 0]

    @matvec.def_vmap
    def _(_size, in_batched, v, held):
        if any(jax.tree.leaves(in_batched[1])):
            raise NotImplementedError("one map at a time")
        return product(held, v.T).T, True

    return matvec
