"""Small pieces that the pages are laid out with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn

from ntk_explorer.dashboard.job_model import JobModel

TABLE_CSS = """
:host { overflow-x: auto; }
table.summary { border-collapse: collapse; font-size: 14px; width: 100%; }
table.summary caption { text-align: left; opacity: .75; padding-bottom: 4px; }
table.summary th, table.summary td { padding: 3px 12px; text-align: right; border-bottom: 1px solid #8884; }
table.summary tr th:first-child { text-align: left; font-weight: 500; }
table.summary td { font-variant-numeric: tabular-nums; }
"""


# Rows, not FlexBox: that one builds its children late, and a figure that is measured before it exists is an error.
# Panel bounds a row by the height of the window, and what wrapped beyond that would lie under the row below.
WRAP = {"flex-wrap": "wrap", "align-items": "center", "gap": "12px", "max-height": "none"}


def bar(*items) -> pn.Row:
    """Small items side by side, wrapping where the window is narrow."""
    return pn.Row(*items, sizing_mode="stretch_width", styles=WRAP, margin=(10, 10, 0, 10))


def side_by_side(*items, least: int = 0, fixed: int = 0) -> pn.Row:
    """Items that share a row: at their own size, or, with ``least``, filling it while each has so many pixels.

    The first ``fixed`` of them keep their own size.
    """
    # Cells without a width: the sum of widths would keep a row from wrapping.
    styles = [{"flex": f"1 1 {least}px"} if least and k >= fixed else {} for k in range(len(items))]
    cells = [pn.Column(item, styles=style, margin=0) for item, style in zip(items, styles, strict=True)]
    return pn.Row(
        *cells, sizing_mode="stretch_width", styles=WRAP | {"align-items": "start", "gap": "8px"}, margin=(0, 8)
    )


def tall(*items, **params) -> pn.Column:
    """Items one under the other, as tall as they are; Panel would bound them by the height of the window."""
    return pn.Column(*items, sizing_mode="stretch_width", styles={"max-height": "none"}, margin=0, **params)


def sticky(item: pn.viewable.Viewable) -> pn.Column:
    """An item that stays in sight at the top while the page is scrolled."""
    styles = {"position": "sticky", "top": "0", "z-index": "3", "background": "var(--mui-palette-background-default)"}
    return pn.Column(item, sizing_mode="stretch_width", styles=styles, margin=0)


def hint(model: JobModel, text: str) -> pn.pane.HTML:
    """One line of explaining text, which ``text=off`` in a link leaves out."""
    return pn.pane.HTML(
        f"<span style='opacity:.75'>{text}</span>", visible=model.state.view.text, sizing_mode="stretch_width"
    )


def table(model: JobModel, html: Callable[[Any], str], *, tab: str) -> pn.pane.HTML:
    """A table that follows the result and the view while its tab is open."""
    pane = pn.pane.HTML("", stylesheets=[TABLE_CSS], sizing_mode="stretch_width", margin=(4, 16, 16, 16))

    def refresh(*_) -> None:
        if model.state.view.tab == tab:
            pane.object = html(model) if model.result is not None else ""

    model.param.watch(refresh, ["result", "state"])
    refresh()
    return pane
