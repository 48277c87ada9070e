"""Runs trajectories: training first, then the kernels along it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from ntk_explorer.sweeps.cells import network_at
from ntk_explorer.trajectories.assembly import Curves, Moment, assemble_trajectory
from ntk_explorer.trajectories.moments import compute_moment, initial_params
from ntk_explorer.trajectories.plan import TrajectoryPlan
from ntk_explorer.trajectories.setting import Setting


def trajectory_parts(setting: Setting) -> Iterator[Curves | Moment]:
    """Everything there is of a trajectory, computed."""
    import jax
    from ntk_explorer.training.epochs import train_epochs

    plan = setting.plan
    for width in plan.widths:
        params = jax.tree.map(
            lambda *leaves: np.stack(leaves), *[initial_params(setting, width, i) for i in range(plan.seeds)]
        )
        network = network_at(plan, setting.train, width)
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(plan.seed), width), 1_000_003)
        kept: dict[bool, dict[int, Any]] = {}
        for linearised in (False, True)[: 1 + plan.linearised]:
            kept[linearised] = {}
            for epoch in train_epochs(
                network.apply,
                params,
                setting.train.x,
                setting.train.y,
                config=plan.training,
                key=key,
                x_test=setting.test.x,
                y_test=setting.test.y,
                linearised=linearised,
            ):
                if epoch.number in plan.kernel_at:
                    kept[linearised][epoch.number] = epoch.params
                yield Curves(width, linearised, {n: v.values for n, v in epoch.history.data_vars.items()})
        for index in range(plan.seeds):
            for at in plan.kernel_at:
                own = {lin: jax.tree.map(lambda leaf: leaf[index], e[at]) for lin, e in kept.items()}
                yield compute_moment(setting, width, index, at, own[False], own.get(True))


def run_trajectory(plan: TrajectoryPlan) -> xr.Dataset:
    """Train and measure; see :func:`assemble_trajectory` for what comes."""
    setting = Setting.of(plan)
    return assemble_trajectory(plan, setting.known, trajectory_parts(setting))
