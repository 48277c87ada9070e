"""What each estimator holds in memory, said before anything is read, and which of them fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ntk_explorer.errors import InvalidInput
from ntk_explorer.kernels.estimate import Estimate
from ntk_explorer.marglik import ESTIMATORS
from ntk_explorer.marglik.partitions import checked_size

NUMBER = 8  # bytes of a double
# What is proposed where the exact form does not fit: bounds that lose little as a rule stand before cruder ones.
ORDER = ("full", "ntk", "output", "block", "subset", "subset_output", "diag", "subset_block", "subset_diag")


@dataclass(frozen=True)
class Sizes:
    """N examples of C outputs, and numbers of parameters of every tensor."""

    examples: int
    outputs: int
    tensors: tuple[int, ...]

    @property
    def parameters(self) -> int:
        """P."""
        return sum(self.tensors)

    @property
    def rows(self) -> int:
        """NC."""
        return self.examples * self.outputs


def sizes_of(f: Any, params: Any, x: Any) -> Sizes:
    """Sizes of a problem from the shapes of parameters and examples."""
    import jax  # not above: cards are read without it

    outputs = jax.eval_shape(f, params, jax.ShapeDtypeStruct(x.shape, x.dtype)).shape[1]
    return Sizes(x.shape[0], outputs, tuple(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params)))


def estimate_evidence(sizes: Sizes, estimator: str, *, size: int | None = None, by_output: bool = False) -> Estimate:
    """Bytes that an estimator holds once its features are read, and operations of one evaluation with its gradient.

    Shares of parts Φ_l Φ_lᵀ, their sum, its factor and inverse for what is full in rows; the Jacobian and its Gram
    matrices by parameter elsewhere. What reading the network itself takes comes on top (``kernels.estimate``).

    Args:
        sizes: of the problem, see :func:`sizes_of`.
        estimator: a name of ``ESTIMATORS``.
        size: examples M of a part, for those on parts of the data.
        by_output: whether a part on data is cut by output as well.

    Raises:
        UnknownName: no such estimator.
        InvalidInput: a size that there is not.
    """
    card, n, c, p = ESTIMATORS[estimator], sizes.examples, sizes.outputs, sizes.parameters
    on_parts = estimator.startswith("subset")
    m = checked_size(size, n) if on_parts else n
    by_output = by_output or "outputs" in card.tags
    parts, rows = -(-n // m) * (c if by_output else 1), m * (1 if by_output else c)
    shares = (2 * len(sizes.tensors) + 3) * parts * rows**2
    if estimator.endswith("diag"):
        numbers, flops = 2 * sizes.rows * p + parts * p, 4.0 * parts * p
    elif estimator.endswith("kfac"):
        # Factors of a tensor are no larger than the tensor and its outputs; inputs and sensitivities are kept.
        numbers, flops = sizes.rows * 2 * p // max(1, min(sizes.tensors)) + 2 * parts * p, 6.0 * parts * p
    elif estimator.endswith("block"):
        numbers = shares + parts * sum(min(rows, t) ** 2 for t in sizes.tensors)
        flops = 4.0 * parts * sum(min(rows, t) for t in sizes.tensors)
    elif estimator == "full" and p < rows:
        numbers, flops = 2 * rows * p + 4 * p**2, float(p) ** 3
    else:
        numbers, flops = shares, parts * (float(rows) ** 3 + 2.0 * len(sizes.tensors) * rows**2)
    return Estimate(f"{card.label} of {n} × {c} rows", int(numbers) * NUMBER, flops)


def proposals(sizes: Sizes, available: int, *, size: int = 100) -> list[str]:
    """Estimators that fit into ``available`` bytes, exact forms first, then bounds.

    Raises:
        InvalidInput: none fits.
    """
    size = min(size, sizes.examples)
    found = [name for name in ORDER if estimate_evidence(sizes, name, size=size).bytes <= available]
    if not found:
        raise InvalidInput(
            f"No estimator of {sizes.rows} rows and {sizes.parameters} parameters fits into {available} bytes",
            "Take smaller subsets, fewer examples or a smaller network.",
        )
    return found
