"""The two kernels of a network at infinite width, by whichever way is at hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ntk_explorer.architectures import ArchitectureConfig
from ntk_explorer.errors import InvalidInput, UnknownName
from ntk_explorer.infinite import LIMITS
from ntk_explorer.infinite.closed_form import closed_form, has_closed_form
from ntk_explorer.infinite.twin import require_twin, twin

METHODS = ("auto", "closed_form", "neural_tangents")
# Numbers of one intermediate array: an image network's kernel holds a number for each pair of positions.
TILE = 2**24


@LIMITS.register(
    "infinite_ntk",
    label="NTK at infinite width",
    equation=r"\Theta_\infty(x, x') \otimes I_O = \lim_{n \to \infty} \mathbb{E}\, \Theta(x, x')",
    reference="Jacot, Gabriel & Hongler (2018), Neural Tangent Kernel",
    cost="O(N² depth) for MLPs, O(N² depth · pixels²) for CNNs",
)
def infinite_ntk(config: ArchitectureConfig, x1, x2=None, *, method="auto", batch_size: int | None = None):
    """The tangent kernel Θ_∞ that the eNTK approaches as Θ_∞ ⊗ I when the network widens.

    In the NTK parameterisation it is the limit, whatever the configuration's width. In the standard
    parameterisation the eNTK grows with the width: each layer's part is that of the NTK parameterisation
    divided by the variance of its draw (weight_variance / fan-in, or 1 for biases, whose gradient is 1), and
    Θ_∞ is the sum of these limits with the configuration's own fan-ins. In both, the relative distance
    ‖Θ_∞ ⊗ I − Θ‖_F / ‖Θ‖_F vanishes as the width grows.

    Args:
        config: an MLP or CNN whose activation has a closed form; ``missing_twin(config)`` gives the reason
            where there is none.
        x1: examples [n, ...].
        x2: examples [m, ...]; ``x1`` again when None.
        method: "closed_form" (MLPs with relu, leaky_relu, identity or erf), "neural_tangents" (also CNNs and
            gelu), or "auto", the first of them that will do.
        batch_size: examples taken at a time; bounds memory, never changes the result beyond rounding.

    Returns:
        numpy float64 [n, m].

    Raises:
        InvalidInput: no such limit is known, neural-tangents is needed and not installed, or wrong shapes or
            NaN in ``x1`` or ``x2``.

    Source: Jacot, Gabriel and Hongler (2018); Arora et al. (2019) for convolutions; Sohl-Dickstein et al.
    (2020) for the standard parameterisation; Novak et al. (2020) for neural-tangents.
    """
    return _limit("ntk", config, x1, x2, method, batch_size)


@LIMITS.register(
    "nngp",
    label="NNGP",
    equation=r"K(x, x')\, \delta_{ab} = \lim_{n \to \infty} \mathbb{E}\, f_a(x) f_b(x')",
    reference="Neal (1994); Lee et al. (2018), Deep Neural Networks as Gaussian Processes",
    cost="O(N² depth) for MLPs, O(N² depth · pixels²) for CNNs",
)
def nngp(config: ArchitectureConfig, x1, x2=None, *, method="auto", batch_size: int | None = None):
    """The covariance of one output of an infinitely wide network at initialisation, the same in both parameterisations.

    Arguments and errors as for :func:`infinite_ntk`.

    Returns:
        numpy float64 [n, m].
    """
    return _limit("nngp", config, x1, x2, method, batch_size)


def _limit(which: str, config: ArchitectureConfig, x1, x2, method: str, batch_size: int | None) -> np.ndarray:
    if method not in METHODS:
        raise UnknownName("method", method, METHODS)
    require_twin(config)
    x1 = _checked(config, x1)
    x2 = x1 if x2 is None else _checked(config, x2)
    if method == "auto":
        method = "closed_form" if has_closed_form(config) else "neural_tangents"
    kernel = (_by_closed_form if method == "closed_form" else _by_neural_tangents)(which, config)
    return _tiled(kernel, x1, x2, _batch_size(config, method, batch_size))


def _checked(config: ArchitectureConfig, x) -> np.ndarray:
    """Examples as float64, after the checks that every kernel makes."""
    try:
        x = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput("Examples are not numbers", "Pass an array x of shape [n, *inputs].") from None
    if x.ndim < 2 or not config.accepts(x.shape[1:]):
        raise InvalidInput(
            f"Examples of shape {x.shape[1:]} do not fit a network built for inputs={config.inputs}",
            "Pass x of shape [n, *inputs], or a configuration with inputs=x.shape[1:].",
        )
    if not np.isfinite(x).all():
        raise InvalidInput("Examples hold NaN or infinite values", "Remove or replace them.")
    return x


def _by_closed_form(which: str, config: Any):
    if not has_closed_form(config):
        raise InvalidInput(
            f"The closed form does not cover a {config.architecture} with {config.activation}",
            'Use method="neural_tangents".',
        )

    def kernel(x1, x2):
        return getattr(closed_form(config, x1.reshape(len(x1), -1), x2.reshape(len(x2), -1)), which)

    return kernel


def _by_neural_tangents(which: str, config: ArchitectureConfig):
    kernel_of_twin = twin(config)[2]  # first of all: it says what is missing
    import jax  # not above: cards are read without jax

    compiled = jax.jit(lambda x1, x2: kernel_of_twin(x1, x2, which))
    inputs = config.inputs

    def kernel(x1, x2):
        # neural-tangents adds vectors to matrices without saying so.
        with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
            return np.asarray(compiled(x1.reshape(-1, *inputs), x2.reshape(-1, *inputs)))

    return kernel


def _batch_size(config: ArchitectureConfig, method: str, batch_size: int | None) -> int:
    if batch_size is None:
        positions = math.prod(config.inputs[:2]) if method == "neural_tangents" and len(config.inputs) == 3 else 1
        return max(1, math.isqrt(TILE // positions**2))
    if batch_size < 1:
        raise InvalidInput(f"batch_size = {batch_size} takes no examples", "Give 1 or more, or None.")
    return batch_size


def _tiled(kernel, x1: np.ndarray, x2: np.ndarray, size: int) -> np.ndarray:
    rows = [
        np.concatenate([kernel(x1[i : i + size], x2[j : j + size]) for j in range(0, len(x2), size)], axis=1)
        for i in range(0, len(x1), size)
    ]
    return np.concatenate(rows)
