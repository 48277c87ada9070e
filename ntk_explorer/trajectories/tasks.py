"""Trainings and moments as tasks: functions by name, with arguments that reach any process; results go to the store."""

from __future__ import annotations

from collections.abc import Generator
from functools import lru_cache
from typing import Any

from ntk_explorer.errors import InvalidInput
from ntk_explorer.jobs import Task
from ntk_explorer.store import Store
from ntk_explorer.sweeps.tasks import require_same
from ntk_explorer.training.checkpoints import open_checkpoint
from ntk_explorer.trajectories.assembly import Curves
from ntk_explorer.trajectories.kept import keep_moment
from ntk_explorer.trajectories.moments import compute_moment
from ntk_explorer.trajectories.parts import Parts, Place, Run
from ntk_explorer.trajectories.plan import TrajectoryPlan
from ntk_explorer.trajectories.setting import Setting
from ntk_explorer.trajectories.trainings import trained

HERE = "ntk_explorer.trajectories.tasks"


def training_task(parts: Parts, run: Run, epochs: list[int], store: Store) -> Task:
    """The task that trains the ensemble of one width, with checkpoints of these epochs."""
    (width, linearised), plan = run, parts.plan
    return Task(
        parts.trainings[run].checkpoint(epochs[-1]).key,
        f"{HERE}:training",
        _common(parts, store) | {"width": width, "linearised": linearised, "epochs": epochs},
        f"the training of the {'linearised ' * linearised}{plan.network.architecture} of width {width}",
    )


def moment_task(parts: Parts, place: Place, store: Store) -> Task:
    """The task that computes the kernels of one network at one epoch."""
    width, index, epoch = place
    return Task(
        parts.moments[place].key,
        f"{HERE}:moment",
        _common(parts, store) | {"width": width, "index": index, "epoch": epoch},
        f"the kernels of width {width}, seed {index}, at epoch {epoch}",
    )


def _common(parts: Parts, store: Store) -> dict[str, Any]:
    plan, examples = parts.plan.model_dump_json(), parts.facts.examples
    return {"plan_json": plan, "examples": examples, "store": store.address}


def training(plan_json: str, width: int, linearised: bool, epochs: list[int], examples: str, store: str) -> dict:
    """Train to the end; see :func:`training_steps`."""
    for _ in training_steps(plan_json, width, linearised, epochs, examples, store):
        pass
    return {}


def training_steps(
    plan_json: str, width: int, linearised: bool, epochs: list[int], examples: str, store: str
) -> Generator[Curves, None, None]:
    """Train an ensemble from the latest checkpoint on, and keep checkpoints.

    Args:
        plan_json: the trajectory.
        width: one of its widths.
        linearised: train the linearised networks.
        epochs: of which checkpoints are kept.
        examples: fingerprint of the examples that are meant.
        store: address of the store.

    Yields:
        The curves after every epoch.

    Raises:
        InvalidInput: a file of the data holds something else where this runs.
        Diverged: a loss is no longer finite.
    """
    setting, _ = _prepared(plan_json, examples)
    return trained(setting, Store(store), (width, linearised), epochs)


def moment(plan_json: str, width: int, index: int, epoch: int, examples: str, store: str) -> dict:
    """Compute the kernels of one network at one epoch and keep them, unless the store has them.

    Args:
        plan_json: the trajectory.
        width: one of its widths.
        index: number of the initialisation.
        epoch: one of those of its kernels.
        examples: fingerprint of the examples that are meant.
        store: address of the store.

    Returns:
        ``found``: whether they were there.

    Raises:
        InvalidInput: a file of the data holds something else where this runs; the checkpoint is gone.
    """
    (setting, parts), kept = _prepared(plan_json, examples), Store(store)
    identity = parts.moments[width, index, epoch]
    if identity.key in kept:
        return {"found": True}
    params = member(parts, (width, False), index, epoch, kept)
    linear = member(parts, (width, True), index, epoch, kept) if setting.plan.linearised else None
    keep_moment(kept, identity, compute_moment(setting, width, index, epoch, params, linear), setting.plan)
    return {"found": False}


def member(parts: Parts, run: Run, index: int, epoch: int, store: Store) -> Any:
    """Parameters of one seed after so many epochs."""
    import jax  # not above: plans and results are handled without jax

    found = open_checkpoint(store, parts.trainings[run], epoch)
    if found is None:
        raise InvalidInput(f"The store no longer holds the network after epoch {epoch}", "Run the training again.")
    return jax.tree.map(lambda leaf: leaf[index], found[0])


# The parts of a trajectory come one after the other: their examples are had once.
@lru_cache(maxsize=1)
def _prepared(plan_json: str, examples: str) -> tuple[Setting, Parts]:
    setting = Setting.of(TrajectoryPlan.model_validate_json(plan_json))
    require_same(setting.train, setting.facts.examples, examples)
    return setting, Parts.of(setting.plan, setting.facts)
