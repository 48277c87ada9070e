"""Invariances learnt by the evidence: how far examples may be moved before the data object (LILA).

f̂(x) = (1/S) Σ_s f(T_{ε_s, η} x) with ε uniform in [−1, 1] averages a network over transformed copies; η says how strong
the transformations are, and enters both the fit and, through the Jacobian of f̂, the complexity:
∂L/∂η = ∂fit/∂η − ½ tr[(I + K)⁻¹ ∂K/∂η]. The weights' own dependence on η is left out. Values of sampled copies are
estimates, and so no bounds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.marglik import INVARIANCES
from ntk_explorer.marglik.evidence import Evidence
from ntk_explorer.marglik.features import WhitenedFeatures, whitened_features
from ntk_explorer.marglik.likelihoods import noise_of
from ntk_explorer.marglik.priors import resolve_prior
from ntk_explorer.marglik.stochastic import Draw

_LILA = (
    "Immer, van der Ouderaa, Rätsch, Fortuin & van der Wilk (2022), "
    "Invariance Learning in Deep Neural Networks with Differentiable Laplace Approximations"
)


def _rotated_points(x, eta, noise):
    from ntk_explorer.marglik._augmented import rotated_points  # it imports jax

    return rotated_points(x, eta, noise)


def _transformed_images(x, eta, noise):
    from ntk_explorer.marglik._augmented import transformed_images  # it imports jax

    return transformed_images(x, eta, noise)


@INVARIANCES.register(
    "rotation",
    label="Rotation of points",
    equation=r"T_{\epsilon,\eta}\, x = R(\eta \epsilon)\, x,\quad \epsilon \sim U[-1, 1]",
    reference=_LILA,
    cost="S forward passes per example",
    names=("rotation",),
    transform=_rotated_points,
)
def rotation(x: np.ndarray) -> None:
    """Points in the plane turned about the origin by an angle of up to η.

    Raises:
        InvalidInput: examples that are no points in the plane.
    """
    if x.ndim != 2 or x.shape[1] != 2:
        raise InvalidInput(f"Examples of shape {x.shape[1:]} are no points in the plane", "Use points x[n, 2].")


@INVARIANCES.register(
    "affine",
    label="Affine maps of images",
    equation=r"T_{\epsilon,\eta} = \exp\big(\textstyle\sum_k \eta_k \epsilon_k G_k\big),\quad \epsilon \sim U[-1, 1]^6",
    reference=_LILA + "; Benton, Finzi, Izmailov & Wilson (2020), Learning Invariances in Neural Networks",
    cost="S forward passes per example",
    names=("shift across", "shift down", "rotation", "scale across", "scale down", "shear"),
    transform=_transformed_images,
)
def affine(x: np.ndarray) -> None:
    """Images shifted, turned, scaled and sheared; shifts are in halves of the image, angles at most ±π.

    Raises:
        InvalidInput: examples that are no images.
    """
    if x.ndim != 4:
        raise InvalidInput(f"Examples of shape {x.shape[1:]} are no images", "Give x[n, height, width, channels].")


@dataclass(frozen=True)
class InvarianceGradient:
    """∂L/∂η [k], through the fit and through the complexity, and the evidence that it is of."""

    evidence: Evidence
    by_fit: np.ndarray
    by_complexity: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """∂L/∂η."""
        return self.by_fit + self.by_complexity


def draw_noise(n: int, *, invariance: str, samples: int, key: Any) -> np.ndarray:
    """Strengths ε [n, S, k] of the transformations of every example, uniform in [−1, 1].

    Raises:
        UnknownName: no such invariance.
        InvalidInput: no samples.
    """
    import jax  # not above: cards are read without it

    if samples < 1:
        raise InvalidInput(f"samples is {samples}", "Give at least one transformed copy of each example, e.g. 20.")
    count = len(INVARIANCES[invariance].extras["names"])
    with jax.enable_x64(True):
        return np.asarray(jax.random.uniform(key, (n, samples, count), "float64", -1, 1))


def averaged_features(
    f: Any,
    params: Any,
    x: Any,
    y: Any,
    *,
    invariance: str,
    eta: Any,
    noise: np.ndarray,
    likelihood: str,
    dtype: str = "float64",
) -> WhitenedFeatures:
    """The whitened features of the network averaged over transformed copies, f̂(x) = (1/S) Σ_s f(T_{ε_s, η} x).

    Everything that takes whitened features takes these; at η = 0 they are the network's own.

    Args:
        f: the network's function.
        params: its parameters.
        x: examples [n, 2] for ``"rotation"``, [n, h, w, channels] for ``"affine"``.
        y: targets.
        invariance: a name of ``INVARIANCES``.
        eta: strengths η [k]; angles in radians, shifts in halves of the image, logarithms of scales.
        noise: ε [n, S, k], of :func:`draw_noise`.
        likelihood: a name of ``LIKELIHOODS``.
        dtype: of what is read of the network.

    Raises:
        UnknownName: no such invariance or likelihood.
        InvalidInput: as for :func:`~ntk_explorer.marglik.features.whitened_features`; examples that the invariance
            does not move; strengths or noise of other numbers.

    Source: Immer et al. (2022).
    """
    x, eta, noise = _checked(x, eta, noise, invariance)
    from ntk_explorer.marglik._augmented import Averaged, copies_of  # it imports jax
    from ntk_explorer.marglik._reading import arithmetic

    with arithmetic("float64"):
        copies = np.asarray(copies_of(x, eta, noise, invariance=invariance))
    features = whitened_features(Averaged(f), params, copies, y, likelihood=likelihood, dtype=dtype)
    return replace(features, copies=noise.shape[1])


def invariance_gradient(
    f: Any,
    params: Any,
    x: Any,
    y: Any,
    *,
    invariance: str,
    eta: Any,
    noise: np.ndarray,
    likelihood: str,
    prior_precision: Any,
    sigma: float | None = None,
    part: Draw | None = None,
) -> InvarianceGradient:
    """The evidence of the averaged network and ∂L/∂η = ∂fit/∂η − ½ tr[(I + K)⁻¹ ∂K/∂η], at fixed weights and noise.

    Args:
        f: the network's function.
        params: its parameters.
        x: examples.
        y: targets.
        invariance: a name of ``INVARIANCES``.
        eta: strengths η [k].
        noise: ε [n, S, k] of all examples.
        likelihood: a name of ``LIKELIHOODS``.
        prior_precision: δ, one per tensor at most.
        sigma: standard deviation of the Gaussian's noise.
        part: examples and outputs that stand for all, of :func:`~ntk_explorer.marglik.stochastic.draw_part`.

    Returns:
        :class:`InvarianceGradient`; its evidence is no bound, since the copies are samples.

    Raises:
        UnknownName, InvalidInput: as for :func:`averaged_features`; a precision of its own for single parameters.

    Source: Immer et al. (2022, 2023).
    """
    x, eta, noise = _checked(x, eta, noise, invariance)
    examples, y = len(x), np.asarray(y)
    if part is not None:
        x, y, noise = x[part.examples], y[part.examples], noise[part.examples]
    options = {"invariance": invariance, "eta": eta, "noise": noise, "likelihood": likelihood}
    features = averaged_features(f, params, x, y, **options)
    prior, scale = resolve_prior(prior_precision, params), noise_of(likelihood, sigma)
    if prior.per_parameter:
        raise InvalidInput(
            "Gradients of invariances take one prior precision per tensor", "Give a number, or one per layer or tensor."
        )
    rows = np.broadcast_to(np.arange(features.rows_per_example), (len(x), features.rows_per_example))
    weights = (1.0, 1.0) if part is None else (part.weight, part.weight)
    if part is not None and part.outputs is not None:
        rows, weights = part.outputs[:, None], (part.weight, part.weight * features.rows_per_example)
    values, gradients = _pieces(f, features, eta, x, noise, rows, prior.per_tensor, scale, invariance)
    squares = sum(float(np.sum(share)) for share in prior.weighted_squares(features.weights))
    fit, log_determinant = float(values[0]), float(values[1])
    found = Evidence(weights[0] * fit, -squares / 2, -weights[1] * log_determinant / 2, False, "full", examples)
    return InvarianceGradient(found, weights[0] * gradients[0], -weights[1] * gradients[1] / 2)


def _pieces(f, features, eta, x, noise, rows, precisions, scale, invariance):
    from ntk_explorer.marglik._augmented import pieces  # it imports jax
    from ntk_explorer.marglik._reading import arithmetic

    with arithmetic("float64"):
        found = pieces(
            eta,
            f,
            features.params,
            x,
            noise,
            features.targets,
            rows,
            precisions,
            scale.scale,
            scale.sigma,
            invariance=invariance,
            likelihood=features.likelihood,
        )
        return [np.asarray(part) for part in found]


def _checked(x: Any, eta: Any, noise: Any, invariance: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    card = INVARIANCES[invariance]
    x, eta, noise = (np.asarray(part, np.float64) for part in (x, eta, noise))
    card(x)
    names = card.extras["names"]
    eta = eta.reshape(-1)
    if eta.shape != (len(names),) or not np.isfinite(eta).all():
        raise InvalidInput(f"eta is {eta.tolist()}", f"Give {len(names)} finite numbers: {', '.join(names)}.")
    if noise.ndim != 3 or noise.shape[0] != len(x) or noise.shape[2] != len(names) or noise.shape[1] < 1:
        raise InvalidInput(f"The noise has shape {noise.shape} for {len(x)} examples", "Draw it with draw_noise.")
    return x, eta, noise
