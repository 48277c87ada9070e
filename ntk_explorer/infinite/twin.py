"""From a configuration to the same network in neural-tangents, which knows its limit of infinite width."""

from __future__ import annotations

import math
from typing import Any

from ntk_explorer.architectures import ArchitectureConfig
from ntk_explorer.architectures.cnn import CNNConfig
from ntk_explorer.architectures.mlp import MLPConfig
from ntk_explorer.architectures.resnet import ResNetConfig
from ntk_explorer.errors import InvalidInput
from ntk_explorer.infinite.duals import DUALS


def missing_twin(config: ArchitectureConfig) -> str | None:
    """Why a configuration has no known kernel at infinite width, in one sentence; None when it has one."""
    if not isinstance(config, ArchitectureConfig):
        return f"{type(config).__name__} is no configuration of an architecture, such as network.config"
    if isinstance(config, ResNetConfig):
        return (
            "a ResNet of this layout has no closed form at infinite width: its blocks add an activation to a new "
            "Gaussian, and a nonlinearity follows"
        )
    if not isinstance(config, MLPConfig | CNNConfig):
        return f"no twin of {config.architecture!r} at infinite width has been written"
    if config.activation not in DUALS:
        return f"{config.activation} has no closed form at infinite width"
    return None


def twins_in_words() -> str:
    """Which networks have a known kernel at infinite width: ``an MLP or CNN with relu, … or gelu``."""
    *others, last = DUALS
    return f"an MLP or CNN with {', '.join(others)} or {last}"


def require_twin(config: ArchitectureConfig) -> None:
    """InvalidInput with the reason when there is no twin."""
    reason = missing_twin(config)
    if reason:
        raise InvalidInput(reason[0].upper() + reason[1:], f"Use {twins_in_words()}.")


def twin(config: ArchitectureConfig) -> tuple[Any, Any, Any]:
    """The network of a configuration as neural-tangents builds it: ``(init, apply, kernel)``.

    Weights, biases and parameterisation mean the same in both; only the order and shapes of parameters
    differ. In the standard parameterisation its kernel holds the layers' own factors fan-in, at the
    configuration's width.

    Raises:
        InvalidInput: there is no twin, or neural-tangents is not installed.
    """
    require_twin(config)
    # Not above: choosing a configuration needs neither jax nor neural-tangents.
    from ntk_explorer.infinite._neural_tangents import neural_tangents

    stax = neural_tangents().stax
    if isinstance(config, CNNConfig):
        layers = _cnn(stax, config)
    elif isinstance(config, MLPConfig):
        layers = _mlp(stax, config)
    return stax.serial(*layers)


def _mlp(stax, config: MLPConfig) -> list:
    hidden = [_dense(stax, config, config.width, config.weight_variance), _activation(stax, config)]
    return [stax.Flatten(), *hidden * (config.depth - 1), _readout(stax, config)]


def _cnn(stax, config: CNNConfig) -> list:
    window = (config.kernel_size, config.kernel_size)
    convolution = stax.Conv(
        config.width, window, padding="SAME", W_std=math.sqrt(config.weight_variance), **_common(config)
    )
    pooling = stax.Flatten() if config.pooling == "flatten" else stax.GlobalAvgPool()
    return [*[convolution, _activation(stax, config)] * config.depth, pooling, _readout(stax, config)]


def _readout(stax, config: ArchitectureConfig):
    return _dense(stax, config, config.outputs, config.readout_variance)


def _dense(stax, config: ArchitectureConfig, outputs: int, variance: float):
    return stax.Dense(outputs, W_std=math.sqrt(variance), **_common(config))


def _common(config: ArchitectureConfig) -> dict[str, Any]:
    return {
        "b_std": math.sqrt(config.bias_variance) if config.bias else None,
        "parameterization": config.parameterization,
    }


def _activation(stax, config: ArchitectureConfig):
    makers = {
        "relu": stax.Relu,
        "leaky_relu": lambda: stax.LeakyRelu(0.01),
        "erf": stax.Erf,
        "gelu": stax.Gelu,
        "identity": stax.Identity,
    }
    return makers[config.activation]()
