"""The two kernels of a network at infinite width: NNGP and NTK."""

from __future__ import annotations

import math

import numpy as np

from ntk_explorer.architectures import ArchitectureConfig
from ntk_explorer.architectures.cnn import CNNConfig
from ntk_explorer.errors import InvalidInput, UnknownName
from ntk_explorer.infinite import LIMITS
from ntk_explorer.infinite.closed_form import closed_form
from ntk_explorer.infinite.twin import require_twin, twin

# Numbers of one intermediate array: those of numpy stay in the processor's cache, those of JAX are worth a call.
TILES = {"closed_form": 2**16, "neural_tangents": 2**22}


@LIMITS.register(
    "infinite_ntk",
    label="NTK at infinite width",
    equation=r"\Theta_\infty(x, x') \otimes I_O = \lim_{n \to \infty} \mathbb{E}\, \Theta(x, x')",
    reference="Jacot, Gabriel & Hongler (2018), Neural Tangent Kernel",
    cost="O(n² depth) for MLPs, O(n² depth · pixels²) for CNNs",
)
def infinite_ntk(config: ArchitectureConfig, x1, x2=None, *, method: str = "closed_form") -> np.ndarray:
    """The tangent kernel Θ_∞ that the eNTK approaches as Θ_∞ ⊗ I when the network widens.

    In the NTK parameterisation it is the limit, whatever the configuration's width. In the standard
    parameterisation the eNTK grows with the width: each layer's part is that of the NTK parameterisation
    divided by the variance of its draw (weight_variance / fan-in, or 1 for biases, whose gradient is 1), and
    Θ_∞ is the sum of these limits with the configuration's own fan-ins. In both, the relative distance
    ‖Θ − Θ_∞ ⊗ I‖_F / ‖Θ_∞ ⊗ I‖_F vanishes as the width grows.

    Args:
        config: an MLP or CNN whose activation has a dual in closed form, such as ``network.config``;
            ``missing_twin(config)`` gives the reason where there is no limit.
        x1: examples [n, ...].
        x2: examples [m, ...]; ``x1`` again when None.
        method: "closed_form", or "neural_tangents" for the same from that package, which is slower.

    Returns:
        numpy float64 [n, m].

    Raises:
        InvalidInput: no such limit is known, neural-tangents is asked for and not installed, or wrong shapes
            or NaN in ``x1`` or ``x2``.
        UnknownName: no such method.

    Source: Jacot, Gabriel and Hongler (2018); Arora et al. (2019) for convolutions; Sohl-Dickstein et al.
    (2020) for the standard parameterisation; Novak et al. (2020) for neural-tangents.
    """
    return _limit("ntk", config, x1, x2, method)


@LIMITS.register(
    "nngp",
    label="NNGP",
    equation=r"K(x, x')\, \delta_{ab} = \lim_{n \to \infty} \mathbb{E}\, f_a(x) f_b(x')",
    reference="Neal (1994); Lee et al. (2018), Deep Neural Networks as Gaussian Processes",
    cost="O(n² depth) for MLPs, O(n² depth · pixels²) for CNNs",
)
def nngp(config: ArchitectureConfig, x1, x2=None, *, method: str = "closed_form") -> np.ndarray:
    """The covariance of one output of an infinitely wide network at initialisation, in either parameterisation.

    Arguments and errors as for :func:`infinite_ntk`.

    Returns:
        numpy float64 [n, m].
    """
    return _limit("nngp", config, x1, x2, method)


def _limit(which: str, config: ArchitectureConfig, x1, x2, method: str) -> np.ndarray:
    if method not in TILES:
        raise UnknownName("method", method, TILES)
    require_twin(config)
    kernel = _by_closed_form(which, config) if method == "closed_form" else _by_neural_tangents(which, config)
    x1 = _checked(config, x1)
    size = max(1, math.isqrt(TILES[method] // numbers_per_pair(config)))
    return _symmetric(kernel, x1, size) if x2 is None else _tiled(kernel, x1, _checked(config, x2), size)


def numbers_per_pair(config: ArchitectureConfig) -> int:
    """Numbers that describe a pair of examples within an infinitely wide network."""
    if not isinstance(config, CNNConfig):
        return 1
    positions = math.prod(config.inputs[:2])
    return positions**2 if config.pooling == "gap" else positions


def _checked(config: ArchitectureConfig, x) -> np.ndarray:
    """Examples as float64, after the checks that every kernel makes."""
    try:
        x = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidInput("Examples are not numbers", "Pass an array x of shape [n, *inputs].") from None
    if x.ndim < 2 or len(x) == 0 or not config.accepts(x.shape[1:]):
        raise InvalidInput(
            f"Examples of shape {x.shape} do not fit a network built for inputs={config.inputs}",
            "Pass x of shape [n, *inputs], or a configuration with inputs=x.shape[1:].",
        )
    if not np.isfinite(x).all():
        raise InvalidInput("Examples hold NaN or infinite values", "Remove or replace them.")
    return x.reshape(-1, *config.inputs)


def _by_closed_form(which: str, config):
    return lambda x1, x2: getattr(closed_form(config, x1, x2), which)


def _by_neural_tangents(which: str, config: ArchitectureConfig):
    kernel_of_twin = twin(config)[2]  # first of all: it says what is missing
    import jax  # not above: cards are read without jax

    compiled = jax.jit(lambda x1, x2: kernel_of_twin(x1, x2, which))

    def kernel(x1, x2):
        # neural-tangents adds vectors to matrices without saying so.
        with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
            return np.asarray(compiled(x1, x2))

    return kernel


def _tiled(kernel, x1: np.ndarray, x2: np.ndarray, size: int) -> np.ndarray:
    matrix = np.empty((len(x1), len(x2)))
    for rows in _slices(len(x1), size):
        for columns in _slices(len(x2), size):
            matrix[rows, columns] = kernel(x1[rows], x2[columns])
    return matrix


def _symmetric(kernel, x: np.ndarray, size: int) -> np.ndarray:
    matrix = np.empty((len(x), len(x)))
    for rows in _slices(len(x), size):
        for columns in _slices(rows.stop, size):
            tile = kernel(x[rows], x[columns])
            matrix[rows, columns], matrix[columns, rows] = tile, tile.T
    return matrix


def _slices(n: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
