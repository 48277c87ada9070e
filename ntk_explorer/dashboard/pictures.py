"""Figures that follow the model: the same plot object is updated, so that a redraw is fast and nothing flickers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import holoviews as hv
import panel as pn
from holoviews.streams import Pipe, Tap

from ntk_explorer.dashboard.model import ExplorerModel

Draw = Callable[[ExplorerModel], Any]


def structure(model: ExplorerModel) -> Hashable:
    """What decides which elements a figure has: a change of it needs a new plot, not an update."""
    result = model.result
    return None if result is None else (tuple(result["kernel"].values), tuple(result.sizes.items()))


class Picture(pn.viewable.Viewer):
    """A HoloViews figure of the present result.

    Args of the constructor: ``draw`` makes the figure from the model; ``of`` names the model's parameters
    that it depends on; a figure whose ``key`` is unchanged since the last one is not drawn again. ``on_tap``
    is called with the coordinates of a click.
    """

    def __init__(
        self,
        model: ExplorerModel,
        draw: Draw,
        *,
        of=("result", "state"),
        key: Callable[[ExplorerModel], Hashable] = lambda model: model.shown.view,
        shape: Callable[[ExplorerModel], Hashable] = structure,
        on_tap: Callable[[float, float], None] | None = None,
        waiting: str = "The first points appear in a moment …",
        **layout,
    ):
        """Show ``waiting`` until there is a result."""
        super().__init__()
        self._model, self._draw, self._key, self._shape, self._on_tap = model, draw, key, shape, on_tap
        self._layout = {"sizing_mode": "stretch_both", "min_height": 300} | layout
        self._place = pn.Column(_placeholder(waiting), **self._layout)
        self._pipe: Pipe | None = None
        self._now: tuple = ()
        self._structure: Hashable = None
        model.param.watch(self._refresh, list(of))
        model.param.watch(self._dim, "stale")
        self._refresh()

    def _refresh(self, *_) -> None:
        model = self._model
        now = (id(model.result), self._key(model))
        if model.result is None or now == self._now:
            return
        self._now = now
        shape = self._shape(model)
        if self._pipe is not None and shape == self._structure:
            self._pipe.send(now)
            return
        self._structure, self._pipe = shape, Pipe(data=now)
        # The stream's data only says that something changed; the figure is drawn from the model.
        figure = hv.DynamicMap(lambda data: self._draw(model), streams=[self._pipe])
        if self._on_tap is not None:
            Tap(source=figure).add_subscriber(self._tapped)
        self._place[:] = [pn.pane.HoloViews(figure, backend="bokeh", linked_axes=False, **self._layout)]

    def _tapped(self, x, y) -> None:
        if self._on_tap is not None and x is not None and y is not None:
            self._on_tap(x, y)

    def _dim(self, *_) -> None:
        self._place.styles = {"opacity": "0.45"} if self._model.stale else {}

    def element(self):
        """The figure as it is now, for export."""
        return self._draw(self._model)

    def __panel__(self):
        """The place that the figure lives in."""
        return self._place


def _placeholder(text: str) -> pn.pane.HTML:
    return pn.pane.HTML(
        f'<div style="text-align:center;padding-top:120px;font-size:16px;opacity:.7">{text}</div>',
        sizing_mode="stretch_width",
    )
