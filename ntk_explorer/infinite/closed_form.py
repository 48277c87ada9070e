"""Fully connected networks at infinite width, in closed form: no sampling, no neural-tangents.

A wide layer's preactivations are Gaussian, so that one pair of examples is described by three numbers, the
covariance and the two variances. A nonlinearity maps them by two expectations, E[φ(u) φ(v)] and
E[φ'(u) φ'(v)] (its dual), and these have closed forms for piecewise linear functions and for erf.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

from ntk_explorer.architectures.mlp import MLPConfig

# Angles whose cosine differs from ±1 by less than this many roundings are 0 or π: the cosine does not tell more,
# and the derivative's dual would turn the rounding into its square root.
SAME = 64


class Limits(NamedTuple):
    """``nngp`` and ``ntk`` [n, m], each the multiple of the identity between outputs."""

    nngp: Any
    ntk: Any


def dual_of_piecewise_linear(covariance, variance1, variance2, *, slope: float):
    """Dual of φ(u) = max(u, 0) + slope · min(u, 0), the sum of an odd and an even part, aligned below.

        E[φφ]   = odd² k + even² (2/π) √(k₁ k₂) (sin θ + (π/2 − θ) cos θ),     cos θ = k / √(k₁ k₂)
        E[φ'φ'] = odd² + even² (1 − 2θ/π),                                     odd, even = (1 ± slope) / 2

    Args:
        covariance: k [n, m] between the preactivations of two sets of examples.
        variance1: k₁ [n, 1].
        variance2: k₂ [1, m].
        slope: 0 is relu, 1 the identity.

    Returns:
        The two expectations [n, m].

    Source: Cho and Saul (2009), arc-cosine kernels of order 1 and 0.
    """
    xp = covariance.__array_namespace__()
    odd, even = (1 + slope) / 2, (1 - slope) / 2
    scale = xp.sqrt(variance1 * variance2)
    cosine = xp.clip(covariance / xp.where(scale > 0, scale, 1.0), -1.0, 1.0)
    certain = xp.abs(cosine) > 1 - SAME * xp.finfo(cosine.dtype).eps
    cosine = xp.where(certain, xp.sign(cosine), cosine)
    angle = xp.acos(cosine)
    even_product = scale * (xp.sin(angle) + (math.pi / 2 - angle) * cosine)
    values = odd**2 * covariance + even**2 * (2 / math.pi) * even_product
    return values, odd**2 + even**2 * (1 - 2 * angle / math.pi)


def dual_of_erf(covariance, variance1, variance2):
    """Dual of the error function; arguments as for :func:`dual_of_piecewise_linear`.

        E[φφ] = (2/π) asin(2k / √((1 + 2k₁)(1 + 2k₂))),   E[φ'φ'] = (4/π) / √((1 + 2k₁)(1 + 2k₂) − 4k²)

    Source: Williams (1997), Computing with Infinite Networks.
    """
    xp = covariance.__array_namespace__()
    product = (1 + 2 * variance1) * (1 + 2 * variance2)
    values = (2 / math.pi) * xp.asin(2 * covariance / xp.sqrt(product))
    return values, (4 / math.pi) / xp.sqrt(product - 4 * covariance**2)


DUALS = {
    "relu": partial(dual_of_piecewise_linear, slope=0.0),
    "leaky_relu": partial(dual_of_piecewise_linear, slope=0.01),
    "identity": partial(dual_of_piecewise_linear, slope=1.0),
    "erf": dual_of_erf,
}


def has_closed_form(config: Any) -> bool:
    """Whether :func:`closed_form` covers this configuration."""
    return isinstance(config, MLPConfig) and config.activation in DUALS


def closed_form(config: MLPConfig, x1, x2) -> Limits:
    """Covariance of the outputs and tangent kernel of an infinitely wide fully connected network.

    With A_l = E[φ(u) φ(v)] and Ȧ_l = E[φ'(u) φ'(v)] under the covariance K_l, A_0 = x·x' / p and Θ_0 = 0,

        K_{l+1} = v A_l + σ_b²,   Θ_{l+1} = s_l A_l + t + v Ȧ_l Θ_l

    where s_l = v, t = σ_b² in the NTK parameterisation, and s_l the fan-in, t = 1 (with biases) in the
    standard one, whose weights carry gradients √(fan-in / v) times as large.

    Args:
        config: one that :func:`has_closed_form`.
        x1: examples [n, p]; numpy or jax.
        x2: examples [m, p] of the same kind.

    Returns:
        :class:`Limits` in the arrays' own dtype.

    Source: Jacot, Gabriel and Hongler (2018); Lee et al. (2019); Sohl-Dickstein et al. (2020) for the
    standard parameterisation.
    """
    dual = DUALS[config.activation]
    variance1, variance2 = _squares(x1)[:, None], _squares(x2)[None, :]
    covariance = ntk = None
    product, fan_in = x1 @ x2.T / x1.shape[1], x1.shape[1]
    for layer in range(config.depth):
        if layer > 0:
            product, slopes = dual(covariance, variance1, variance2)
            variance1, variance2 = (dual(v, v, v)[0] for v in (variance1, variance2))
            ntk, fan_in = slopes * ntk, config.width
        last = layer == config.depth - 1
        weight = config.readout_variance if last else config.weight_variance
        share = _share(config, product, weight, fan_in)
        ntk = share if ntk is None else share + weight * ntk
        covariance, variance1, variance2 = (
            weight * k + _bias_variance(config) for k in (product, variance1, variance2)
        )
    return Limits(covariance, ntk)


def _squares(x):
    return (x * x).sum(axis=1) / x.shape[1]


def _bias_variance(config: MLPConfig) -> float:
    return config.bias_variance if config.bias else 0.0


def _share(config: MLPConfig, product, weight: float, fan_in: int):
    """What one layer's own weights and biases add to the tangent kernel."""
    if config.parameterization == "ntk":
        return weight * product + _bias_variance(config)
    return fan_in * product + float(config.bias)
