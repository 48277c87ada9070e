"""Spectrum: the eigenvalues of all kernels at one width, scrubbed through the widths of the sweep."""

from __future__ import annotations

import panel as pn

from ntk_explorer.dashboard import readings
from ntk_explorer.dashboard.exports import Figure
from ntk_explorer.dashboard.layout import bar, hint, table
from ntk_explorer.dashboard.lesson import Lesson
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.pages import PAGES
from ntk_explorer.dashboard.pictures import Picture
from ntk_explorer.dashboard.selectors import seed_select, width_player
from ntk_explorer.plots import spectrum


def numbers(model: ExplorerModel) -> list[str]:
    """Both largest eigenvalues, which interlacing orders, and both condition numbers."""
    kernel = model.shown.kernel
    largest, entk = (
        readings.latex(readings.reading(model, "largest_eigenvalue", kernel=name)) for name in (kernel, "entk")
    )
    return [
        rf"\lambda_{{\max}}(K) = {largest}, \quad \lambda_{{\max}}(\Theta) = {entk}",
        rf"\kappa(K) {readings.condition_number(model, kernel)}, \quad "
        rf"\kappa(\Theta) {readings.condition_number(model, 'entk')}",
    ]


LESSON = Lesson(
    text="The eigenvalues say how fast gradient descent learns each direction. An n×n kernel stands for the "
    "n·c×n·c eNTK with each of its eigenvalues repeated c times, drawn here as steps. "
    "As the network widens, the smooth eNTK curve bends onto the steps.",
    formula=r"\lambda_{\max}(K) \le \lambda_{\max}(\Theta), \qquad \lambda_{\min}(K) \ge \lambda_{\min}(\Theta)",
    try_this="Press play and watch the faint curve of the width before. Then choose another initialisation.",
    notice="The inequalities hold at every width and for every initialisation: the eNTK's curve starts above the "
    "steps and ends below them, so the eNTK is always the worse conditioned kernel.",
    numbers=numbers,
)


@PAGES.register("spectrum", label="Spectrum", order=2, lesson=LESSON)
def page(model: ExplorerModel) -> pn.viewable.Viewable:
    """Overlaid spectra with a ghost of the width before, and the table of their summaries."""

    def drawn(by):
        return lambda m: by(m.result, m.shown.width, m.shown.view.draw, ghost=m.ghost)

    picture = Picture(
        model,
        drawn(spectrum.spectra),
        columns=drawn(spectrum.spectra_columns),
        tab="spectrum",
        key=lambda m: (m.shown.width, m.shown.view.draw),
        height=470,
    )
    model.figures["spectrum"] = lambda m: Figure("spectra", {"width": m.shown.width, "seed": m.shown.view.draw})
    return pn.Column(
        bar(width_player(model), seed_select(model)),
        hint(model, "Faint lines: where the curves were before the last change of width. Grey: below rounding."),
        picture,
        table(model, readings.summary_table, tab="spectrum"),
        sizing_mode="stretch_width",
    )
