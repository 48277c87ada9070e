"""The evidence in its three pieces, and its gradient in log prior precisions and log noise.

L = log p(y|w) − ½ wᵀP₀w − ½ ld: fit, weight cost and complexity. With γ_l = −∂ld/∂log δ_l the gradients at fixed
weights are ∂L/∂log δ_l = ½(γ_l − δ_l‖w_l‖²) and ∂L/∂log σ = (RSS/σ² − NC)/T + γ. The dependence of the weights
themselves on the hyperparameters is left out, as everywhere in the field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ntk_explorer.marglik.estimators import Method, method_of
from ntk_explorer.marglik.features import WhitenedFeatures, whitened_features
from ntk_explorer.marglik.likelihoods import Noise, noise_of
from ntk_explorer.marglik.priors import Prior, resolve_prior


@dataclass(frozen=True)
class Evidence:
    """log p(y|w), −½ wᵀP₀w and −½ ld, in nats over all ``examples``; ``is_bound`` says that L is at least the total."""

    fit: float
    weight_cost: float
    complexity: float
    is_bound: bool
    estimator: str
    examples: int

    @property
    def total(self) -> float:
        """L, or what the estimator makes of it."""
        return self.fit + self.weight_cost + self.complexity

    @property
    def per_example(self) -> float:
        """L/N."""
        return self.total / self.examples


@dataclass(frozen=True)
class EvidenceGradient:
    """∂L/∂log δ in the form of the prior precision, ∂L/∂log σ (None without noise), and what they are made of.

    ``effective_parameters`` is γ and ``penalties`` is δ‖w‖², each in the form of the prior precision; the gradient
    is half their difference, and zero where they meet.
    """

    evidence: Evidence
    log_prior_precision: Any
    log_sigma: float | None
    effective_parameters: Any
    penalties: Any
    gamma: float


@dataclass(frozen=True)
class Weighting:
    """How a part of the data stands for all of it: factors of its log-likelihood and of its complexity."""

    fit: float = 1.0
    complexity: float = 1.0
    examples: int | None = None
    fitted: WhitenedFeatures | None = None


def evidence(
    f,
    params: Any,
    x: Any,
    y: Any,
    *,
    likelihood: str,
    prior_precision: Any,
    sigma: float | None = None,
    estimator: str = "full",
    temperature: float = 1.0,
    dtype: str = "float64",
    batch_size: int | None = None,
    **options: Any,
) -> Evidence:
    """The linearised-Laplace evidence L = log p(y|w) − ½ wᵀP₀w − ½ log|I + K| of a network, or a bound on it.

    Args:
        f: any ``f(params, x[n, ...]) -> [n, c]`` that treats examples independently; hashable.
        params: its parameters w, the point of linearisation.
        x: examples [n, ...].
        y: targets [n, c] for ``"gaussian"``, classes [n] for ``"categorical"``.
        likelihood: a name of ``LIKELIHOODS``.
        prior_precision: δ of all parameters; a pytree prefix of ``params`` (per layer or per tensor); or one value
            per parameter, flat or in arrays like the tensors.
        sigma: standard deviation of the Gaussian's noise, in the units of y.
        estimator: a name of ``ESTIMATORS``.
        temperature: T, which divides the log-likelihood and its curvature.
        dtype: of what is read of the network; linear algebra is in double precision.
        batch_size: examples read at a time.
        **options: of the estimator: ``blocks=[[ids], ...]``, or ``size``, ``grouping`` and ``key``;
            ``outputs="whitened"`` or ``"paper"``; ``form="parametric"`` or ``"ntk"``.

    Returns:
        :class:`Evidence` with ``fit``, ``weight_cost``, ``complexity``, ``total`` and ``is_bound``.

    Raises:
        UnknownName: no such likelihood or estimator.
        InvalidInput: data, weights or hyperparameters that no evidence can be computed from.

    Source: MacKay (1992); Immer et al. (2021, 2023).
    """
    features = whitened_features(f, params, x, y, likelihood=likelihood, dtype=dtype, batch_size=batch_size)
    return evidence_of(
        features, prior_precision=prior_precision, sigma=sigma, estimator=estimator, temperature=temperature, **options
    )


def evidence_of(
    features: WhitenedFeatures,
    *,
    prior_precision: Any,
    sigma: float | None = None,
    estimator: str = "full",
    temperature: float = 1.0,
    **options: Any,
) -> Evidence:
    """The evidence from features that were read before; arguments as for :func:`evidence`."""
    prior, noise = resolve_prior(prior_precision, features.params), noise_of(features.likelihood, sigma, temperature)
    method = method_of(features, estimator, options)
    return assess(features, method, prior, noise, estimator)


def evidence_gradient(
    f,
    params: Any,
    x: Any,
    y: Any,
    *,
    likelihood: str,
    prior_precision: Any,
    sigma: float | None = None,
    estimator: str = "full",
    temperature: float = 1.0,
    dtype: str = "float64",
    batch_size: int | None = None,
    **options: Any,
) -> EvidenceGradient:
    """∂L/∂log δ_l = ½(γ_l − δ_l‖w_l‖²) and ∂L/∂log σ = RSS/σ² − NC + γ at fixed weights.

    Arguments and errors as for :func:`evidence`.

    Returns:
        :class:`EvidenceGradient`, which holds the evidence too.

    Source: MacKay (1992).
    """
    features = whitened_features(f, params, x, y, likelihood=likelihood, dtype=dtype, batch_size=batch_size)
    return gradient_of(
        features, prior_precision=prior_precision, sigma=sigma, estimator=estimator, temperature=temperature, **options
    )


def gradient_of(
    features: WhitenedFeatures,
    *,
    prior_precision: Any,
    sigma: float | None = None,
    estimator: str = "full",
    temperature: float = 1.0,
    **options: Any,
) -> EvidenceGradient:
    """The gradient from features that were read before; arguments as for :func:`evidence`."""
    prior, noise = resolve_prior(prior_precision, features.params), noise_of(features.likelihood, sigma, temperature)
    method = method_of(features, estimator, options)
    return differentiate(features, method, prior, noise, estimator)


def assess(
    features: WhitenedFeatures,
    method: Method,
    prior: Prior,
    noise: Noise,
    estimator: str,
    weighting: Weighting = Weighting(),
) -> Evidence:
    """The three pieces at checked hyperparameters."""
    found = method.log_determinant(prior, noise.scale)
    return _pieces(features, method, prior, noise, estimator, weighting, found.value)


def differentiate(
    features: WhitenedFeatures,
    method: Method,
    prior: Prior,
    noise: Noise,
    estimator: str,
    weighting: Weighting = Weighting(),
) -> EvidenceGradient:
    """The gradient at checked hyperparameters."""
    found = method.log_determinant(prior, noise.scale, gradient=True)
    gamma = [weighting.complexity * share for share in found.gamma or []]
    effective, penalties = prior.collected(gamma), prior.collected(prior.weighted_squares(features.weights))
    total = float(sum(np.sum(share) for share in gamma))
    log_sigma = None
    if noise.sigma is not None:
        data = weighting.fitted or features
        misfit = weighting.fit * (data.squared_error / noise.sigma**2 - data.targets.size)
        log_sigma = misfit / noise.temperature + total
    return EvidenceGradient(
        evidence=_pieces(features, method, prior, noise, estimator, weighting, found.value),
        log_prior_precision=prior.tree([(g - p) / 2 for g, p in zip(effective, penalties, strict=True)]),
        log_sigma=log_sigma,
        effective_parameters=prior.tree(effective),
        penalties=prior.tree(penalties),
        gamma=total,
    )


def _pieces(features, method, prior, noise, estimator, weighting, log_determinant: float) -> Evidence:
    data = weighting.fitted or features
    return Evidence(
        fit=weighting.fit * noise.log_likelihood(data.outputs, data.targets),
        weight_cost=-float(sum(np.sum(part) for part in prior.weighted_squares(features.weights))) / 2,
        complexity=-weighting.complexity * log_determinant / 2,
        is_bound=method.is_bound,
        estimator=estimator,
        examples=weighting.examples or features.examples,
    )
