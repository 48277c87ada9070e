"""Cosine and centring of matrices that are there already, of numpy or of JAX, labelled or not."""

from __future__ import annotations

import sys
from typing import Any

from ntk_explorer.errors import InvalidInput


def cosine_matrix(kernel: Any, diagonal1: Any = None, diagonal2: Any = None) -> Any:
    """K_ij / √(d_i d'_j); a diagonal that is not given is the matrix's own, or that of the rows."""
    matrix = _matrix(kernel)
    first = own_diagonal(matrix) if diagonal1 is None else diagonal1
    second = first if diagonal2 is None else diagonal2
    _require_shape(matrix, len(first), len(second))
    return _like(kernel, over_lengths(matrix, own_lengths(first), own_lengths(second)))


def centred_matrix(kernel: Any, columns: Any = None) -> Any:
    """The kernel about the mean of the columns' examples, whose own kernel is ``columns``."""
    matrix = _matrix(kernel)
    square = matrix if columns is None else _matrix(columns)
    _require_shape(square, len(square), len(square))
    _require_shape(matrix, len(matrix), len(square))
    centred = matrix - matrix.mean(axis=1)[:, None] - square.mean(axis=0)[None, :] + square.mean()
    return _like(kernel, centred)


def own_diagonal(kernel: Any) -> Any:
    """The diagonal of a square matrix."""
    matrix = _matrix(kernel)
    _require_shape(matrix, len(matrix), len(matrix))
    return matrix.diagonal()


def own_lengths(diagonal: Any) -> Any:
    """√K(x, x) of every example.

    Raises:
        InvalidInput: one of them is zero or not a number.
    """
    if not _is_traced(diagonal) and not bool((diagonal > 0).all()):
        wrong = ~(diagonal > 0)
        raise InvalidInput(
            f"K(x, x) is not positive for {int(wrong.sum())} of {len(diagonal)} examples, "
            f"first for example {int(wrong.argmax())} of these, and what has no length has no direction",
            "Leave these examples out, or use the kernel without cosine.",
        )
    return diagonal**0.5


def over_lengths(values: Any, rows: Any, columns: Any) -> Any:
    """Entries divided by the lengths of both examples; of shares, each of them."""
    if isinstance(values, dict):
        return {name: over_lengths(share, rows, columns) for name, share in values.items()}
    return values / (rows[:, None] * columns[None, :])


def _matrix(values) -> Any:
    """The array of a matrix, labelled or not."""
    array = getattr(values, "values", values)  # of a labelled array
    if getattr(array, "ndim", None) != 2:
        raise InvalidInput(
            f"This takes matrices [n, m], not {'blocks' if getattr(array, 'ndim', 0) == 4 else type(values).__name__}",
            "Use a kernel with one number per pair of examples, such as pntk or trntk.",
        )
    return array


def _like(kernel, values) -> Any:
    """Labelled again, where the matrix was."""
    return kernel.copy(data=values) if hasattr(kernel, "values") and hasattr(kernel, "dims") else values


def _require_shape(matrix, rows: int, columns: int) -> None:
    if matrix.shape != (rows, columns):
        raise InvalidInput(
            f"A kernel of shape {matrix.shape} does not fit {rows} × {columns} examples",
            "Where rows and columns are different examples, give both diagonals, or the columns' own kernel.",
        )


def _is_traced(values) -> bool:
    jax = sys.modules.get("jax")  # where it was never imported, nothing can be traced
    return jax is not None and isinstance(values, jax.core.Tracer)
