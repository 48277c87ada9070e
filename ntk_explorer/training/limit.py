"""The learning rate beyond which gradient descent diverges, measured on the tangent kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ntk_explorer.errors import InvalidInput

MEASURED = 128  # examples at most; their kernel's largest eigenvalue grows in proportion to their number


def estimate_learning_rate_limit(f: Callable[..., Any], params: Any, x: Any, *, examples: int = MEASURED) -> float:
    """2/λ_max(Θ/n): gradient descent on the squared loss ½‖f − y‖², averaged over examples, diverges beyond it.

    λ_max is found by Lanczos iteration on products with the eNTK, without its matrix. Of more than ``examples``
    examples as many are taken at even distances: the largest eigenvalue of Θ/n is about the same for them.

    Args:
        f: a network's function ``f(params, x[n, ...]) -> [n, c]``.
        params: its parameters.
        x: the training examples [n, ...].
        examples: how many of them to measure on.

    Returns:
        The limit, in the units of a learning rate; cross-entropy, whose curvature is smaller, bears twice as much.

    Raises:
        InvalidInput: what :func:`ntk_explorer.kernels.operator.kernel_operator` refuses; one example's kernel is zero.
        NotConverged: the kernel is zero.

    Source: Lee et al. (2019), Wide Neural Networks of Any Depth Evolve as Linear Models.
    """
    import numpy as np

    from ntk_explorer.kernels.operator import kernel_operator
    from ntk_explorer.linalg.top import top_eigenvalues

    rows = np.unique(np.linspace(0, len(x) - 1, min(len(x), examples)).round().astype(int))
    operator = kernel_operator("entk", f, params, x[rows])
    if operator.shape[0] == 1:
        largest = operator.trace()
    else:
        largest = float(top_eigenvalues(operator, 1, tolerance=1e-3).values[0])
    if not largest > 0:
        raise InvalidInput("The tangent kernel of the examples is zero", "Look at the inputs and the parameters.")
    return 2 * len(rows) / largest
