"""Parts of the data of equal size, side by side: what each estimator's linear algebra starts from, kept.

Shapes: t parts of m rows each, L tensors of P_l parameters.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ntk_explorer.marglik._symmetric import eigenvalues

if TYPE_CHECKING:
    from ntk_explorer.marglik.features import WhitenedFeatures
    from ntk_explorer.marglik.priors import Prior


class Stack:
    """Parts of equal size of some whitened features."""

    def __init__(self, features: WhitenedFeatures, blocks: tuple[tuple[int, ...], ...], by_output: bool):
        """Compute nothing yet.

        Args:
            features: of all examples.
            blocks: examples of each part.
            by_output: cut every part again, into one for each row of an example.
        """
        self._features, self._blocks, self._by_output = features, blocks, by_output
        self._spectra: dict[int, np.ndarray] = {}
        self._diagonals: dict[int, np.ndarray] = {}
        self._kronecker: dict[int, tuple[np.ndarray, np.ndarray] | None] = {}

    @cached_property
    def rows(self) -> np.ndarray:
        """Rows of Φ in every part [t, m]."""
        k = self._features.rows_per_example
        by_example = np.array(self._blocks)[:, :, None] * k + np.arange(k)
        if self._by_output:
            return by_example.transpose(0, 2, 1).reshape(-1, len(self._blocks[0]))
        return by_example.reshape(len(self._blocks), -1)

    @property
    def tensors(self) -> int:
        """L."""
        return len(self._features.weights)

    def size(self, tensor: int) -> int:
        """P_l."""
        return self._features.weights[tensor].size

    @property
    def parametric(self) -> bool:
        """Whether a P × P matrix is smaller than one with a row per example and output."""
        return self._features.parameters < self.rows.shape[1]

    @cached_property
    def grams(self) -> np.ndarray:
        """Φ_l Φ_lᵀ of every part [L, t, m, m]: cut from the whole where that is there, read part by part where not."""
        if np.array_equal(self.rows, np.arange(self._features.rows)[None]):
            return self._features.grams[:, None]  # no copy
        if self._features.holds_grams:
            return self._features.grams[:, self.rows[:, :, None], self.rows[:, None, :]]
        outputs = range(self._features.rows_per_example) if self._by_output else [None]
        parts = (self._features.take(block, c) for block in self._blocks for c in outputs)
        return np.stack([part.grams for part in parts], axis=1)

    def jacobian(self, tensor: int) -> np.ndarray:
        """Φ_l of every part [t, m, P_l]."""
        return self._features.jacobian(tensor)[self.rows]

    def kernel(self, prior: Prior) -> np.ndarray:
        """Σ_l Φ_l P₀,l⁻¹ Φ_lᵀ of every part [t, m, m], without the noise scale."""
        plain = [i for i, value in enumerate(prior.values) if value.ndim == 0]
        weights = np.array([1 / float(prior.values[i]) for i in plain])
        grams = self.grams if len(plain) == self.tensors else self.grams[plain]
        total = np.tensordot(weights, grams, axes=1)
        for i, value in enumerate(prior.values):
            if value.ndim:
                scaled = self.jacobian(i) / np.sqrt(value)
                total = total + scaled @ scaled.swapaxes(1, 2)
        return total

    @cached_property
    def ggn(self) -> np.ndarray:
        """H = ΦᵀΦ of every part [t, P, P], without the noise scale."""
        jacobian = np.concatenate([self.jacobian(tensor) for tensor in range(self.tensors)], axis=2)
        return jacobian.swapaxes(1, 2) @ jacobian

    @cached_property
    def spectrum(self) -> np.ndarray:
        """Eigenvalues of Σ_l Φ_l Φ_lᵀ of every part [t, min(m, P)]: all that a scalar prior needs."""
        return eigenvalues(self.ggn if self.parametric else self.grams.sum(axis=0))

    def spectrum_of(self, tensor: int) -> np.ndarray:
        """Eigenvalues of Φ_l Φ_lᵀ of every part [t, min(m, P_l)]."""
        if tensor not in self._spectra:
            self._spectra[tensor] = self._computed_spectrum(tensor)
        return self._spectra[tensor]

    def _computed_spectrum(self, tensor: int) -> np.ndarray:
        if self.size(tensor) >= self.rows.shape[1]:
            return eigenvalues(self.grams[tensor])
        jacobian = self.jacobian(tensor)
        return eigenvalues(jacobian.swapaxes(1, 2) @ jacobian)

    def diagonal_of(self, tensor: int) -> np.ndarray:
        """diag(Φ_lᵀ Φ_l) of every part [t, P_l]."""
        if tensor not in self._diagonals:
            squares = self._features.jacobian(tensor) ** 2
            # One part after the other: side by side they would be copies of the whole Jacobian.
            self._diagonals[tensor] = np.stack([squares[rows].sum(axis=0) for rows in self.rows])
        return self._diagonals[tensor]

    def kronecker_of(self, tensor: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Eigenvalues of the factors A [t, p] and B [t, o] of every part; None where a tensor has none.

        A = (1/M) Σ_n Σ_s a aᵀ over the M examples of the part, B = (1/S) Σ_n Σ_c Σ_s g gᵀ over its rows, with S
        positions s (1 in a dense layer).
        """
        if tensor not in self._kronecker:
            factors = self._features.factors.get(tensor)
            self._kronecker[tensor] = None if factors is None else self._factor_spectra(factors)
        return self._kronecker[tensor]

    def _factor_spectra(self, factors) -> tuple[np.ndarray, np.ndarray]:
        k = self._features.rows_per_example
        positions = factors.inputs.shape[1]
        sides = []
        for rows in self.rows:
            examples = np.unique(rows // k)
            a = factors.inputs[examples].reshape(-1, factors.inputs.shape[2])
            g = factors.sensitivities[rows // k, rows % k].reshape(-1, factors.sensitivities.shape[3])
            sides.append((a.T @ a / len(examples), g.T @ g / positions))
        inputs, outputs = zip(*sides, strict=True)
        return eigenvalues(np.stack(inputs)), eigenvalues(np.stack(outputs))
