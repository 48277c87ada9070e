"""A training in words and numbers: what is trained on what, how fast it may go, and what an epoch measured."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import panel as pn

from ntk_explorer.dashboard.readings import latex, plain
from ntk_explorer.dashboard.safe_text import safe_text
from ntk_explorer.dashboard.training_model import TrainingModel
from ntk_explorer.datasets import DATASETS
from ntk_explorer.plots.theme import kernel_style
from ntk_explorer.sweeps.differences import network_in_words
from ntk_explorer.training import OPTIMIZERS
from ntk_explorer.trajectories.assembly import STARTS
from ntk_explorer.trajectories.plan import TrajectoryPlan

LOSSES = {"cross_entropy": "cross-entropy", "squared": "squared loss"}


def words(training: TrainingModel, *, tab: str) -> pn.pane.HTML:
    """A line on what is trained, how, and how large the learning rate may be."""
    pane = pn.pane.HTML("", sizing_mode="stretch_width", margin=(8, 14, 0, 14))

    def refresh(*_) -> None:
        plan = training.drawn or training.plan
        if training.state.view.tab == tab and plan is not None:
            pane.object = f"{safe_text(task(plan))}<br>{safe_text(manner(plan))} {_rate(training)}"

    training.param.watch(refresh, ["state", "history", "result"])
    refresh()
    return pane


def task(plan: TrajectoryPlan) -> str:
    """Data and networks: ``Digits: 1437 examples, 360 others to test on · MLP, depth 3, relu, width 256``."""
    label = DATASETS[plan.data.name].label
    widths = f"width{'s' * (len(plan.widths) > 1)} {', '.join(map(str, plan.widths))}"
    seeds = f" · {plan.seeds} initialisations" if plan.seeds > 1 else ""
    return f"{label}: {plan.data.n} examples, {plan.test} others to test on · {network_in_words(plan)}, {widths}{seeds}"


def manner(plan: TrajectoryPlan) -> str:
    """Loss, optimiser and length: ``Adam on the cross-entropy, batches of 64, 100 epochs.``."""
    config = plan.training
    loss = f" on the {LOSSES[config.loss]}" if config.loss else ""
    batch = "all examples at once" if config.batch_size is None else f"batches of {config.batch_size}"
    return f"{OPTIMIZERS[config.optimizer].label}{loss}, {batch}, {config.epochs} epochs."


def _rate(training: TrainingModel) -> str:
    """The learning rate beside 2/λmax of the epoch shown."""
    if training.history is None:
        return ""
    rate, limit = rates(training)
    if not math.isfinite(rate):
        return ""
    text = f"Learning rate <b>{plain(rate, 3)}</b>"
    if not math.isfinite(limit):
        return text + "."
    return (
        f"{text}; gradient descent on the squared loss would diverge above 2/λ<sub>max</sub> = "
        f"<b>{plain(limit, 3)}</b> (epoch {training.epoch})."
    )


def rates(training: TrainingModel) -> tuple[float, float]:
    """Learning rate and its limit at the epoch, width and initialisation shown."""
    return here(training, "learning_rate"), here(training, "learning_rate_limit")


def here(training: TrainingModel, variable: str, **where: Any) -> float:
    """One number of the result at what is looked at; NaN where there is none."""
    plan, values = training.drawn, training.result.variables.get(variable)
    if values is None or plan is None:
        return math.nan
    known = {"width": plan.widths, "at": plan.kernel_at, "kernel": plan.kernels, "compared": plan.compared}
    known["start"] = STARTS
    wanted = {"width": training.width, "at": training.epoch, **where}
    place = {"seed": training.view.draw, "epoch": training.epoch}
    place |= {dim: known[dim].index(value) for dim, value in wanted.items()}
    return float(values.values[tuple(place[dim] for dim in values.dims)])


def numbers(training: TrainingModel) -> list[str]:
    """The formula's values at the epoch shown."""
    if training.result is None:
        return []
    rate, limit = rates(training)
    drift, alignment = (here(training, name, kernel=training.kernel) for name in ("drift", "alignment"))
    return [
        rf"\text{{epoch }} {training.epoch}: \quad \eta = {latex(rate)}, \quad 2/\lambda_{{\max}} = {latex(limit)}",
        rf"\lVert K_t - K_0 \rVert_F / \lVert K_0 \rVert_F = {latex(drift)}",
        rf"\text{{alignment }} A(K_t, y y^\top) = {latex(alignment)}",
    ]


def moment_table(training: TrainingModel) -> str:
    """HTML table of the epoch shown: predictors in rows, how well each does on the test examples."""
    if training.drawn is None:
        return ""
    start, classes = training.view.start, training.result.attrs["task"] == "classification"
    rows = [("network", "", {}), ("linearised network", "linearised_", {})]
    columns = [("test accuracy (%)", "accuracy", 100), ("½‖f − y‖² on test", "loss", 1)][not classes :]
    lines = []
    for label, prefix, where in rows:
        name = prefix or "network_"
        lines.append((label, [factor * here(training, f"{name}{what}", **where) for _, what, factor in columns], []))
    for kernel in training.drawn.kernels:
        where = {"kernel": kernel, "start": start}
        values = [factor * here(training, f"regression_{what}", **where) for _, what, factor in columns]
        differences = [
            here(training, what, compared=kernel, start=start) if kernel in training.drawn.compared else math.nan
            for what in ("relative_frobenius", "regression_difference", "correction_difference", "agreement")
        ]
        lines.append((f"{kernel_style(kernel).label} regression", values, differences))
    head = "".join(f"<th>{title}</th>" for title, *_ in columns)
    head += "<th>‖K − Θ‖/‖Θ‖</th><th>‖f<sub>K</sub> − f<sub>Θ</sub>‖/‖f<sub>Θ</sub>‖</th>"
    head += "<th>of the correction</th><th>same class</th>"
    body = "".join(_row(label, values, differences) for label, values, differences in lines)
    caption = f"epoch {training.epoch}, width {training.width}, initialisation {training.view.draw}"
    whole = f'<table class="summary"><caption>{caption}</caption><tr><th></th>{head}</tr>{body}</table>'
    return whole + _refused(training)


def _refused(training: TrainingModel) -> str:
    """Why there is no regression with some kernels."""
    reasons = json.loads(training.result.attrs.get("refusals", "{}"))
    lines = (f"<b>No {kernel_style(kernel).label} regression:</b> {safe_text(why)}" for kernel, why in reasons.items())
    return "".join(f"<p>{line}</p>" for line in lines)


def _row(label: str, values: list[float], differences: list[float]) -> str:
    cells = [plain(value, 3) for value in (*values, *differences, *[np.nan] * (4 - len(differences)))]
    return f"<tr><th>{label}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
