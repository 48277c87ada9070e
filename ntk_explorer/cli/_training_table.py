"""The results of a trajectory as text: one row per kernel epoch, for each width."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np
import xarray as xr

from ntk_explorer.cli._table import aligned
from ntk_explorer.sweeps.differences import network_in_words
from ntk_explorer.trajectories.plan import TrajectoryPlan

NAMES = {"entk": "eNTK", "pntk": "pNTK", "trntk": "trNTK"}
Column = tuple[str, Callable[[xr.Dataset], xr.DataArray], str]


def report(plan: TrajectoryPlan, results: xr.Dataset) -> str:
    """Caption, a table for each width, and what could not be computed."""
    lines = [_caption(plan)]
    for width in plan.widths:
        rows = list(_rows(plan, results.sel(width=width), results.attrs["task"] == "classification"))
        lines += ["", f"width {width}", *aligned(rows, left=())]
    refusals: dict[str, str] = json.loads(results.attrs["refusals"])
    for why in dict.fromkeys(refusals.values()):  # kernels of one output are refused with the same words
        names = ", ".join(NAMES.get(name, name) for name, said in refusals.items() if said == why)
        lines += [f"\nNo regression with {names}: {why}"]
    return "\n".join(lines)


def _caption(plan: TrajectoryPlan) -> str:
    training, seeds = plan.training, f"mean over {plan.seeds} seeds" if plan.seeds > 1 else "one seed"
    batch = "full batch" if training.batch_size is None else f"batches of {training.batch_size}"
    ridge = f", ridge {plan.ridge:g} (outside the guarantee)" if plan.ridge else ""
    return (
        f"{plan.data.name}, {plan.data.n} training and {plan.test} test examples · {network_in_words(plan)} · {seeds}\n"
        f"{training.optimizer}, {batch}, {training.schedule} learning rate · kernels of {plan.points} points, "
        f"regression from the network's outputs at that epoch / from zero{ridge}"
    )


def _rows(plan: TrajectoryPlan, at_width: xr.Dataset, classes: bool) -> Iterator[tuple[str, ...]]:
    columns = list(_columns(plan, classes))
    yield ("epoch", *(title for title, _, _ in columns))
    for epoch in plan.kernel_at:
        now = at_width.sel(at=epoch, epoch=epoch)
        yield (str(epoch), *(_cell(value(now), form) for _, value, form in columns))


def _cell(values: xr.DataArray, form: str) -> str:
    """The mean over seeds, of each start of a regression."""
    means = np.atleast_1d(values.mean("seed", skipna=False).values)
    return " / ".join("–" if np.isnan(mean) else format(mean, form) for mean in means)


def _columns(plan: TrajectoryPlan, classes: bool) -> Iterator[Column]:
    """Loss and accuracy, drift and alignment of the first kernel, then accuracies (losses) on the test examples."""
    first, form = plan.kernels[0], ".1%" if classes else ".3g"
    yield "training loss", lambda now: now["train_loss"], ".3g"
    yield "test loss", lambda now: now["test_loss"], ".3g"
    if classes:
        yield "test accuracy", lambda now: now["test_accuracy"], form
    if plan.linearised:
        name = "linearised_accuracy" if classes else "linearised_loss"
        yield "linearised", lambda now: now[name], form
    yield f"drift ({NAMES.get(first, first)})", lambda now: now["drift"].sel(kernel=first), ".3g"
    yield "alignment", lambda now: now["alignment"].sel(kernel=first), ".3f"
    measure = "regression_accuracy" if classes else "regression_loss"
    for kernel in plan.kernels:
        yield (
            f"{NAMES.get(kernel, kernel)} regression",
            lambda now, kernel=kernel: now[measure].sel(kernel=kernel, start=["network", "zero"]),
            form,
        )
