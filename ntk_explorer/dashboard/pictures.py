"""Figures that follow the model: the same plot object is updated, so that a redraw is fast and nothing flickers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
from holoviews.streams import Pipe

from ntk_explorer.dashboard.job_model import JobModel
from ntk_explorer.plots.theme import kernel_style

# Width and height. Figures that find their own size have the browser lay out the page again and again; in these the
# title, axis and colour bar take the height that leaves a square frame.
SQUARE = 322, 426
SMALL = 232, 260
WIDE = 440, 426
BELOW = {"colorbar_position": "bottom", "colorbar_opts": {"height": 10, "title": ""}, "backend": "bokeh"}
BLACK, WHITE = kernel_style("entk").color, "#f2f2f2"
QUIET = {"backend_opts": {"plot.toolbar.logo": None}, "backend": "bokeh"}

# Of whichever model a picture shows; each page knows its own.
Draw = Callable[[Any], Any]
Columns = Callable[[Any], tuple[list[dict], str]]


def structure(model: JobModel) -> Hashable:
    """What decides which elements a figure has: a change of it needs a new plot, not an update."""
    result = model.result
    return None if result is None else (tuple(result["kernel"].values), tuple(result.sizes.items()))


class Picture(pn.viewable.Viewer):
    """A HoloViews figure of what the model holds.

    Args of the constructor: ``draw`` makes the figure from the model, while ``tab`` is open; ``needs`` names
    the model's parameters without which there is nothing to draw; the figure is drawn again when one of
    them, or ``key``, changes. Figures without a ``size`` fill their row; ``on_tap`` is called with the
    coordinates of a click. With ``columns``, which gives the data of the figure's sources in drawing order and its
    title, a change of ``key`` alone goes straight to the sources: a tenth of the work, for what a class scrubs at once.
    Where columns cannot follow all of the key, ``frame`` is what has to stay for that.
    """

    def __init__(
        self,
        model: JobModel,
        draw: Draw,
        *,
        tab: str,
        needs=("result",),
        key: Callable[[Any], Any] = lambda model: model.shown.view,
        on_tap: Callable[[float, float], None] | None = None,
        columns: Columns | None = None,
        frame: Callable[[Any], Hashable] = lambda _: None,
        size: tuple[int, int] | None = None,
        waiting: str = "",
        height: int = 440,
    ):
        """Show ``waiting`` until there is something to draw."""
        super().__init__()
        self._model, self._draw, self._needs, self._key, self._on_tap = model, draw, needs, key, on_tap
        self._fixed, self._tab, self._columns, self._frame = size, tab, columns, frame
        self._figure: Any = None  # Bokeh's, once it has been drawn
        self._size = {} if size else {"height": height, "sizing_mode": "stretch_width"}
        self._place = pn.Column(*([_placeholder(waiting)] if waiting else []), margin=0, **self._size)
        self._pipe: Pipe | None = None
        self._now: tuple = ()
        self._structure: Hashable = None
        self._framed: Hashable = None
        model.param.watch(self._refresh, [*needs, "state"])
        model.param.watch(self._dim, "stale")
        model.param.watch(self._redraw, "dark")
        self._refresh()

    def _redraw(self, *_) -> None:
        self._pipe, self._now = None, ()
        self._refresh()

    def _refresh(self, *_) -> None:
        model = self._model
        if model.state.view.tab != self._tab:
            return  # Opening the tab changes the state, and so comes here again.
        needed = [getattr(model, name) for name in self._needs]
        if any(value is None for value in needed):
            return
        now, before = (*map(id, needed), self._key(model)), self._now
        if now == before:
            return
        framed, self._framed = self._framed, self._frame(model)
        self._now = now
        if self._pipe is not None and structure(model) == self._structure:
            same = now[:-1] == before[:-1] and self._framed == framed
            if self._columns is not None and self._figure is not None and same:
                self._fill(*self._columns(model))
            else:
                self._pipe.send(now)
            return
        self._structure, self._pipe, self._figure = structure(model), Pipe(data=now), None
        # The stream's data only says that something changed; the figure is drawn from the model.
        figure = hv.DynamicMap(lambda data: self.element(data), streams=[self._pipe])
        self._place[:] = [pn.pane.HoloViews(figure, backend="bokeh", linked_axes=False, margin=0, **self._size)]

    def _drawn(self, plot, _element) -> None:
        """A hook: HoloViews' own Tap stream hears nothing of overlays that a DynamicMap returns."""
        if self._figure is not plot.state:
            self._figure = plot.state
            if (on_tap := self._on_tap) is not None:
                self._figure.on_event("tap", lambda event: on_tap(event.x, event.y))

    def _fill(self, columns: list[dict], title: str) -> None:
        """Put new data into the sources of the figure on the screen, as one message."""
        with pn.io.hold(self._figure.document):
            for renderer, data in zip(self._figure.renderers, columns, strict=True):
                if not _same(renderer.data_source.data, data):
                    renderer.data_source.data = data
            self._figure.title.text = title

    def _contrast(self, plot, _element) -> None:
        """A hook: what is drawn in black would vanish on a dark page, and what is drawn in white on a white frame."""
        if not self._model.dark:
            return
        plot.state.background_fill_color = None  # HoloViews sets its white again at each update
        for renderer in plot.state.renderers:
            glyph = getattr(renderer, "glyph", None)
            for name in ("line_color", "fill_color"):
                if getattr(glyph, name, None) == BLACK:
                    setattr(glyph, name, WHITE)

    def _dim(self, *_) -> None:
        # Styles that are left out later stay as they were in the browser; they have to be set back.
        self._place.styles = {"opacity": "0.45" if self._model.stale else "1"}

    def element(self, _=None):
        """The figure as it is now."""
        figure = self._draw(self._model)
        hooks = [*figure.opts.get("plot", backend="bokeh").kwargs.get("hooks", []), self._drawn, self._contrast]
        if self._fixed is None:
            return figure.opts(hooks=hooks, **QUIET)
        for element in figure:
            if isinstance(element, hv.Image) and element.opts.get("plot", backend="bokeh").kwargs.get("colorbar"):
                element.opts(**BELOW)
        width, height = self._fixed
        return figure.opts(frame_width=None, frame_height=None, width=width, height=height, hooks=hooks, **QUIET)

    def __panel__(self):
        """The place that the figure lives in."""
        return self._place


def _same(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a source holds this already: most lines of a figure stay when only its marker moves."""
    return before.keys() == after.keys() and all(_equal(before[name], after[name]) for name in after)


def _equal(before: Any, after: Any) -> bool:
    if isinstance(after, list):  # of an image: a picture in a list
        return len(before) == len(after) and all(map(_equal, before, after))
    return np.array_equal(before, after, equal_nan=np.asarray(after).dtype.kind == "f")


def _placeholder(text: str) -> pn.pane.HTML:
    return pn.pane.HTML(
        f'<div style="text-align:center;padding-top:120px;font-size:16px;opacity:.7">{text}</div>',
        sizing_mode="stretch_width",
    )
