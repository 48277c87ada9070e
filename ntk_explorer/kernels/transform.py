"""From kernels to kernels: cosine, centred, projected, summed over checkpoints.

Each takes a kernel, a function of this package or its name, and returns another one, so that they follow one
another: ``cosine(projected("trntk", 512, key))``. ``cosine`` and ``centred`` also take matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ntk_explorer.errors import InvalidInput
from ntk_explorer.kernels import TRANSFORMS, card_of
from ntk_explorer.kernels._composed import Centred, Composed, Cosine, Kernel, OverCheckpoints, Projected
from ntk_explorer.kernels._matrices import centred_matrix, cosine_matrix


@TRANSFORMS.register(
    "cosine",
    label="cosine",
    equation=r"K(x, x') / \sqrt{K(x, x)\, K(x', x')}",
    reference="Engel et al. (2024), Faithful and Efficient Explanations for Neural Networks via NTK Surrogates",
    cost="the kernel's own products, and one with itself for every example that is read; N² numbers",
    tags=("matrix",),
)
def cosine(kernel: Any, diagonal1: Any = None, diagonal2: Any = None) -> Any:
    """The kernel of gradients brought to length one: unit diagonal, entries within [−1, 1].

    Args:
        kernel: a kernel, or a matrix [n, m] of numpy, JAX or xarray.
        diagonal1: for a matrix: K(x, x) of its rows [n]; the matrix's own diagonal when None.
        diagonal2: for a matrix: K(x', x') of its columns [m]; ``diagonal1`` when None.

    Returns:
        A kernel, or a matrix [n, m]. Shares of the kernel are divided by the lengths of the whole, so that they
        still add up.

    Raises:
        InvalidInput: an example whose gradient is zero has no direction; a matrix that is not square without
            diagonals; blocks of output pairs; a centred kernel, whose matrix has to be complete first.

    Example:
        >>> import numpy as np
        >>> cosine(np.array([[4.0, 2.0], [2.0, 9.0]])).round(3).tolist()
        [[1.0, 0.333], [0.333, 1.0]]
    """
    if not _is_kernel(kernel):
        return cosine_matrix(kernel, diagonal1, diagonal2)
    return Cosine(_scalar(_uncentred(kernel, "cosine")))


@TRANSFORMS.register(
    "centred",
    label="centred",
    equation=r"(g(x) - \bar g) \cdot (g(x') - \bar g),\quad \bar g = \tfrac{1}{m} \sum_j g(x'_j)",
    reference="Schölkopf, Smola & Müller (1998), Nonlinear Component Analysis as a Kernel Eigenvalue Problem",
    cost="the kernel's own, and the products of the columns with themselves where x2 is given; N² numbers",
    tags=("matrix", "in-memory"),
)
def centred(kernel: Any, columns: Any = None) -> Any:
    """The kernel of gradients minus their mean over the columns' examples (those of training).

    Args:
        kernel: a kernel, or a matrix [n, m] of numpy, JAX or xarray.
        columns: for a matrix: the kernel of its columns' examples with themselves [m, m]; the matrix itself when
            None.

    Returns:
        A kernel, or a matrix [n, m]. The kernel computes ``columns`` where ``x2`` is given; it needs its whole
        matrix in memory.

    Raises:
        InvalidInput: a matrix that is not square without ``columns``; blocks of output pairs.

    Example:
        >>> import numpy as np
        >>> centred(np.array([[4.0, 2.0], [2.0, 8.0]])).tolist()
        [[2.0, -2.0], [-2.0, 2.0]]
    """
    if not _is_kernel(kernel):
        return centred_matrix(kernel, columns)
    return Centred(_scalar(_uncentred(kernel, "centred")))


@TRANSFORMS.register(
    "projected",
    label="projected",
    equation=r"\langle S^\top g(x), S^\top g(x') \rangle,\quad S \in \mathbb{R}^{P \times K}",
    reference="Johnson & Lindenstrauss (1984), Extensions of Lipschitz mappings; "
    "Park, Georgiev, Ilyas, Leclerc & Madry (2023), TRAK: Attributing Model Behavior at Scale",
    cost="the kernel's vector-Jacobian products, N P K for the product with S, N² K for the kernel",
)
def projected(kernel: Kernel, k: int, key: Any, *, kind: str = "rademacher") -> Projected:
    """The kernel of gradients that are projected onto ``k`` random directions: unbiased, with error ∝ 1/√k.

    One S of independent entries ±1/√k, or N(0, 1/k), serves all examples and outputs. It is drawn from the key as it
    is needed and never stored; the same key gives the same bits.

    Args:
        kernel: a kernel of gradients: ``entk``, ``pntk``, ``trntk``, ``single_logit``, ``loss_gradient`` or ``margin``.
        k: number of directions; beyond the number of parameters a warning says that the exact kernel costs less.
        key: ``jax.random.key(seed)``.
        kind: ``"rademacher"`` or ``"gaussian"``.

    Returns:
        A kernel of the same shape.

    Raises:
        InvalidInput: ``k`` below one, a key that is none, a kernel without gradients, or one that is projected already.
        UnknownName: another ``kind``.
    """
    from ntk_explorer.reading.projection import Projection  # not above: cards are read without jax

    inner = _name_or_value(kernel)
    card = card_of(inner)
    if "features" in card.tags:
        raise InvalidInput(f"{card.name} has no gradients to project", "Use a tangent kernel, such as pntk.")
    if _made_by(inner, Projected):
        raise InvalidInput(f"{card.name} is projected already", "Project once.")
    return Projected(inner, Projection(k, key, kind))


@TRANSFORMS.register(
    "over_checkpoints",
    label="sum over checkpoints",
    equation=r"\sum_t w_t K_{\theta_t}(x, x')",
    reference="Pruthi, Liu, Kale & Sundararajan (2020), Estimating Training Data Influence by Tracing Gradient Descent",
    cost="the kernel's own products, once per checkpoint",
)
def over_checkpoints(kernel: Kernel, weights: Sequence[float]) -> OverCheckpoints:
    """The weighted sum of a kernel over checkpoints; of loss gradients, with learning rates: TracInCP.

    Args:
        kernel: a kernel.
        weights: one number per checkpoint.

    Returns:
        A kernel that takes a list of parameters, one per checkpoint, in the place of ``params``.

    Raises:
        InvalidInput: no weights, or weights that are not finite; later, another number of checkpoints.
    """
    weights = tuple(float(weight) for weight in weights)
    if not weights or any(weight - weight != 0 for weight in weights):
        raise InvalidInput(f"The weights of the checkpoints are {weights}", "Give one finite number per checkpoint.")
    return OverCheckpoints(_uncentred(kernel, "over_checkpoints"), weights)


def _is_kernel(thing: Any) -> bool:
    return isinstance(thing, str) or callable(thing)


def _name_or_value(kernel: Any) -> Any:
    """The name of a registered kernel, so that functions and names make equal things; a composed one as it is."""
    return kernel if isinstance(kernel, Composed) else card_of(kernel).name


def _uncentred(kernel: Any, name: str) -> Any:
    inner = _name_or_value(kernel)
    if _made_by(inner, Centred):
        raise InvalidInput(
            f"{name}({inner}) needs a centred kernel whose matrix is complete",
            f"Compute {inner} and transform its matrix, or centre last.",
        )
    return inner


def _made_by(kernel: Any, transform: type[Composed]) -> bool:
    return isinstance(kernel, transform) or (isinstance(kernel, Composed) and _made_by(kernel.kernel, transform))


def _scalar(kernel: Any) -> Any:
    card = card_of(kernel)
    if "per-output" in card.tags:
        raise InvalidInput(
            f"{card.name} has blocks [n, m, c, c], not one number for each pair of examples",
            "Use a kernel such as pntk or trntk.",
        )
    return kernel
