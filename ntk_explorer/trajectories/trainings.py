"""The trainings of a trajectory: an ensemble per width, and its linearised one, with checkpoints in the store."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

from ntk_explorer.architectures import Network
from ntk_explorer.store import Store
from ntk_explorer.sweeps.cells import initialise, network_at
from ntk_explorer.training.checkpoints import PRODUCER, ROLLING, StoredTraining, open_history
from ntk_explorer.training.stored import train_stored
from ntk_explorer.trajectories.assembly import Curves
from ntk_explorer.trajectories.parts import Run, training_of
from ntk_explorer.trajectories.setting import Setting

if TYPE_CHECKING:
    import xarray as xr


def initial_params(setting: Setting, network: Network, index: int) -> Any:
    """Parameters of one seed before training: those of a sweep's cell in double precision, in the training's dtype."""
    import jax  # not above: plans and results are handled without jax

    with jax.enable_x64(True):
        params = initialise(setting.plan, network, index)
        return jax.tree.map(lambda leaf: np.asarray(leaf, setting.plan.dtype), params)


def trained(setting: Setting, store: Store, run: Run, keep: Sequence[int]) -> Generator[Curves, None, None]:
    """Train the ensemble of one width, or go on where the store's checkpoints end; its curves after every epoch.

    Args:
        setting: the plan and its examples.
        store: where checkpoints are kept: of the epochs in ``keep``, of the last, and of the latest now and then.
        run: width, and whether the linearised networks are trained.
        keep: epochs.
    """
    import jax  # not above: plans and results are handled without jax

    plan, split, (width, linearised) = setting.plan, setting.split, run
    network = network_at(plan, setting.train, width)
    params = [initial_params(setting, network, index) for index in range(plan.seeds)]
    epochs = train_stored(
        store,
        network.apply,
        jax.tree.map(lambda *leaves: np.stack(leaves), *params),
        split.pop("x"),
        split.pop("y"),
        network=training_of(plan, setting.facts, *run).network,
        config=plan.training,
        seed=plan.seed,
        linearised=linearised,
        keep=keep,
        **split,
    )
    latest = -1
    with closing(epochs):  # so that the latest epoch is kept when nobody asks for the next one
        for epoch in epochs:
            if epoch.number > latest:  # an earlier one is trained again where its checkpoint is gone
                latest = epoch.number
                yield curves(run, epoch.history)


def found_curves(store: Store, run: Run, training: StoredTraining, last: int) -> Curves | None:
    """The curves of a training, whole or as far as its latest checkpoint; None where there is no checkpoint."""
    whole = training.checkpoint(last)
    if whole.key in store and (history := open_history(store, whole.key)) is not None:
        return curves(run, history, found=True)
    for epoch, producer in sorted(
        ((e, p) for p in (PRODUCER, ROLLING) for e in training.found(store, p)), reverse=True
    ):
        if epoch < last and (history := open_history(store, training.checkpoint(epoch, producer).key)) is not None:
            return curves(run, history, found=True)
    return None


def curves(run: Run, history: xr.Dataset, *, found: bool = False) -> Curves:
    """A history as a part of a trajectory."""
    return Curves(*run, {str(name): values.values for name, values in history.data_vars.items()}, found)
