"""What a nonlinearity does to Gaussian preactivations: its dual, two expectations in closed form.

For (u, v) with E[uu] = k₁, E[vv] = k₂ and E[uv] = k, the dual of φ is the pair E[φ(u) φ(v)] and
E[φ'(u) φ'(v)]; the second is the derivative of the first with respect to k (Price 1958). Arguments are arrays
that broadcast against one another, numpy or jax.
"""

from __future__ import annotations

import math
from functools import partial

# Angles whose cosine differs from ±1 by less than this many roundings are 0 or π: the cosine does not tell more,
# and the derivative's dual would turn the rounding into its square root.
SAME = 64


def dual_of_piecewise_linear(covariance, variance1, variance2, *, slope: float):
    """Dual of φ(u) = max(u, 0) + slope · min(u, 0), the sum of an odd and an even part, aligned below.

        E[φφ]   = odd² k + even² (2/π) √(k₁ k₂) (sin θ + (π/2 − θ) cos θ),     cos θ = k / √(k₁ k₂)
        E[φ'φ'] = odd² + even² (1 − 2θ/π),                                     odd, even = (1 ± slope) / 2

    Args:
        covariance: k between the preactivations of two examples.
        variance1: k₁.
        variance2: k₂.
        slope: 0 is relu, 1 the identity.

    Returns:
        The two expectations.

    Source: Cho and Saul (2009), arc-cosine kernels of order 1 and 0.
    """
    xp = covariance.__array_namespace__()
    odd, even = (1 + slope) / 2, (1 - slope) / 2
    scale = xp.sqrt(variance1 * variance2)
    cosine = xp.clip(covariance / xp.where(scale > 0, scale, 1.0), -1.0, 1.0)
    certain = xp.abs(cosine) > 1 - SAME * xp.finfo(cosine.dtype).eps
    cosine = xp.where(certain, xp.sign(cosine), cosine)
    angle = xp.acos(cosine)
    even_product = scale * (xp.sqrt(1 - cosine**2) + (math.pi / 2 - angle) * cosine)
    values = odd**2 * covariance + even**2 * (2 / math.pi) * even_product
    return values, odd**2 + even**2 * (1 - 2 * angle / math.pi)


def dual_of_erf(covariance, variance1, variance2):
    """Dual of the error function; arguments as for :func:`dual_of_piecewise_linear`.

        E[φφ] = (2/π) asin(2k / √q),   E[φ'φ'] = (4/π) / √(q − 4k²),   q = (1 + 2k₁)(1 + 2k₂)

    Source: Williams (1997), Computing with Infinite Networks.
    """
    xp = covariance.__array_namespace__()
    product = (1 + 2 * variance1) * (1 + 2 * variance2)
    values = (2 / math.pi) * xp.asin(2 * covariance / xp.sqrt(product))
    return values, (4 / math.pi) / xp.sqrt(product - 4 * covariance**2)


def dual_of_gelu(covariance, variance1, variance2):
    """Dual of φ(u) = u P(z ≤ u), z ~ N(0, 1); arguments as for :func:`dual_of_piecewise_linear`.

        E[φφ]   = k/4 + (k asin(k/√q) + (k₁k₂ d + k²) / (q √d)) / 2π
        E[φ'φ'] = 1/4 + (asin(k/√q) + k (3 + k₁ + k₂ + k²/d) / (q √d)) / 2π,   q = (1 + k₁)(1 + k₂), d = q − k²

    Source: Tsuchida, Pearce, van der Heide, Roosta and Gallagher (2021), in another form.
    """
    xp = covariance.__array_namespace__()
    q = (1 + variance1) * (1 + variance2)
    d = q - covariance**2
    angle, share = xp.asin(covariance / xp.sqrt(q)), 1 / (q * xp.sqrt(d))
    values = covariance * angle + (variance1 * variance2 * d + covariance**2) * share
    slopes = angle + covariance * (3 + variance1 + variance2 + covariance**2 / d) * share
    return covariance / 4 + values / (2 * math.pi), 1 / 4 + slopes / (2 * math.pi)


DUALS = {
    "relu": partial(dual_of_piecewise_linear, slope=0.0),
    "leaky_relu": partial(dual_of_piecewise_linear, slope=0.01),
    "identity": partial(dual_of_piecewise_linear, slope=1.0),
    "erf": dual_of_erf,
    "gelu": dual_of_gelu,
}
