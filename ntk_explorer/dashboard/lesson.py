"""The Explain card: three sentences, a formula with the numbers on the screen, a thing to try, a thing to see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import panel as pn
import panel_material_ui as pmui

from ntk_explorer.dashboard.job_model import JobModel

TEXT = {"sizing_mode": "stretch_width", "margin": (7, 14)}


@dataclass(frozen=True)
class Lesson:
    """What a tab teaches. ``numbers`` writes the formula's present values as LaTeX lines.

    They are those of the session's model, or of one that it has and ``of`` takes from it.
    """

    text: str
    formula: str
    try_this: str
    notice: str
    numbers: Callable[[Any], list[str]]
    of: Callable[[Any], JobModel] = lambda session: session


def card(title: str, lesson: Lesson, session: JobModel, *, tab: str) -> pn.Column:
    """The lesson as a card whose numbers follow the result and the view while its tab is open."""
    model = lesson.of(session)
    # The pane forgets its margin when its formula changes, the column round it does not.
    numbers = pn.pane.LaTeX(renderer="katex", styles={"font-size": "13px"}, sizing_mode="stretch_width", margin=0)

    def refresh(*_) -> None:
        if model.state.view.tab != tab:
            return
        lines = lesson.numbers(model) if model.result is not None else []
        numbers.object = "<br>".join(f"${line}$" for line in lines)

    model.param.watch(refresh, [name for name in ("result", "state", "block", "history") if name in model.param])
    refresh()
    return pn.Column(
        pmui.Typography(title, variant="h6", margin=(12, 14, 0, 14)),
        pn.pane.HTML(lesson.text, **TEXT),
        pn.pane.LaTeX(rf"$\displaystyle {lesson.formula}$", renderer="katex", styles={"font-size": "14px"}, **TEXT),
        pn.Column(numbers, **TEXT),
        _paragraph("Try this", lesson.try_this),
        _paragraph("What to notice", lesson.notice),
        sizing_mode="stretch_width",
    )


def _paragraph(heading: str, text: str) -> pn.pane.HTML:
    return pn.pane.HTML(f"<b>{heading}.</b> {text}", **TEXT)
