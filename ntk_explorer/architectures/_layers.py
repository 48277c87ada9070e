"""The arithmetic of layers: how parameters start and what they do to an input, composed by :func:`serial`.

Images are [n, height, width, channels]; dense weights are [fan-in, fan-out], convolution weights
[height, width, channels in, channels out]. This module imports jax; modules that only describe
architectures import it inside the functions that build.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ntk_explorer.architectures._base import ArchitectureConfig, Network
from ntk_explorer.errors import InvalidInput

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "erf": jax.scipy.special.erf,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "leaky_relu": jax.nn.leaky_relu,
    "identity": lambda x: x,
}

NORMALIZATION_EPSILON = 1e-6


@dataclass(frozen=True)
class Normal:
    """How one parameter starts: independent draws from N(mean, deviation²)."""

    shape: tuple[int, ...]
    deviation: float
    mean: float = 0.0


class Layer(NamedTuple):
    """``start``: nested dictionary of :class:`Normal`, empty where nothing is trained; ``apply(params, x) -> y``."""

    start: dict[str, Any]
    apply: Callable[[Any, jax.Array], jax.Array]


def draw(key: jax.Array, start: dict[str, Any]) -> dict[str, Any]:
    """Draw all parameters, in JAX's default float type.

    One long draw, cut into pieces: XLA takes a quarter of a second to compile each draw of another shape.
    """
    leaves, tree = jax.tree.flatten(start)
    sizes = [math.prod(leaf.shape) for leaf in leaves]
    normal = jax.random.normal(key, (sum(sizes),), jnp.zeros(()).dtype)
    pieces = jnp.split(normal, list(itertools.accumulate(sizes))[:-1])
    return tree.unflatten(
        [leaf.mean + leaf.deviation * piece.reshape(leaf.shape) for leaf, piece in zip(leaves, pieces, strict=True)]
    )


def serial(**layers: Layer) -> Layer:
    """One layer after the other; parameters are a dictionary by the layers' names."""

    def apply(params, x):
        for name, layer in layers.items():
            x = layer.apply(params.get(name, {}), x)
        return x

    return Layer({name: layer.start for name, layer in layers.items() if layer.start}, apply)


def residual(branch: Layer, shortcut: Layer) -> Layer:
    """The sum of two layers' outputs at the same input."""

    def apply(params, x):
        return branch.apply(params.get("branch", {}), x) + shortcut.apply(params.get("shortcut", {}), x)

    return Layer(serial(branch=branch, shortcut=shortcut).start, apply)


def elementwise(function: Callable[[jax.Array], jax.Array]) -> Layer:
    """A layer without parameters."""
    return Layer({}, lambda params, x: function(x))  # noqa: ARG005


def identity() -> Layer:
    """What goes in comes out."""
    return elementwise(lambda x: x)


def activation(config: ArchitectureConfig) -> Layer:
    """The nonlinearity that the configuration names."""
    return elementwise(ACTIVATIONS[config.activation])


def flatten() -> Layer:
    """All axes of an example in one."""
    return elementwise(lambda x: x.reshape(x.shape[0], -1))


def global_average_pooling() -> Layer:
    """The mean over all positions of an image."""
    return elementwise(lambda x: x.mean(axis=(1, 2)))


def dense(config: ArchitectureConfig, fan_in: int, fan_out: int, *, variance: float) -> Layer:
    """``y = s x W + t b``, with W and b drawn, and s and t set, by the parameterisation.

    Args:
        config: parameterisation, bias and its variance.
        fan_in: input features p.
        fan_out: output features o.
        variance: variance of the effective weights s W, times the fan-in.
    """
    return _affine(config, (fan_in, fan_out), variance, jnp.matmul)


def readout(config: ArchitectureConfig, fan_in: int) -> Layer:
    """The last dense layer."""
    return dense(config, fan_in, config.outputs, variance=config.readout_variance)


def convolution(
    config: ArchitectureConfig, channels_in: int, channels_out: int, *, size: int = 3, stride: int = 1
) -> Layer:
    """A ``size``×``size`` convolution over zero-padded images ("same"); the fan-in is size² channels."""

    def convolve(x, weight):
        return jax.lax.conv_general_dilated(
            x, weight, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    return _affine(config, (size, size, channels_in, channels_out), config.weight_variance, convolve)


def _affine(config: ArchitectureConfig, shape: tuple[int, ...], variance: float, product: Callable) -> Layer:
    """Weights and biases whose deviation lives in the draw (standard) or in the forward pass (NTK)."""
    deviation, factor = _deviations(config, math.sqrt(variance / math.prod(shape[:-1])))
    bias = _bias(config, shape[-1])

    def apply(params, x):
        return bias.apply(params, _times(factor, product(x, params["weight"])))

    return Layer({"weight": Normal(shape, deviation)} | bias.start, apply)


def _bias(config: ArchitectureConfig, channels: int) -> Layer:
    """Adds one number per feature or channel, if the configuration asks for biases."""
    if not config.bias:
        return identity()
    deviation, factor = _deviations(config, math.sqrt(config.bias_variance))

    def apply(params, x):
        return x + _times(factor, jnp.broadcast_to(params["bias"], x.shape))

    return Layer({"bias": Normal((channels,), deviation)}, apply)


def _deviations(config: ArchitectureConfig, deviation: float) -> tuple[float, float]:
    """The standard deviation of the draw, and the factor in the forward pass."""
    return (deviation, 1.0) if config.parameterization == "standard" else (1.0, deviation)


def _times(factor: float, x: jax.Array) -> jax.Array:
    return x if factor == 1 else factor * x


def normalization(config: ArchitectureConfig, channels: int, kind: str) -> Layer:
    """Zero mean and unit variance over positions and channels of each example, then a trained scale (and shift).

    Args:
        config: bias (adds the shift, which is drawn like any bias) and parameterisation.
        channels: channels of the image.
        kind: "layer" (all channels together), "group" (groups of about 16 channels) or "none".

    Source: Ba et al. (2016), Wu and He (2018).
    """
    if kind == "none":
        return identity()
    groups = 1 if kind == "layer" else _groups(channels)
    standardise = elementwise(lambda x: _standardise(x, groups))
    return serial(standardise=standardise, affine=_scale_and_shift(config, channels))


def _groups(channels: int) -> int:
    """How many equal groups of at least 16 channels, or one."""
    return next(g for g in range(max(1, channels // 16), 0, -1) if channels % g == 0)


def _standardise(x: jax.Array, groups: int) -> jax.Array:
    n, height, width, channels = x.shape
    x = x.reshape(n, height, width, groups, channels // groups)
    x = x - x.mean(axis=(1, 2, 4), keepdims=True)
    x = x * jax.lax.rsqrt(jnp.square(x).mean(axis=(1, 2, 4), keepdims=True) + NORMALIZATION_EPSILON)
    return x.reshape(n, height, width, channels)


def _scale_and_shift(config: ArchitectureConfig, channels: int) -> Layer:
    """A factor per channel, 1 at first in both parameterisations, and a bias as in any layer."""
    bias = _bias(config, channels)

    def apply(params, x):
        return bias.apply(params, x * jnp.broadcast_to(params["scale"], x.shape))

    return Layer({"scale": Normal((channels,), deviation=0.0, mean=1.0)} | bias.start, apply)


def network(config: ArchitectureConfig, layer: Layer) -> Network:
    """Close a layer into a network that checks its inputs and works in its parameters' dtype."""

    def apply(params, x):
        x = jnp.asarray(x)
        if not config.accepts(x.shape[1:]):
            raise InvalidInput(
                f"Examples of shape {x.shape[1:]} do not fit a network built for inputs={config.inputs}",
                "Pass x of shape [n, *inputs], or build the network with inputs=x.shape[1:].",
            )
        return layer.apply(params, x.astype(jax.tree.leaves(params)[0].dtype))

    # Compiled as a whole: eagerly, each piece of the draw would be compiled by itself.
    return Network(config, jax.jit(lambda key: draw(key, layer.start)), apply)
