"""Plain convolutional networks."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from pydantic import Field

from ntk_explorer.architectures import ARCHITECTURES
from ntk_explorer.architectures._base import ImageConfig, Network


class CNNConfig(ImageConfig, frozen=True):
    """Options of a plain convolutional network."""

    default_widths: ClassVar[tuple[int, ...]] = (4, 8, 16, 32, 64, 128)

    architecture: Literal["cnn"] = "cnn"
    width: int = Field(32, ge=1, le=4096, description="channels of every convolution")
    depth: int = Field(3, ge=1, le=64, description="number of convolutions; the readout comes on top")
    kernel_size: int = Field(3, ge=1, le=31, description="height and width of a convolution's window, in pixels")
    pooling: Literal["gap", "flatten"] = Field(
        "gap",
        description="before the readout: the mean over all positions (gap), or all positions as they are (flatten)",
    )


@ARCHITECTURES.register(
    "cnn",
    label="CNN",
    config=CNNConfig,
    equation=r"h_l = \phi(W_l * h_{l-1} + b_l),\quad f(x) = \operatorname{pool}(h_L)\, W + b",
    reference="LeCun et al. (1989); global average pooling of Lin et al. (2014)",
    cost="O(depth · width²) parameters, used at every position",
)
def cnn(config: CNNConfig) -> Network:
    """Convolution and nonlinearity in turn at full resolution, pooling, and a linear readout."""
    # jax is imported only when a network is built: configurations are read in processes without it.
    from ntk_explorer.architectures import _layers as layers

    height, width, channels = config.inputs
    stack = {}
    for i in range(config.depth):
        stack[f"conv_{i}"] = layers.convolution(config, channels, config.width, size=config.kernel_size)
        stack[f"activation_{i}"] = layers.activation(config)
        channels = config.width
    flat = config.pooling == "flatten"
    stack["pooling"] = layers.flatten() if flat else layers.global_average_pooling()
    features = math.prod((height, width, channels)) if flat else channels
    return layers.network(config, layers.serial(**stack, readout=layers.readout(config, features)))
