"""Width and error: how each kernel approaches the eNTK as the network widens."""

from __future__ import annotations

import panel as pn

from ntk_explorer.dashboard import readings
from ntk_explorer.dashboard.exports import Figure
from ntk_explorer.dashboard.layout import hint, side_by_side
from ntk_explorer.dashboard.lesson import Lesson
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.pages import PAGES
from ntk_explorer.dashboard.pictures import Picture
from ntk_explorer.dashboard.safe_text import safe_text
from ntk_explorer.infinite.twin import twins_in_words
from ntk_explorer.plots import width

LIMIT = (
    "<b>The limit.</b> As the network widens, its eNTK depends less and less on the draw and tends to "
    "Θ<sub>∞</sub> ⊗ I, where Θ<sub>∞</sub>, one number per pair of examples, is computed without any network. "
    "In the standard parameterisation both grow with the width, and it is their relative distance that vanishes. "
    f"Θ<sub>∞</sub> is known for {twins_in_words()}."
)


def numbers(model: ExplorerModel) -> list[str]:
    """The formula's values at the smallest and the largest width, and the fitted slope."""
    shown = model.shown
    narrow, wide = shown.plan.widths[0], shown.plan.widths[-1]
    at = {w: readings.latex(readings.mean_reading(model, "relative_frobenius", width=w)) for w in (narrow, wide)}
    lines = [rf"\text{{at width {narrow}: }} {at[narrow]}", rf"\text{{at width {wide}: }} {at[wide]}"]
    fitted = readings.slope(model)
    return lines if fitted is None else [*lines, rf"s = {fitted.slope:.2f}"]


LESSON = Lesson(
    text="The eNTK has one c×c block for each pair of examples; the pNTK keeps a single number of it. "
    "Wide networks make every block nearly a multiple of the identity, so that one number is enough. "
    "This figure measures what is lost, as a share of the whole kernel.",
    formula=r"\frac{\lVert K \otimes I_c - \Theta \rVert_F}{\lVert \Theta \rVert_F} \;\sim\; \text{width}^{\,s}",
    try_this="Guess the slope s first. Then set depth to 2 and run again: one hidden layer follows another law.",
    notice="The trace kernel is never worse than the pNTK, at any width: it is the best single number in this norm. "
    "The dashed line has slope −1/2 and is only a guide; the fitted slopes stand in the legend.",
    numbers=numbers,
)


@PAGES.register("width", label="Width and error", order=1, lesson=LESSON)
def page(model: ExplorerModel) -> pn.viewable.Viewable:
    """Relative Frobenius error on top; largest eigenvalue and condition numbers below."""

    def figure(draw, **options) -> Picture:
        # These figures show all widths and seeds at once, so nothing of the view changes them.
        return Picture(model, lambda m: draw(m.result), tab="width", key=lambda _: None, **options)

    error = figure(width.convergence, waiting="Curves appear here as soon as the first network is finished.")
    largest = figure(lambda result: width.convergence(result, "largest_eigenvalue_error"))
    condition = figure(width.condition_numbers)
    distance = figure(width.distance_to_limit)
    model.figures["width"] = lambda _: Figure("convergence", {})
    return pn.Column(
        hint(
            model, "Each dot is one random initialisation; the band spans them. Click a legend entry to hide a kernel."
        ),
        error,
        side_by_side(largest, condition, least=460),
        _limit(model, distance),
        sizing_mode="stretch_width",
    )


def _limit(model: ExplorerModel, distance: Picture) -> pn.Column:
    """The distance to the limit and what it is; where none is known, why not."""
    words = pn.pane.HTML(LIMIT, visible=model.state.view.text, sizing_mode="stretch_width", margin=(10, 16))
    why = pn.pane.HTML("", visible=False, sizing_mode="stretch_width", margin=(10, 16, 0, 16))
    place = pn.Column(why, distance, words, sizing_mode="stretch_width")

    def follow(*_) -> None:
        reason = "" if model.result is None else width.missing_limit(model.result)
        text = f"<b>No distance to infinite width:</b> {safe_text(reason)}." if reason else ""
        if text != why.object:
            why.param.update(object=text, visible=bool(text))
            place[:] = [why, words] if reason else [why, distance, words]

    model.param.watch(follow, "result")
    follow()
    return place
