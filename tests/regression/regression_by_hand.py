"""Kernels of random gradients, and regression with every matrix written out."""

from typing import NamedTuple

import numpy as np


class Task(NamedTuple):
    """Blocks of n + m examples with themselves, targets and outputs of the network for them."""

    blocks: np.ndarray
    y: np.ndarray
    f0: np.ndarray
    n: int

    @property
    def train(self):
        return self.blocks[: self.n, : self.n]

    @property
    def test(self):
        return self.blocks[self.n :, : self.n]

    @property
    def outputs(self):
        """What kernel_regression takes beside kernels."""
        return {"f0_train": self.f0[: self.n], "f0_test": self.f0[self.n :]}


def task(n=12, m=5, c=3, parameters=200, seed=0):
    """Θ_ij = J_i J_jᵀ; more parameters than n c, so that it is invertible."""
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(n + m, c, parameters))
    y = np.eye(c)[rng.integers(0, c, n)] if c > 1 else rng.normal(size=(n, 1))
    return Task(np.einsum("iap,jbp->ijab", gradients, gradients), y, rng.normal(size=(n + m, c)), n)


def flat(blocks):
    """[m, n, c, c] as [m c, n c], examples outer."""
    m, n, c, d = blocks.shape
    return blocks.transpose(0, 2, 1, 3).reshape(m * c, n * d)


def lifted(kernel, c):
    """K ⊗ I as blocks [m, n, c, c]."""
    return kernel[:, :, None, None] * np.eye(c)


def dense_regression(train, y, test, f0_train, f0_test, ridge=0.0):
    """The formula with the matrices of all n c unknowns, solved by LU."""
    matrix = flat(train)
    matrix = matrix + ridge * np.mean(np.diag(matrix)) * np.eye(len(matrix))
    return f0_test + (flat(test) @ np.linalg.solve(matrix, (y - f0_train).ravel())).reshape(f0_test.shape)
