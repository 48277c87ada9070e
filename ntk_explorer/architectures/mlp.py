"""Fully connected networks."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from ntk_explorer.architectures import ARCHITECTURES
from ntk_explorer.architectures._base import ArchitectureConfig, Network


class MLPConfig(ArchitectureConfig, frozen=True):
    """Options of a fully connected network; inputs of any shape are flattened."""

    architecture: Literal["mlp"] = "mlp"
    depth: int = Field(3, ge=2, le=64, description="number of weight layers, readout included")

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Any shape with as many features: examples are flattened."""
        return math.prod(shape) == math.prod(self.inputs)


@ARCHITECTURES.register(
    "mlp",
    label="MLP",
    config=MLPConfig,
    equation=r"h_l = \phi(h_{l-1} W_l + b_l),\quad f(x) = h_{L-1} W_L + b_L",
    reference="Rosenblatt (1958); initialisation of He et al. (2015)",
    cost="O(depth · width²) parameters",
)
def mlp(config: MLPConfig) -> Network:
    """Dense layers with a nonlinearity between them, and a linear readout."""
    # jax is imported only when a network is built: configurations are read in processes without it.
    from ntk_explorer.architectures import _layers as layers

    stack = {"flatten": layers.flatten()}
    fan_in = math.prod(config.inputs)
    for i in range(config.depth - 1):
        stack[f"dense_{i}"] = layers.dense(config, fan_in, config.width, variance=config.weight_variance)
        stack[f"activation_{i}"] = layers.activation(config)
        fan_in = config.width
    return layers.network(config, layers.serial(**stack, readout=layers.readout(config, fan_in)))
