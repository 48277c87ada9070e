"""Networks of ours written in torch, with the same numbers in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch  # pyright: ignore[reportMissingImports] - no extra of ours asks for it
import torch.nn.functional as functional  # pyright: ignore[reportMissingImports]

from ntk_explorer.architectures._layers import NORMALIZATION_EPSILON

Weights = dict[str, torch.Tensor]


def twin(config: Any, params: Any) -> tuple[Callable[[Weights, torch.Tensor], torch.Tensor], Weights]:
    """``forward(weights, x[n, ...]) -> [n, c]`` and its weights, for ReLU networks without biases."""
    paths = jax.tree_util.tree_flatten_with_path(params)[0]
    weights = {jax.tree_util.keystr(path, simple=True, separator="."): _tensor(leaf) for path, leaf in paths}
    forward = {"mlp": _mlp, "cnn": _cnn}.get(config.architecture, _resnet)
    return lambda weights, x: forward(config, weights, x), weights


def examples(x: np.ndarray) -> torch.Tensor:
    """Images with channels first, as torch computes with them fastest."""
    return torch.as_tensor(np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.ndim == 4 else x)


def _tensor(leaf) -> torch.Tensor:
    """Dense weights become [out, in], convolution weights [out, in, height, width]."""
    axes = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}[np.ndim(leaf)]
    return torch.tensor(np.ascontiguousarray(np.transpose(leaf, axes)))


def _mlp(config, weights, x):
    x = x.flatten(1)
    for i in range(config.depth - 1):
        x = functional.relu(functional.linear(x, weights[f"dense_{i}.weight"]))
    return functional.linear(x, weights["readout.weight"])


def _cnn(config, weights, x):
    for i in range(config.depth):
        x = functional.relu(_convolution(x, weights[f"conv_{i}.weight"]))
    return functional.linear(x.mean((2, 3)), weights["readout.weight"])


def _resnet(config, weights, x):
    x = functional.relu(_normalised(weights, "stem", "stem_norm", x))
    for stage, count in enumerate(config.blocks):
        for i in range(count):
            name, stride = f"stage_{stage}_block_{i}", 2 if stage > 0 and i == 0 else 1
            branch = _normalised(weights, f"{name}.branch.conv_0", f"{name}.branch.norm_0", x, stride)
            branch = functional.relu(branch)
            branch = _normalised(weights, f"{name}.branch.conv_1", f"{name}.branch.norm_1", branch)
            if f"{name}.shortcut.projection.weight" in weights:
                x = _normalised(weights, f"{name}.shortcut.projection", f"{name}.shortcut.norm", x, stride)
            x = functional.relu(x + branch)
    return functional.linear(x.mean((2, 3)), weights["readout.weight"])


def _normalised(weights, convolution: str, norm: str, x, stride: int = 1):
    x = _convolution(x, weights[f"{convolution}.weight"], stride)
    scale = weights[f"{norm}.affine.scale"]
    return functional.group_norm(x, 1, weight=scale, eps=NORMALIZATION_EPSILON)


def _convolution(x, weight, stride: int = 1):
    """Zero padding as in JAX's "SAME": with strides, an odd pixel goes to the right and below."""
    size = weight.shape[-1]
    if stride == 1:
        return functional.conv2d(x, weight, padding=size // 2)
    left, right = zip(*(_padding(extent, size, stride) for extent in x.shape[:1:-1]), strict=True)
    padded = functional.pad(x, [pad for sides in zip(left, right, strict=True) for pad in sides])
    return functional.conv2d(padded, weight, stride=stride)


def _padding(extent: int, size: int, stride: int) -> tuple[int, int]:
    total = max(0, (-(-extent // stride) - 1) * stride + size - extent)
    return total // 2, total - total // 2
