"""The linearised network: the first-order Taylor expansion of a network in its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Linearised:
    """``f_lin(params, x) = f(params0, x) + J(x) (params − params0)``; equal to itself alone, as functions are."""

    def __init__(self, f: Callable[..., Any], params0: Any):
        """Keep the network and the parameters about which it is expanded."""
        self.f, self.params0 = f, params0

    def __call__(self, params: Any, x: Any) -> Any:
        """Outputs [n, c] of examples [n, ...]."""
        import jax  # not above: trainings are planned without jax

        step = jax.tree.map(lambda a, b: a - b, params, self.params0)
        outputs, change = jax.jvp(lambda at: self.f(at, x), (self.params0,), (step,))
        return outputs + change


def linearised(f: Callable[..., Any], params0: Any) -> Callable[..., Any]:
    """The network linearised in its parameters about ``params0``.

    f_lin(params, x) = f(params0, x) + J(x) (params − params0), whose tangent kernel is everywhere that of ``f`` at
    ``params0``. It trains as any network does; gradient descent on the squared loss then has a closed form.

    Args:
        f: a network's function ``f(params, x[n, ...]) -> [n, c]``.
        params0: parameters about which it is expanded.

    Returns:
        A function ``f_lin(params, x[n, ...]) -> [n, c]``, hashable.

    Source: Jacot, Gabriel & Hongler (2018), Neural Tangent Kernel; Lee, Xiao, Schoenholz, Bahri, Novak,
    Sohl-Dickstein & Pennington (2019), Wide Neural Networks of Any Depth Evolve as Linear Models.
    """
    return Linearised(f, params0)
