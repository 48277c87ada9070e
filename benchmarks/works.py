"""The networks on which our kernels and the peers' are compared, and what they are started from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from ntk_explorer.architectures import Network


@dataclass(frozen=True)
class Work:
    """A network and the number of examples."""

    name: str
    architecture: str
    n: int
    options: dict[str, Any] = field(default_factory=dict)


WORKS = (
    Work("MLP 64-512³-10", "mlp", 256, {"width": 512, "depth": 4}),
    Work("MLP 64-2048³-10", "mlp", 256, {"width": 2048, "depth": 4}),
    Work("MLP 64-1024³-10", "mlp", 1024, {"width": 1024, "depth": 4}),
    Work("CNN 3 × 64, 16×16×3", "cnn", 64, {"width": 64, "inputs": (16, 16, 3)}),
    Work("CNN 3 × 64, 32×32×3", "cnn", 64, {"width": 64, "inputs": (32, 32, 3)}),
    Work("ResNet-18 × 1/4, 32×32×3", "resnet18", 16, {"width": 16}),
    Work("ResNet-18, 32×32×3", "resnet18", 8),
)


def started(network: Network, n: int) -> tuple[Any, np.ndarray]:
    """Parameters and Gaussian examples in float32."""
    x = np.random.default_rng(0).standard_normal((n, *network.config.inputs), np.float32)
    return network.init(jax.random.key(0)), x
