"""Training: the network learns, its kernel moves, and regression with the kernel tries to foretell it."""

from __future__ import annotations

import panel as pn

from ntk_explorer.dashboard import training_readings as readings
from ntk_explorer.dashboard.exports import Figure
from ntk_explorer.dashboard.gallery import Gallery
from ntk_explorer.dashboard.layout import bar, hint, sticky, table, tall
from ntk_explorer.dashboard.lesson import Lesson
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.pages import PAGES
from ntk_explorer.dashboard.training_selectors import (
    draw_select,
    epoch_player,
    kernel_select,
    start_select,
    width_select,
)

TAB = "training"

LESSON = Lesson(
    text="Gradient descent changes the outputs by the tangent kernel of the moment: where the kernel stays as it was, "
    "the network learns what regression with that kernel would, and is called lazy. "
    "Where the kernel turns towards the labels, the network learns features that no fixed kernel has.",
    formula=r"\begin{gathered} \dot f_t(x) = -\tfrac1n \sum_i \Theta_t(x, x_i)\, \nabla_{f_i} \ell \\ "
    r"\eta < 2 / \lambda_{\max}(\Theta/n) \end{gathered}",
    try_this="Press play and watch drift and alignment. Then train at width 1024: does the kernel move as much?",
    notice="The kernel moves most in the first epochs. Regression from zero does better with the kernel of a late "
    "epoch than with that of the first: training has put what it learnt into the kernel. Regression from the network "
    "may get worse late: cross-entropy drives outputs far beyond the targets 0 and 1 to which regression pulls back.",
    numbers=readings.numbers,
    of=lambda session: session.training,
)


@PAGES.register("training", label="Training", order=4, lesson=LESSON, trains=True, sweeps=False)
def page(session: ExplorerModel) -> pn.viewable.Viewable:
    """What is trained in words, the player, and the figures that follow it."""
    training = session.training
    menus = (menu(training) for menu in (width_select, draw_select, kernel_select, start_select))
    session.figures[TAB] = lambda m: Figure("learning_curves", {"width": m.training.width, "epoch": m.training.epoch})
    return tall(
        readings.words(training, tab=TAB),
        sticky(bar(epoch_player(training), *menus)),
        hint(training, "Every figure follows the epoch of the player. Click a legend entry to hide a line."),
        Gallery(training, tab=TAB),
        table(training, readings.moment_table, tab=TAB),
    )
