"""Training: the network learns, its kernel moves, and regression with the kernel tries to foretell it."""

from __future__ import annotations

from collections.abc import Callable

import panel as pn

from ntk_explorer.dashboard import training_readings as readings
from ntk_explorer.dashboard.exports import Figure
from ntk_explorer.dashboard.layout import bar, hint, side_by_side, table
from ntk_explorer.dashboard.lesson import Lesson
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.pages import PAGES
from ntk_explorer.dashboard.pictures import SQUARE, Picture
from ntk_explorer.dashboard.predictions import Predictions
from ntk_explorer.dashboard.training_model import TrainingModel
from ntk_explorer.dashboard.training_selectors import (
    draw_select,
    epoch_player,
    kernel_select,
    start_select,
    width_select,
)
from ntk_explorer.plots import along, errors, regression, trained
from ntk_explorer.plots import training as curves

TAB = "training"
WAITING = "Press Train on the left: curves appear here while the network learns."

LESSON = Lesson(
    text="Gradient descent changes the outputs by the tangent kernel of the moment: where the kernel stays as it was, "
    "the network learns what regression with that kernel would, and is called lazy. "
    "Where the kernel turns towards the labels, the network learns features that no fixed kernel has.",
    formula=r"\dot f_t(x) = -\tfrac1n \sum_i \Theta_t(x, x_i)\, \nabla_{f_i} \ell, \qquad "
    r"\eta < \frac{2}{\lambda_{\max}(\Theta/n)}",
    try_this="Press play and watch drift and alignment. Then train at width 1024: does the kernel move as much?",
    notice="The kernel moves most in the first epochs. Regression with the kernel of a late epoch does better than "
    "with that of the first: training has put what it learnt into the kernel.",
    numbers=readings.numbers,
    of=lambda session: session.training,
)


def _run(training: TrainingModel) -> dict:
    return {"width": training.width, "epoch": training.epoch}


@PAGES.register("training", label="Training", order=4, lesson=LESSON, trains=True, sweeps=False)
def page(session: ExplorerModel) -> pn.viewable.Viewable:
    """What is trained in words, the player, and the figures that follow it."""
    training = session.training

    def line(module, name: str, *choices, live: bool = False, own: Callable = _run, **options) -> Picture:
        """A figure of the plots along the epochs, with the marker at the one that is looked at."""
        draw, columns = getattr(module, name), getattr(module, f"{name}_columns")
        source = "history" if live else "result"

        def chosen(by: Callable) -> Callable:
            return lambda m: by(getattr(m, source), *choices, **own(m))

        return Picture(
            training, chosen(draw), columns=chosen(columns), tab=TAB, needs=(source,), key=_key,
            frame=lambda m: (m.width, m.view.draw, m.kernel, m.view.start), **options,
        )  # fmt: skip

    of_seed = lambda m: _run(m) | {"seed": m.view.draw}  # noqa: E731
    matrix = line(trained, "trained_kernel", own=lambda m: of_seed(m) | {"kernel": m.kernel}, size=SQUARE)
    spectra = line(trained, "trained_spectra", own=of_seed, height=426)
    figures = [
        line(curves, "learning_curves", "loss", live=True, waiting=WAITING),
        line(curves, "learning_curves", "accuracy", live=True),
        line(along, "kernel_changes", "drift"),
        line(along, "kernel_changes", "alignment"),
        line(regression, "accuracies", own=lambda m: _run(m) | {"start": m.view.start}),
        line(errors, "errors_along", own=lambda m: {"kernel": _compared(m), "epoch": m.epoch}),
    ]
    session.figures[TAB] = lambda m: Figure("learning_curves", _run(m.training))
    return pn.Column(
        readings.words(training, tab=TAB),
        bar(epoch_player(training), width_select(training), draw_select(training), kernel_select(training)),
        hint(training, "Every figure follows the epoch of the player."),
        side_by_side(*figures[:2], least=400),
        side_by_side(matrix, spectra, least=0),
        side_by_side(*figures[2:4], least=400),
        side_by_side(*figures[4:], least=400),
        bar(start_select(training)),
        Predictions(training, tab=TAB),
        table(training, readings.moment_table, tab=TAB),
        sizing_mode="stretch_width",
    )


def _key(training: TrainingModel) -> tuple:
    return training.epoch, training.width, training.view


def _compared(training: TrainingModel) -> str:
    """The kernel whose error is shown: of the eNTK there is none."""
    assert training.drawn is not None
    return training.kernel if training.kernel in training.drawn.compared else training.drawn.compared[0]
