"""Changes of the hyperparameters at fixed weights: MacKay's fixed points, sweeps, and how loose a bound is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.marglik.estimators import method_of
from ntk_explorer.marglik.evidence import EvidenceGradient, gradient_of
from ntk_explorer.marglik.features import WhitenedFeatures
from ntk_explorer.marglik.likelihoods import Noise, noise_of
from ntk_explorer.marglik.priors import resolve_prior
from ntk_explorer.marglik.structures import require_resolved, spectra

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class MacKayStep:
    """New hyperparameters, in the form of the old ones, and the gradient at the old ones."""

    prior_precision: Any
    sigma: float | None
    before: EvidenceGradient


def mackay_step(
    features: WhitenedFeatures,
    *,
    prior_precision: Any,
    sigma: float | None = None,
    estimator: str = "full",
    temperature: float = 1.0,
    **options: Any,
) -> MacKayStep:
    """MacKay's fixed-point update δ_l ← γ_l/‖w_l‖², σ² ← RSS/(NC − γ).

    A precision stays where it is when nothing determines it: its weights are zero, or no output depends on them.

    Args:
        features: of the network at its weights.
        prior_precision: δ in any of its forms.
        sigma: standard deviation of the noise.
        estimator: a name of ``ESTIMATORS``; γ is the estimator's own.
        temperature: must be 1: a tempered noise has no such fixed point.
        **options: of the estimator.

    Raises:
        InvalidInput: another temperature; more effective parameters than targets, which estimators that cut between
            parameters can count; and as for the evidence.

    Source: MacKay (1992), Bayesian Interpolation.
    """
    if temperature != 1:
        raise InvalidInput(f"MacKay's update holds at temperature 1, and it is {temperature}", "Take gradient steps.")
    before = gradient_of(features, prior_precision=prior_precision, sigma=sigma, estimator=estimator, **options)
    prior = resolve_prior(prior_precision, features.params)
    squares = prior.collected(
        [w**2 if v.ndim else np.asarray(w @ w) for v, w in zip(prior.values, features.weights, strict=True)]
    )
    effective = resolve_like(before.effective_parameters)
    updated = [
        np.where((share > 0) & (square > 0), share / np.where(square > 0, square, 1), old)
        for share, square, old in zip(effective, squares, prior.given, strict=True)
    ]
    if sigma is not None:
        sigma = _noise(features, before, estimator)
    return MacKayStep(prior.with_given(updated), sigma, before)


def _noise(features: WhitenedFeatures, before: EvidenceGradient, estimator: str) -> float:
    """σ of the fixed point; cuts between parameters count what they share twice, so that γ may exceed NC there."""
    left = features.targets.size - before.gamma
    if left <= 0 or features.squared_error == 0:
        raise InvalidInput(
            f"{before.gamma:.1f} effective parameters by the estimator {estimator} and a squared error of "
            f"{features.squared_error:.3g} leave no noise to {features.targets.size} targets",
            "Take gradient steps in log σ, or the exact estimator.",
        )
    return math.sqrt(features.squared_error / left)


def resolve_like(tree: Any) -> list[np.ndarray]:
    """The leaves of a tree of numbers or arrays."""
    import jax  # not above: cards are read without it

    return [np.asarray(leaf, dtype=float) for leaf in jax.tree.leaves(tree)]


def slack(
    features: WhitenedFeatures,
    *,
    prior_precision: Any,
    estimator: str,
    sigma: float | None = None,
    temperature: float = 1.0,
    **options: Any,
) -> float:
    """How much an estimator loses against the exact evidence: ½ (ld − log|I + K|), in nats.

    For a partition it is the total correlation of its parts under N(0, I + K): zero where the parts do not see one
    another, about ¼‖K_off‖_F² for small K, falling as δ or σ grows. For what is no bound it may be negative.

    Arguments and errors as for :func:`~ntk_explorer.marglik.evidence.evidence_of`.
    """
    prior, noise = resolve_prior(prior_precision, features.params), noise_of(features.likelihood, sigma, temperature)
    own = method_of(features, estimator, options).log_determinant(prior, noise.scale).value
    exact = method_of(features, "full", {}).log_determinant(prior, noise.scale).value
    return (own - exact) / 2


def evidence_sweep(
    features: WhitenedFeatures,
    prior_precisions: Sequence[float],
    *,
    sigmas: Sequence[float] | None = None,
    estimator: str = "full",
    temperature: float = 1.0,
    **options: Any,
) -> xr.Dataset:
    """The three pieces over scalar prior precisions, and noise scales, from one decomposition.

    ld = Σ_i log(1 + sλ_i/δ) with the eigenvalues λ of the estimator's own matrix.

    Args:
        features: of the network at its weights.
        prior_precisions: values of δ, the same for all parameters.
        sigmas: values of σ; None where the likelihood has no noise.
        estimator: a name of ``ESTIMATORS``.
        temperature: T.
        **options: of the estimator.

    Returns:
        Dataset of ``fit``, ``weight_cost``, ``complexity``, ``total`` and ``effective_parameters`` over
        ``prior_precision`` (and ``sigma``); its attributes say estimator, is_bound and number of examples.
    """
    import xarray as xr  # not above: half a second to import

    method = method_of(features, estimator, options)
    deltas = np.asarray(prior_precisions, float)
    priors = [resolve_prior(float(delta), features.params) for delta in deltas]
    noises = [noise_of(features.likelihood, sigma, temperature) for sigma in (sigmas if sigmas is not None else [None])]
    values = np.concatenate(
        [
            spectrum.ravel()
            for stack in method.features.stacks(method.partition)
            for spectrum in spectra(method.structure, stack)
        ]
    )
    for noise in noises:  # exact for a diagonal, but what no other estimator can tell there tells nothing
        require_resolved(noise.scale * float(values.sum()) / deltas.min(), priors[int(np.argmin(deltas))])
    columns = [_column(features, values, deltas, noise) for noise in noises]
    dims = ("prior_precision",) if sigmas is None else ("prior_precision", "sigma")
    stacked = {
        name: (dims, np.stack([column[name] for column in columns], axis=1) if sigmas is not None else columns[0][name])
        for name in columns[0]
    }
    coords = {"prior_precision": deltas} | ({} if sigmas is None else {"sigma": np.asarray(sigmas, float)})
    attrs = {"estimator": estimator, "is_bound": int(method.is_bound), "examples": features.examples}
    return xr.Dataset(stacked, coords, attrs)


def _column(features: WhitenedFeatures, values: np.ndarray, deltas: np.ndarray, noise: Noise) -> dict[str, np.ndarray]:
    ratios = [noise.scale * values / delta for delta in deltas]  # one at a time: a diagonal has P values
    complexity = np.array([-np.log1p(ratio).sum() / 2 for ratio in ratios])
    effective = np.array([(ratio / (1 + ratio)).sum() for ratio in ratios])
    fit = np.full(len(deltas), noise.log_likelihood(features.outputs, features.targets))
    weight_cost = -deltas * sum(float(w @ w) for w in features.weights) / 2
    pieces = {"fit": fit, "weight_cost": weight_cost, "complexity": complexity}
    return pieces | {"total": fit + weight_cost + complexity, "effective_parameters": effective}
