"""Training an ensemble, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ntk_explorer.training.config import TrainingConfig

if TYPE_CHECKING:
    import xarray as xr

    from ntk_explorer.training._problem import Problem


@dataclass(frozen=True, eq=False)
class Epoch:
    """An ensemble after so many epochs; the arrays of ``params`` and ``optimizer_state`` have a leading axis of seeds.

    ``history`` holds ``train_loss``, ``train_accuracy``, ``test_loss``, ``test_accuracy`` and ``learning_rate`` with
    dims (seed, epoch), from epoch 0, which is untrained, to this one: losses are means over all examples at the end of
    the epoch, accuracies NaN for a regression, learning rates those of the epoch's last step; ``base_learning_rate``
    (seed) is what the schedule scales.
    """

    number: int
    params: Any = field(repr=False)
    optimizer_state: Any = field(repr=False)
    history: xr.Dataset = field(repr=False)


def train_epochs(
    f: Callable[..., Any],
    params: Any,
    x: Any,
    y: Any,
    *,
    config: TrainingConfig,
    key: Any,
    x_test: Any = None,
    y_test: Any = None,
    linearised: bool = False,
    start: Epoch | None = None,
) -> Iterator[Epoch]:
    """Train an ensemble by gradient descent; all members are advanced by one compiled program.

    An epoch passes over all examples in an order drawn from ``fold_in(fold_in(key, member), epoch)``, the last batch as
    small as it is; so it needs nothing of the epochs before but their result. The arithmetic is that of the
    parameters' dtype, with matrix products in full precision.

    Args:
        f: a network's function ``f(params, x[n, ...]) -> [n, c]``; hashable.
        params: initial parameters, every array with a leading axis of seeds.
        x: training examples [n, ...].
        y: the class of each [n], or the targets [n, c] of a regression.
        config: loss, optimiser, schedule, batches and number of epochs.
        key: from which batches are drawn.
        x_test: test examples, for the history alone.
        y_test: their classes or targets.
        linearised: train f_lin = f(params, ·) + J (· − params), each member about its initial parameters.
        start: an epoch of the same training to go on from.

    Yields:
        Epoch 0, which is untrained, then 1, 2, … to ``config.epochs``; after ``start`` those that follow it.

    Raises:
        InvalidInput: shapes, labels, batches or a loss that do not fit one another; before anything is computed.
        Diverged: the loss of a member is no longer finite.
    """
    from ntk_explorer.training._problem import prepare  # not above: trainings are planned without jax

    options: dict[str, Any] = {"x_test": x_test, "y_test": y_test, "linearised": linearised}
    return run(prepare(f, params, x, y, config=config, key=key, **options), start)


def run(problem: Problem, start: Epoch | None = None) -> Iterator[Epoch]:
    """The epochs of a checked training; see :func:`train_epochs`."""
    from ntk_explorer.training import _loop  # not above: trainings are planned without jax

    if start is None:
        start = _untrained(problem)
        yield start
    rates = start.history["base_learning_rate"].values
    with problem.arithmetic():
        members = problem.members(start.params, start.optimizer_state, rates)
    examples, history = (problem.train.x, problem.train.targets), start.history
    for number in range(start.number + 1, problem.config.epochs + 1):
        with problem.arithmetic():
            members = _loop.advance(problem.f, problem.recipe, members, *examples, number, apart=problem.apart)
        history = _recorded(problem, number, members.params, rates, history)
        yield Epoch(number, members.params, members.state, history)


def _untrained(problem: Problem) -> Epoch:
    rates = problem.rates()
    return Epoch(0, problem.params, problem.state(rates), _recorded(problem, 0, problem.params, rates, None))


def _recorded(problem: Problem, number: int, params: Any, rates: Any, history: xr.Dataset | None) -> xr.Dataset:
    """The history with this epoch.

    Raises:
        Diverged: a loss is not finite.
    """
    import numpy as np

    from ntk_explorer.training import _loop  # not above: trainings are planned without jax
    from ntk_explorer.training.divergence import diverged
    from ntk_explorer.training.history import extended

    origin = problem.params if problem.linearised else None
    row = {"test_loss": np.full(problem.seeds, np.nan), "test_accuracy": np.full(problem.seeds, np.nan)}
    with problem.arithmetic():
        for name, examples in (("train", problem.train), ("test", problem.test)):
            if examples is not None:
                row[f"{name}_loss"], row[f"{name}_accuracy"] = _loop.evaluate(
                    problem.f,
                    problem.recipe.loss,
                    params,
                    origin,
                    examples.x,
                    examples.targets,
                    classes=problem.classes,
                    apart=problem.apart,
                )
        row["learning_rate"] = rates * problem.factor(number)
    wrong = np.flatnonzero(~np.isfinite(row["train_loss"]))
    if len(wrong):
        raise diverged(problem, number, int(wrong[0]), float(rates[wrong[0]]))
    return extended(history, rates, row)
