"""A map as SciPy's iterative solvers see it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse.linalg import LinearOperator


class Products(LinearOperator):
    """A symmetric map given by ``multiply(v)`` for v [N] or [N, r]; counts the vectors that it has multiplied."""

    def __init__(self, shape: tuple[int, int], dtype: np.dtype, multiply: Callable[[np.ndarray], np.ndarray]):
        """``multiply`` is called with arrays whose first axis is N."""
        super().__init__(dtype, shape)
        self._multiply = multiply
        self.count = 0

    def _matvec(self, x):
        self.count += 1
        return self._multiply(x.reshape(-1))

    def _matmat(self, X):
        self.count += X.shape[1]
        return self._multiply(X)

    def _adjoint(self):
        return self
