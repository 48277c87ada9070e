"""Bayesian model selection with the linearised Laplace: the evidence of a network, and bounds on it.

L = log p(y|w) − ½ wᵀP₀w − ½ log|I + K|, with K = Φ P₀⁻¹ Φᵀ, P₀ the prior precisions and Φ = RᵀJ the Jacobian
whitened by the likelihood (R Rᵀ = Λ = −∂² log p/∂f²). Each module beside this one may register likelihoods,
estimators of the complexity ½ log|I + K|, ways to cut the data into parts, and invariances.

What is read of a network at given weights is a :class:`~ntk_explorer.marglik.features.WhitenedFeatures`; every change
of prior precision, noise, estimator or partition is linear algebra on it. These modules import jax only inside the
functions that read a network, so that cards and menus need none.
"""

from __future__ import annotations

from ntk_explorer.registry import Registry

LIKELIHOODS = Registry("likelihood", __name__)
ESTIMATORS = Registry("estimator", __name__)
PARTITIONS = Registry("partition", __name__)
INVARIANCES = Registry("invariance", __name__)

__all__ = ["ESTIMATORS", "INVARIANCES", "LIKELIHOODS", "PARTITIONS"]
