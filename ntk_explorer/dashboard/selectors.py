"""The view's own controls: width with play, initialisation, kernel. They scrub finished results and compute nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel_material_ui as pmui

from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.plots.theme import kernel_style


def width_player(model: ExplorerModel) -> pmui.DiscretePlayer:
    """Play button and slider over the widths of the sweep, one row."""
    player = pmui.DiscretePlayer(
        label="width",
        options=list(model.shown.plan.widths),
        value=model.shown.width,
        interval=900,
        loop_policy="once",
        variant="minimal",
        show_value=True,
        width=380,
    )
    _follow(model, player, "width", lambda m: list(m.shown.plan.widths), lambda m: m.shown.width)
    return player


def seed_select(model: ExplorerModel) -> pmui.Select:
    """Which initialisation is shown."""
    select = pmui.Select(label="initialisation", size="small", width=130)
    _follow(model, select, "draw", lambda m: list(range(m.shown.plan.seeds)), lambda m: m.shown.view.draw)
    return select


def width_select(model: ExplorerModel) -> pmui.Select:
    """Which width is shown, where there is no room for a slider."""
    select = pmui.Select(label="width", size="small", width=110)
    _follow(model, select, "width", lambda m: list(m.shown.plan.widths), lambda m: m.shown.width)
    return select


def kernel_select(model: ExplorerModel) -> pmui.Select:
    """Which kernel is compared with the eNTK."""

    def options(m: ExplorerModel) -> dict[str, str]:
        return {kernel_style(name).label: name for name in m.shown.plan.kernels}

    select = pmui.Select(label="kernel", size="small", width=180)
    _follow(model, select, "kernel", options, lambda m: m.shown.kernel)
    return select


def _follow(model: ExplorerModel, widget, field: str, options, value) -> None:
    """Keep a widget and one field of the view equal, whichever of the two changes."""
    follow(model, widget, options, value, lambda chosen: model.look(**{field: chosen}))


def follow(model: Any, widget, options: Callable, value: Callable, choose: Callable[[Any], Any]) -> None:
    """Keep a widget's options and value equal to what the model has, and tell the model of a choice."""

    def show(*_) -> None:
        known, now = options(model), value(model)
        if widget.options != known:
            widget.param.update(options=known, value=now)
        elif widget.value != now:
            widget.value = now

    def chosen(change) -> None:
        if change.new is not None and change.new != value(model):
            choose(change.new)

    show()
    model.param.watch(show, ["state", "result"])
    widget.param.watch(chosen, "value")
