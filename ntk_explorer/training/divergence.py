"""What is said when a loss is no longer finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ntk_explorer.errors import InvalidInput, NTKExplorerError

if TYPE_CHECKING:
    from ntk_explorer.training._problem import Problem


class Diverged(NTKExplorerError, ArithmeticError):
    """A training whose loss is no longer finite."""


def diverged(problem: Problem, epoch: int, member: int, rate: float) -> NTKExplorerError:
    """The error that names the epoch, the learning rate and the limit 2/λ_max(Θ/n) at the initial parameters.

    ``rate`` is the largest of the schedule: that of the last step may be next to nothing.
    """
    if epoch == 0:
        return InvalidInput(
            f"The loss of seed {member} is not finite before the first step",
            "Check the inputs, the depth and the variances of the weights.",
        )
    what = f"The training diverged in epoch {epoch}: the loss of seed {member} is not finite"
    used = f"{what}. The learning rate was {rate:.3g}"
    optimizer = problem.config.optimizer
    try:
        limit = problem.limit(member)
    except NTKExplorerError:  # of functions that no kernel can be computed from
        return Diverged(used, f"Take a learning rate of {rate / 10:.2g} or less.")
    bound = f"{used}; the limit 2/λ_max(Θ/n) at initialisation is {limit:.3g}"
    if optimizer in ("sgd", "momentum") and rate > limit / 2:
        return Diverged(bound, f"Take at most half of the limit, {limit / 2:.2g}, as is done where none is given.")
    return Diverged(bound, f"Take a learning rate of {rate / 10:.2g} or less, or schedule='warmup_cosine'.")
