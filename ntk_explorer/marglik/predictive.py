"""Predictions of the linearised network in function space: mean and covariance at new inputs.

With Σ = (H + P₀)⁻¹, by Woodbury: JΣJᵀ = k** − s k*ᵀ (I + K)⁻¹ k*, where k** = J*P₀⁻¹J*ᵀ and k* = ΦP₀⁻¹J*ᵀ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.marglik._symmetric import solve_shifted
from ntk_explorer.marglik.features import WhitenedFeatures
from ntk_explorer.marglik.likelihoods import log_softmax, noise_of
from ntk_explorer.marglik.priors import Prior, resolve_prior
from ntk_explorer.marglik.stationarity import gradient_rows

if TYPE_CHECKING:
    from ntk_explorer.marglik._reading import Call


@dataclass(frozen=True)
class Predictive:
    """Outputs f(x*) [m, c] at the weights, their posterior covariance JΣJᵀ [m, c, c], and the noise variance σ²."""

    mean: np.ndarray
    covariance: np.ndarray
    noise_variance: float

    @property
    def deviation(self) -> np.ndarray:
        """√diag(JΣJᵀ) [m, c]: what the weights leave open."""
        return np.sqrt(np.maximum(np.diagonal(self.covariance, axis1=1, axis2=2), 0))

    @property
    def total_deviation(self) -> np.ndarray:
        """√(diag(JΣJᵀ) + σ²) [m, c]: with the noise."""
        return np.sqrt(self.deviation**2 + self.noise_variance)

    def probit(self) -> np.ndarray:
        """Class probabilities [m, c] by MacKay's approximation softmax(f/√(1 + πv/8))."""
        return np.exp(log_softmax(self.mean / np.sqrt(1 + math.pi / 8 * self.deviation**2)))

    def sampled(self, key: Any, samples: int = 1000) -> np.ndarray:
        """Class probabilities [m, c], averaged over draws of the outputs from their posterior."""
        import jax  # not above: cards are read without it

        values, vectors = np.linalg.eigh(self.covariance)
        roots = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]
        with jax.enable_x64(True):
            noise = np.asarray(jax.random.normal(key, (samples, *self.mean.shape), "float64"))
        draws = self.mean[None] + np.einsum("mcd,smd->smc", roots, noise)
        return np.exp(log_softmax(draws.reshape(-1, draws.shape[2]))).reshape(draws.shape).mean(axis=0)


@dataclass(frozen=True, eq=False)
class PredictiveFeatures:
    """What predictions at new inputs need of a network; every change of the prior or noise is linear algebra on it."""

    features: WhitenedFeatures
    x: Any
    outputs: np.ndarray

    @cached_property
    def _call(self) -> Call:
        from ntk_explorer.marglik._reading import arithmetic, whitened_call  # they import jax

        n, c = self.outputs.shape
        identity = np.broadcast_to(np.eye(c), (n, c, c))
        with arithmetic(self.features.dtype):
            return whitened_call(self.features.f, self.features.params, self.x, identity, self.features.dtype)

    def _read(self, how, *args):
        from ntk_explorer.marglik import _reading  # it imports jax

        with _reading.arithmetic(self.features.dtype):
            return getattr(_reading, how)(self._call, *args)

    @cached_property
    def crossed(self) -> np.ndarray:
        """J*_l Φ_lᵀ [L, m·c, rows]."""
        return self._read("read_grams", self.features.call)

    @cached_property
    def own(self) -> np.ndarray:
        """J*_l J*_lᵀ of every input [L, m, c, c]."""
        return self._read("read_own_blocks")

    @cached_property
    def tangents(self) -> np.ndarray:
        """J*_l w_l [L, m·c]."""
        return self._read("read_tangents")

    def _jacobian(self, tensor: int) -> np.ndarray:
        return self._read("read_jacobian", (tensor,))[0]

    def _weighed(self, prior: Prior) -> tuple[np.ndarray, np.ndarray]:
        """k* [m·c, rows] and k** [m, c, c] at some precisions."""
        m, c = self.outputs.shape
        crossed, own = np.zeros((m * c, self.features.rows)), np.zeros((m, c, c))
        for tensor, precision in enumerate(prior.values):
            if precision.ndim:
                jacobian = self._jacobian(tensor)
                crossed += (jacobian / precision) @ self.features.jacobian(tensor).T
                each = jacobian.reshape(m, c, -1)
                own += (each / precision) @ each.swapaxes(1, 2)
            else:
                crossed += self.crossed[tensor] / precision
                own += self.own[tensor] / precision
        return crossed, own

    def predict(
        self,
        *,
        prior_precision: Any,
        sigma: float | None = None,
        temperature: float = 1.0,
        corrected: bool = False,
    ) -> Predictive:
        """Mean f(x*) and covariance JΣJᵀ at the inputs.

        Args:
            prior_precision: δ in any of its forms.
            sigma: standard deviation of the noise.
            temperature: T.
            corrected: move the mean to the linearised posterior's own, f(x*) + J(H + P₀)⁻¹g, which differs where the
                weights are not stationary.

        Raises:
            InvalidInput: as for the evidence.
        """
        features = self.features
        prior = resolve_prior(prior_precision, features.params)
        noise = noise_of(features.likelihood, sigma, temperature)
        m, c = self.outputs.shape
        crossed, own = self._weighed(prior)
        solved = solve_shifted(noise.scale * features.whole.kernel(prior)[0], crossed.T).T
        by_input = [part.reshape(m, c, -1) for part in (solved, crossed)]
        covariance = own - noise.scale * by_input[0] @ by_input[1].swapaxes(1, 2)
        mean = self.outputs
        if corrected:
            step = noise.scale * crossed @ features.residual - self.tangents.sum(axis=0)
            back = math.sqrt(noise.scale) * solved @ gradient_rows(features, prior, noise)
            mean = mean + (step - back).reshape(m, c)
        symmetric = (covariance + covariance.swapaxes(1, 2)) / 2
        return Predictive(mean, symmetric, temperature * (noise.sigma or 0.0) ** 2)


def predictive_features(features: WhitenedFeatures, x: Any) -> PredictiveFeatures:
    """Prepare predictions at inputs ``x`` [m, ...] from the features of the training data.

    Raises:
        InvalidInput: features of single outputs; inputs that the network cannot take.

    Source: Khan, Immer, Abedi & Korzepa (2019), Approximate Inference Turns Deep Networks into Gaussian Processes.
    """
    if features.rows_per_example != features.outputs.shape[1]:
        raise InvalidInput("Predictions need all outputs", "Read whitened features without outputs=.")
    from ntk_explorer.marglik._reading import checked_network  # it imports jax

    _, x, _, outputs = checked_network(features.f, features.params, x, features.dtype)
    return PredictiveFeatures(features, x, outputs)
