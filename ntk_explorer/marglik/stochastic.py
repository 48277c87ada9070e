"""Stochastic lower bounds: one part of the data, drawn at random, stands for all of it.

L̂ = w (ℓ_B − ½ log|I + K_B|) − ½ wᵀP₀w with w = N/M, and C times the log-determinant for a single output. The mean
over draws is a bound averaged over random partitions, itself a lower bound that never decreases with M and is exact
at M = N; so is its gradient's, since what is drawn does not depend on the hyperparameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ntk_explorer.errors import InvalidInput, UnknownName
from ntk_explorer.marglik import PARTITIONS
from ntk_explorer.marglik.estimators import OUTPUTS, Method, method_of
from ntk_explorer.marglik.evidence import Evidence, EvidenceGradient, Weighting, assess, differentiate
from ntk_explorer.marglik.features import WhitenedFeatures, whitened_features
from ntk_explorer.marglik.likelihoods import noise_of
from ntk_explorer.marglik.partitions import checked_size, given_partition
from ntk_explorer.marglik.priors import resolve_prior

DRAWS = ("one", "each")
STRUCTURES = ("full", "ntk", "block", "diag", "kfac")


@dataclass(frozen=True)
class Draw:
    """Examples of a part, and the output of each that counts (None: all)."""

    examples: np.ndarray
    outputs: np.ndarray | None
    weight: float


def draw_part(
    n: int,
    count: int,
    *,
    key: Any,
    size: int | None = None,
    blocks: Sequence[Sequence[int]] | None = None,
    single: str | None = None,
    grouping: str = "random",
    classes: np.ndarray | None = None,
) -> Draw:
    """Draw a part of ``n`` examples with ``count`` outputs.

    Args:
        n: examples N.
        count: outputs C.
        key: ``jax.random.key``.
        size: examples M drawn without replacement; or
        blocks: parts to choose from, each with a probability proportional to its size.
        single: ``"one"`` output for all examples, ``"each"`` example its own, all outputs when None.
        grouping: ``"random"``, or ``"class"`` to fill the part class by class (needs about equal classes).
        classes: one-hot rows [n, c] for the latter.

    Raises:
        UnknownName, InvalidInput: sizes, groupings or parts that there are not.
    """
    import jax  # not above: cards are read without it

    if single is not None and single not in DRAWS:
        raise UnknownName("draw of single outputs", single, DRAWS)
    of_examples, of_outputs = jax.random.split(key)
    if blocks is not None:
        parts = given_partition(blocks, n).blocks
        chances = np.array([len(part) for part in parts]) / n
        examples = np.array(parts[int(jax.random.choice(of_examples, len(parts), p=chances))])
    else:
        size, card = checked_size(size, n), PARTITIONS[grouping]
        if not card.extras["stochastic"]:
            raise InvalidInput(f"The {grouping} parts are not drawn at random", "Give them as blocks=.")
        examples = np.sort(card(n, key=of_examples, targets=classes)[:size])
    outputs = None
    if single is not None:
        drawn = jax.random.randint(of_outputs, (len(examples) if single == "each" else 1,), 0, count)
        outputs = np.broadcast_to(np.asarray(drawn), (len(examples),))
    return Draw(examples, outputs, n / len(examples))


def stochastic_evidence(
    f,
    params: Any,
    x: Any,
    y: Any,
    *,
    likelihood: str,
    prior_precision: Any,
    key: Any,
    sigma: float | None = None,
    size: int | None = None,
    blocks: Sequence[Sequence[int]] | None = None,
    single: str | None = None,
    outputs: str = "whitened",
    grouping: str = "random",
    estimator: str = "full",
    temperature: float = 1.0,
    dtype: str = "float64",
) -> Evidence:
    """L̂ = w (ℓ_B − ½ log|I + K_B|) − ½ wᵀP₀w from one random part B of the data.

    Only the examples of the part are read, and of each only the outputs that count.

    Args:
        f: the network's function.
        params: its parameters.
        x: all examples.
        y: all targets.
        likelihood: a name of ``LIKELIHOODS``.
        prior_precision: as for :func:`~ntk_explorer.marglik.evidence.evidence`.
        key: ``jax.random.key``; the same key draws the same part whatever the hyperparameters.
        sigma: standard deviation of the Gaussian's noise.
        size: M examples, drawn without replacement; or
        blocks: parts to choose from.
        single: ``"one"`` output for all examples, or ``"each"`` example its own; C times cheaper, and looser.
        outputs: what a single output is: ``"whitened"``, or the released code's ``"paper"``, which may be no bound.
        grouping: ``"random"`` or ``"class"``.
        estimator: what is kept of the part's matrix: ``"full"``, ``"block"``, ``"diag"`` or ``"kfac"``.
        temperature: T.
        dtype: of what is read of the network.

    Returns:
        :class:`~ntk_explorer.marglik.evidence.Evidence`; ``is_bound`` speaks of the mean over draws.

    Raises:
        UnknownName: names of nothing.
        InvalidInput: as for the evidence; neither size nor blocks; a subset larger than the data.

    Source: Immer et al. (2023).
    """
    drawn, features = _drawn(f, params, x, y, key, likelihood, size, blocks, single, outputs, grouping, dtype)
    return assess(*_arguments(drawn, features, prior_precision, sigma, estimator, temperature))


def stochastic_gradient(
    f,
    params: Any,
    x: Any,
    y: Any,
    *,
    likelihood: str,
    prior_precision: Any,
    key: Any,
    sigma: float | None = None,
    size: int | None = None,
    blocks: Sequence[Sequence[int]] | None = None,
    single: str | None = None,
    outputs: str = "whitened",
    grouping: str = "random",
    estimator: str = "full",
    temperature: float = 1.0,
    dtype: str = "float64",
) -> EvidenceGradient:
    """The gradient of :func:`stochastic_evidence` at the same key: its mean is that of the bound's gradient.

    Arguments and errors as there.
    """
    drawn, features = _drawn(f, params, x, y, key, likelihood, size, blocks, single, outputs, grouping, dtype)
    return differentiate(*_arguments(drawn, features, prior_precision, sigma, estimator, temperature))


@dataclass(frozen=True)
class Drawn:
    """A part of the data, all its outputs, and how it stands for the whole."""

    weighting: Weighting
    is_bound: bool


def evidence_of_part(
    features: WhitenedFeatures,
    part: Draw,
    *,
    prior_precision: Any,
    sigma: float | None = None,
    outputs: str = "whitened",
    estimator: str = "full",
    temperature: float = 1.0,
) -> Evidence:
    """L̂ of a part that was drawn before, from the features of all data."""
    drawn, chosen = _of_part(features.take(part.examples), part, outputs, features.examples)
    return assess(*_arguments(drawn, chosen, prior_precision, sigma, estimator, temperature))


def _drawn(f, params, x, y, key, likelihood, size, blocks, single, outputs, grouping, dtype):
    if outputs not in OUTPUTS:
        raise UnknownName("variant of outputs", outputs, OUTPUTS)
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim == 0 or y.ndim == 0 or len(x) != len(y):
        raise InvalidInput(f"y has shape {y.shape} for x of shape {x.shape}", "Give one target per example.")
    count = _count(f, params, x)
    classes = np.eye(count)[y] if grouping == "class" and y.ndim == 1 and y.dtype.kind in "iu" else None
    options = {"size": size, "blocks": blocks, "single": single, "grouping": grouping, "classes": classes}
    part = draw_part(len(x), count, key=key, **options)
    features = whitened_features(f, params, x[part.examples], y[part.examples], likelihood=likelihood, dtype=dtype)
    return _of_part(features, part, outputs, len(x))


def _count(f, params, x) -> int:
    import jax  # not above: cards are read without it

    return jax.eval_shape(f, params, jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)).shape[1]


def _of_part(features: WhitenedFeatures, part: Draw, outputs: str, examples: int) -> tuple[Drawn, WhitenedFeatures]:
    chosen, factor = features, 1
    if part.outputs is not None:
        chosen = features.coded if outputs == "paper" else features
        chosen, factor = chosen.take(np.arange(features.examples), part.outputs), features.rows_per_example
    weighting = Weighting(part.weight, part.weight * factor, examples, features)
    is_bound = not (part.outputs is not None and outputs == "paper" and features.coded_differs)
    return Drawn(weighting, is_bound), chosen


def _arguments(drawn: Drawn, features: WhitenedFeatures, prior_precision, sigma, estimator, temperature):
    if estimator not in STRUCTURES:
        raise UnknownName("estimator of a part", estimator, STRUCTURES)
    method: Method = method_of(features, estimator, {})
    method = replace(method, is_bound=method.is_bound and drawn.is_bound)
    prior, noise = resolve_prior(prior_precision, features.params), noise_of(features.likelihood, sigma, temperature)
    return features, method, prior, noise, estimator, drawn.weighting
