"""What of a training is looked at: epoch with play and step, width, initialisation, kernel, start of the regression."""

from __future__ import annotations

import panel_material_ui as pmui

from ntk_explorer.dashboard.selectors import follow
from ntk_explorer.dashboard.training_model import TrainingModel
from ntk_explorer.plots.theme import kernel_style

LEGIBLE = {".MuiIconButton-root:not(.MuiIconButton-colorPrimary)": {"color": "var(--mui-palette-text-secondary)"}}
BUTTONS = ["first", "previous", "pause", "play", "next", "last"]
STARTS = {"the network f₀": "network", "zero": "zero"}


def epoch_player(training: TrainingModel) -> pmui.DiscretePlayer:
    """Slider over the kernel epochs; to the first, a step back, pause, play, a step on, to the last."""
    player = pmui.DiscretePlayer(
        label="epoch",
        options=[0],
        value=0,
        interval=700,
        loop_policy="loop",  # a training is first shown at its end, where Play would have nothing left to play
        visible_buttons=BUTTONS,
        show_loop_controls=False,
        show_value=True,
        sx=LEGIBLE,  # Panel's own grey is next to black on the dark page
        width=270,  # with both menus one row of the page of 1280 pixels
    )
    follow(training, player, _epochs, lambda m: m.epoch if m.drawn else 0, lambda epoch: training.look(epoch=epoch))
    return player


def _epochs(training: TrainingModel) -> list[int]:
    """The kernel epochs that are there."""
    return training.epochs or [training.drawn.kernel_at[0] if training.drawn else 0]


def width_select(training: TrainingModel) -> pmui.Select:
    """Which width is shown, where there are several."""
    select = _menu("width", 100)
    widths = lambda m: list(m.drawn.widths) if m.drawn else []  # noqa: E731
    follow(training, select, widths, lambda m: m.width if m.drawn else None, lambda w: training.look(width=w))
    _only_a_choice(select)
    return select


def draw_select(training: TrainingModel) -> pmui.Select:
    """Which initialisation is shown, where there are several."""
    select = _menu("initialisation", 120)
    draws = lambda m: list(range(m.drawn.seeds)) if m.drawn else []  # noqa: E731
    follow(training, select, draws, lambda m: m.view.draw if m.drawn else None, lambda d: training.look(draw=d))
    _only_a_choice(select)
    return select


def kernel_select(training: TrainingModel) -> pmui.Select:
    """Whose matrix is shown, and whose regression stands beside the network."""
    select = _menu("kernel", 140)
    kernels = lambda m: {kernel_style(k).label: k for k in m.drawn.kernels} if m.drawn else {}  # noqa: E731
    follow(training, select, kernels, lambda m: m.kernel if m.drawn else None, lambda k: training.look(kernel=k))
    return select


def start_select(training: TrainingModel) -> pmui.Select:
    """What kernel regression starts from."""
    select = _menu("regression starts from", 165, options=STARTS, value="network")
    follow(training, select, lambda _: STARTS, lambda m: m.view.start, lambda s: training.look(start=s))
    return select


def _only_a_choice(select: pmui.Select) -> None:
    """Leave out a menu of one."""

    def follow(*_) -> None:
        select.visible = len(select.options) > 1

    select.param.watch(follow, "options")
    follow()


def _menu(label: str, pixels: int, **options) -> pmui.Select:
    # Without a width: the sum of widths would keep their row from wrapping.
    styles = {"flex": f"0 1 {pixels}px"}
    return pmui.Select(label=label, size="small", sizing_mode="stretch_width", styles=styles, margin=(5, 4), **options)
