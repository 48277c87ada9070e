"""Plain networks at infinite width, in closed form: no sampling, no neural-tangents.

Preactivations of a wide layer are Gaussian, so that a pair of examples is described by its covariance and two
variances: three numbers in a fully connected network; in a convolutional one as many for each pair of
positions, or for each position alone where the readout never mixes positions.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ntk_explorer.architectures.cnn import CNNConfig
from ntk_explorer.architectures.mlp import MLPConfig
from ntk_explorer.infinite.duals import DUALS


class Limits(NamedTuple):
    """``nngp`` and ``ntk`` [n, m], each the multiple of the identity between outputs."""

    nngp: Any
    ntk: Any


def closed_form(config: MLPConfig | CNNConfig, x1, x2) -> Limits:
    """Covariance of the outputs and tangent kernel of an infinitely wide network.

    With A_l = E[φ(u) φ(v)] and Ȧ_l = E[φ'(u) φ'(v)] under the covariance K_l, A_0 = x·x' / channels, Θ_0 = 0, and
    M the mean over a convolution's window (over all positions in the readout, nothing in a dense layer),

        K_{l+1} = v M[A_l] + σ_b²,   Θ_{l+1} = s_l M[A_l] + t + v M[Ȧ_l Θ_l]

    where s_l = v, t = σ_b² in the NTK parameterisation, and s_l the fan-in, t = 1 (with biases) in the
    standard one, whose weights carry gradients √(fan-in / v) times as large.

    Args:
        config: an MLP or CNN whose activation is one of ``DUALS``.
        x1: examples [n, *inputs]; numpy or jax.
        x2: examples [m, *inputs] of the same kind.

    Returns:
        :class:`Limits` in the arrays' own dtype.

    Source: Jacot, Gabriel and Hongler (2018); Lee et al. (2019); Arora et al. (2019) for convolutions;
    Sohl-Dickstein et al. (2020) for the standard parameterisation.
    """
    layout, dual = _layout(config), DUALS[config.activation]
    product = layout.product(x1, x2)
    squares = [layout.squares(x1), layout.squares(x2)]
    ntk, fan_in = 0 * product, layout.first_fan_in
    for _ in range(layout.hidden):
        covariance, ntk = _affine(config, layout.window(product), layout.window(ntk), config.weight_variance, fan_in)
        variances = [_affine(config, layout.each(square), 0, config.weight_variance, 0)[0] for square in squares]
        product, slopes = dual(covariance, layout.first(variances[0]), layout.second(variances[1]))
        ntk, fan_in = slopes * ntk, layout.window_size * config.width
        squares = [dual(variance, variance, variance)[0] for variance in variances]
    fan_in = layout.readout_positions * config.width
    return Limits(*_affine(config, layout.mean(product), layout.mean(ntk), config.readout_variance, fan_in))


def _affine(config: Any, product, ntk, variance: float, fan_in: int):
    """The covariance after a layer's weights and biases, and the tangent kernel with their own part of it."""
    bias_variance = config.bias_variance if config.bias else 0.0
    covariance = variance * product + bias_variance
    own = covariance if config.parameterization == "ntk" else fan_in * product + float(config.bias)
    return covariance, own + variance * ntk


def _layout(config: Any) -> Any:
    if isinstance(config, MLPConfig):
        return _Vectors(config)
    return _PositionPairs(config) if config.pooling == "gap" else _Positions(config)


class _Vectors:
    """Numbers [n, m] of fully connected networks; examples of any shape are flattened."""

    window_size = readout_positions = 1

    def __init__(self, config: Any):
        self.hidden, self.first_fan_in = config.depth - 1, math.prod(config.inputs)

    def product(self, x1, x2):
        x1, x2 = x1.reshape(len(x1), -1), x2.reshape(len(x2), -1)
        return x1 @ x2.T / x1.shape[1]

    def squares(self, x):
        return (x * x).reshape(len(x), -1).mean(axis=1)

    def first(self, variance):
        return variance[:, None]

    def second(self, variance):
        return variance[None, :]

    def each(self, square):
        return square

    window = mean = each


class _Positions:
    """Numbers [n, m, height, width] of convolutional networks whose positions never meet."""

    def __init__(self, config: Any):
        self.hidden, self.size = config.depth, config.kernel_size
        self.window_size = config.kernel_size**2
        self.first_fan_in = self.window_size * config.inputs[-1]
        self.readout_positions = math.prod(config.inputs[:2])

    def product(self, x1, x2):
        return x1.__array_namespace__().einsum("ahwc,bhwc->abhw", x1, x2) / x1.shape[-1]

    def squares(self, x):
        return (x * x).mean(axis=-1)

    def first(self, variance):
        return variance[:, None]

    def second(self, variance):
        return variance[None, :]

    def each(self, square):
        return _slide(_slide(square, self.size, -2), self.size, -1)

    window = each

    def mean(self, array):
        return array.mean(axis=(-2, -1))


class _PositionPairs(_Positions):
    """Numbers [n, m, height, height', width, width'], for a readout that takes the mean over positions."""

    def __init__(self, config: Any):
        super().__init__(config)
        self.readout_positions = 1

    def product(self, x1, x2):
        return x1.__array_namespace__().einsum("ahwc,buvc->abhuwv", x1, x2) / x1.shape[-1]

    def first(self, variance):
        return variance[:, None, :, None, :, None]

    def second(self, variance):
        return variance[None, :, None, :, None, :]

    def window(self, array):
        return _slide(_slide(array, self.size, -4, -3), self.size, -2, -1)

    def mean(self, array):
        return array.mean(axis=(-4, -3, -2, -1))


def _slide(array, size: int, *axes: int):
    """Mean over ``size`` steps along all axes at once, with zeros outside, as in a padded convolution."""
    axes = tuple(axis % array.ndim for axis in axes)
    length, before = array.shape[axes[0]], (size - 1) // 2
    margins = [(before, size - 1 - before) if axis in axes else (0, 0) for axis in range(array.ndim)]
    padded = array.__array_namespace__().pad(array, margins)

    def step(k):
        return padded[tuple(slice(k, k + length) if axis in axes else slice(None) for axis in range(array.ndim))]

    return sum(step(k) for k in range(1, size)) / size + step(0) / size
