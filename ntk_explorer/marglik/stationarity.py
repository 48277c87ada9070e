"""How far the weights are from where the evidence's expansion is meant to be taken: the mode of the posterior.

With g = ∇_w [log p(y|w) − ½ wᵀP₀w], the linearised model's own evidence is E = L + ½ gᵀ(H + P₀)⁻¹g for Gaussian noise:
equal to L where w is stationary, and far above it elsewhere. With ρ such that J_lᵀ∇_f log p = Φ_lᵀρ everything is
linear algebra on the kept kernels: a_l = Φ_lᵀρ, g_l = s a_l − δ_l w_l, v = √s Σ_l Φ_l g_l/δ_l, and
gᵀ(H + P₀)⁻¹g = gᵀP₀⁻¹g − vᵀ(I + K)⁻¹v.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.marglik._symmetric import solve_shifted
from ntk_explorer.marglik.features import WhitenedFeatures
from ntk_explorer.marglik.likelihoods import Noise, noise_of
from ntk_explorer.marglik.priors import Prior, resolve_prior


@dataclass(frozen=True)
class Stationarity:
    """½ gᵀ(H + P₀)⁻¹g in nats, and ‖g‖: both zero at a mode of the posterior."""

    gap: float
    gradient_norm: float


def stationarity(
    features: WhitenedFeatures, *, prior_precision: Any, sigma: float | None = None, temperature: float = 1.0
) -> Stationarity:
    """The stationarity gap ½ gᵀ(H + P₀)⁻¹g at the weights of ``features``.

    Arguments and errors as for :func:`~ntk_explorer.marglik.evidence.evidence_of`.
    """
    prior, noise = resolve_prior(prior_precision, features.params), noise_of(features.likelihood, sigma, temperature)
    norm, quadratic = _gradient_squares(features, prior, noise)
    v = gradient_rows(features, prior, noise)
    gap = (quadratic - v @ solve_shifted(noise.scale * features.whole.kernel(prior)[0], v)) / 2
    return Stationarity(float(max(gap, 0.0)), math.sqrt(norm))


def conjugate_evidence(features: WhitenedFeatures, *, prior_precision: Any, sigma: float) -> float:
    """The exact evidence E = log N(y; f(w) − Jw, JP₀⁻¹Jᵀ + σ²I) of the linearised model with Gaussian noise.

    Unlike L it does not depend on the weights where the network is linear in them.

    Raises:
        InvalidInput: another likelihood than the Gaussian.
    """
    prior, noise = resolve_prior(prior_precision, features.params), noise_of(features.likelihood, sigma)
    if noise.sigma is None:
        raise InvalidInput(
            f"The linearised model is not conjugate to a {features.likelihood} likelihood", "Use the evidence L."
        )
    centred = features.residual + features.tangents.sum(axis=0)
    matrix = np.eye(features.rows) + noise.scale * features.whole.kernel(prior)[0]
    _, log_determinant = np.linalg.slogdet(matrix)
    quadratic = centred @ np.linalg.solve(matrix, centred) / noise.sigma**2
    constant = features.rows * (2 * math.log(noise.sigma) + math.log(2 * math.pi))
    return float(-(quadratic + log_determinant + constant) / 2)


def gradient_rows(features: WhitenedFeatures, prior: Prior, noise: Noise) -> np.ndarray:
    """The vector v = √s Φ P₀⁻¹ g [rows], along the kept kernels."""
    if prior.per_parameter:
        along = features.whole.kernel(prior)[0] @ features.residual
    else:
        along = (1 / prior.per_tensor) @ features.pulled
    return math.sqrt(noise.scale) * (noise.scale * along - features.tangents.sum(axis=0))


def _gradient_squares(features: WhitenedFeatures, prior: Prior, noise: Noise) -> tuple[float, float]:
    """‖g‖² and gᵀP₀⁻¹g."""
    rho, s = features.residual, noise.scale
    norm = quadratic = 0.0
    for tensor, (precision, w) in enumerate(zip(prior.values, features.weights, strict=True)):
        if precision.ndim:
            g = s * features.jacobian(tensor).T @ rho - precision * w
            norm, quadratic = norm + float(g @ g), quadratic + float(g @ (g / precision))
            continue
        aa = s**2 * float(rho @ features.pulled[tensor])
        aw, ww = s * float(rho @ features.tangents[tensor]), float(w @ w)
        square = max(aa - 2 * float(precision) * aw + float(precision) ** 2 * ww, 0.0)
        norm, quadratic = norm + square, quadratic + square / float(precision)
    return norm, quadratic
