"""The arithmetic of layers: pairs of pure functions, composed by :func:`serial`.

Images are [n, height, width, channels]; dense weights are [fan-in, fan-out], convolution weights
[height, width, channels in, channels out]. This module imports jax; modules that only describe
architectures import it inside the functions that build.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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


class Layer(NamedTuple):
    """``init(key) -> params`` (empty where nothing is trained) and ``apply(params, x) -> y``."""

    init: Callable[[jax.Array], dict[str, Any]]
    apply: Callable[[Any, jax.Array], jax.Array]


def serial(**layers: Layer) -> Layer:
    """One layer after the other; parameters are a dictionary by the layers' names."""

    def init(key):
        keys = jax.random.split(key, len(layers))
        drawn = {name: layer.init(key) for (name, layer), key in zip(layers.items(), keys, strict=True)}
        return {name: params for name, params in drawn.items() if params}

    def apply(params, x):
        for name, layer in layers.items():
            x = layer.apply(params.get(name, {}), x)
        return x

    return Layer(init, apply)


def elementwise(function: Callable[[jax.Array], jax.Array]) -> Layer:
    """A layer without parameters."""
    return Layer(lambda key: {}, lambda params, x: function(x))  # noqa: ARG005


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
    """Weights (and biases) whose scale lives in the draw (standard) or in the forward pass (NTK)."""
    weight_deviation = math.sqrt(variance / math.prod(shape[:-1]))
    bias_deviation = math.sqrt(config.bias_variance)
    in_draw = config.parameterization == "standard"

    def init(key):
        weight_key, bias_key = jax.random.split(key)
        params = {"weight": _normal(weight_key, shape, weight_deviation if in_draw else 1.0)}
        if config.bias:
            params["bias"] = _normal(bias_key, shape[-1:], bias_deviation if in_draw else 1.0)
        return params

    def apply(params, x):
        y = product(x, params["weight"])
        if in_draw:
            return y + params["bias"] if config.bias else y
        y = weight_deviation * y
        return y + bias_deviation * params["bias"] if config.bias else y

    return Layer(init, apply)


def _normal(key: jax.Array, shape: tuple[int, ...], deviation: float) -> jax.Array:
    return deviation * jax.random.normal(key, shape, jnp.zeros(()).dtype)


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

    return Network(config, layer.init, apply)
