"""Training of one network, for scripts and notebooks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ntk_explorer.errors import InvalidInput
from ntk_explorer.training.config import TrainingConfig, configure_training
from ntk_explorer.training.epochs import train_epochs

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network: its parameters, those at the epochs that were kept, and its curves.

    ``history`` has ``train_loss``, ``train_accuracy``, ``test_loss``, ``test_accuracy`` and ``learning_rate`` over
    ``epoch``, from 0, which is untrained.
    """

    params: Any = field(repr=False)
    history: xr.Dataset
    checkpoints: Mapping[int, Any] = field(repr=False)


def train(
    f: Callable[..., Any],
    params: Any,
    x: Any,
    y: Any,
    *,
    key: Any,
    config: TrainingConfig | None = None,
    x_test: Any = None,
    y_test: Any = None,
    epochs_kept: Collection[int] = (),
    **options,
) -> Trained:
    """Train a network by gradient descent on its examples.

    The squared loss is the mean over examples of ½‖f(x) − y‖², the cross-entropy that of −log softmax(f(x))_y.

    Args:
        f: a network's function ``f(params, x[n, ...]) -> [n, c]``; hashable.
        params: initial parameters, a pytree of real floating-point arrays; their dtype is that of the arithmetic.
        x: training examples [n, ...].
        y: the class of each [n], or the targets [n, c] of a regression.
        key: from which batches are drawn.
        config: loss, optimiser, schedule, batches and number of epochs; the defaults when None.
        x_test: test examples, for the history alone.
        y_test: their classes or targets.
        epochs_kept: epochs whose parameters to return as well.
        **options: fields of :class:`~ntk_explorer.training.config.TrainingConfig` to change, for instance
            ``epochs=20, optimizer="sgd"``.

    Returns:
        A :class:`Trained`.

    Raises:
        UnknownName: no such option, optimiser or schedule.
        InvalidInput: shapes, labels, batches or a loss that do not fit one another; before anything is computed.
        Diverged: the loss is no longer finite.

    Example:
        >>> import jax, ntk_explorer as ntk
        >>> data = ntk.load_dataset("rings", n=64)
        >>> network = ntk.build("mlp", inputs=data.inputs, outputs=data.outputs, width=32)
        >>> params = network.init(jax.random.key(0))
        >>> trained = ntk.train(network.apply, params, data.x, data.y, key=jax.random.key(1), epochs=3)
        >>> trained.history.sizes["epoch"]
        4
    """
    import jax  # not above: trainings are planned without jax

    config = configure_training(config, **options)
    wrong = [epoch for epoch in epochs_kept if not 0 <= epoch <= config.epochs]
    if wrong:
        raise InvalidInput(f"There is no epoch {wrong[0]} to keep", f"Give epochs from 0 to {config.epochs}.")
    ensemble = jax.tree.map(lambda leaf: leaf[None], params)
    checkpoints, epoch = {}, None
    for epoch in train_epochs(f, ensemble, x, y, config=config, key=key, x_test=x_test, y_test=y_test):
        if epoch.number in epochs_kept:
            checkpoints[epoch.number] = _alone(epoch.params)
    assert epoch is not None  # there is always epoch 0
    return Trained(_alone(epoch.params), epoch.history.isel(seed=0, drop=True), checkpoints)


def _alone(params: Any) -> Any:
    """The only member of an ensemble."""
    import jax  # not above: trainings are planned without jax

    return jax.tree.map(lambda leaf: leaf[0], params)
