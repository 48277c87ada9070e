"""Stored sweeps in one figure, with what they differ in and how they scale."""

from __future__ import annotations

import io
from typing import Any

import panel as pn
import panel_material_ui as pmui
import xarray as xr

from ntk_explorer.comparison import MEASURES
from ntk_explorer.comparison.scaling import fit_slope
from ntk_explorer.dashboard.layout import TABLE_CSS, bar, tall
from ntk_explorer.dashboard.model import ExplorerModel
from ntk_explorer.dashboard.pictures import QUIET
from ntk_explorer.dashboard.readings import plain
from ntk_explorer.dashboard.safe_text import safe_text
from ntk_explorer.dashboard.shelf import Shelf
from ntk_explorer.errors import InvalidInput
from ntk_explorer.plots.compare import LIMIT, comparison, kernel_values, legend_columns, quantities, sweep_colours
from ntk_explorer.plots.theme import kernel_style
from ntk_explorer.plots.width import seed_band
from ntk_explorer.sweeps.differences import short_names

ALL = "all"
SCALING = (*MEASURES, LIMIT)  # quantities that fall as a power of the width
FRAME, LINE = 450, 27  # height of a figure without its legend, and of a line of the legend

Named = list[tuple[str, xr.Dataset]]


class Compared(pn.viewable.Viewer):
    """The figure of the shelf's compared sweeps, its quantity and kernels to choose, and a table under it."""

    def __init__(self, model: ExplorerModel, shelf: Shelf, **params):
        """Nothing is shown before there is something to compare."""
        super().__init__(**params)
        self._model, self._shelf = model, shelf
        self._quantity = pmui.Select(
            label="quantity", options={label: name for name, label in quantities().items()}, size="small", width=235
        )
        self._kernel = pmui.Select(label="kernel", options={"all kernels": ALL}, value=ALL, size="small", width=130)
        close = pmui.Button(label="Close", icon="close", variant="text", size="small", margin=0)
        close.on_click(lambda _: setattr(shelf, "compared", []))
        self._figure = tall()
        self._table = pn.pane.HTML("", stylesheets=[TABLE_CSS], sizing_mode="stretch_width", margin=(4, 16, 16, 16))
        controls = bar(self._quantity, self._kernel, self._download("PNG"), self._download("SVG"), close)
        self._place = tall(controls, self._figure, self._table, visible=False)
        for widget in (self._quantity, self._kernel):
            widget.param.watch(self._draw, "value")
        shelf.param.watch(self._show, "compared")
        model.param.watch(self._draw, "dark")

    @property
    def _sweeps(self) -> Named:
        names = short_names([sweep.plan for sweep, _ in self._shelf.compared])
        return [(name, ds) for name, (_, ds) in zip(names, self._shelf.compared, strict=True)]

    @property
    def _chosen(self) -> dict[str, Any]:
        kernel = self._kernel.value
        return {"quantity": self._quantity.value, "kernels": None if kernel == ALL else [kernel]}

    def _show(self, *_) -> None:
        self._place.visible = bool(self._shelf.compared)
        kernels = dict.fromkeys(str(name) for _, ds in self._shelf.compared for name in ds["kernel"].values)
        options = {"all kernels": ALL} | {kernel_style(name).label: name for name in kernels}
        if options != self._kernel.options:
            self._kernel.param.update(options=options, value=ALL)
        self._draw()

    def _draw(self, *_) -> None:
        sweeps, self._table.object = self._sweeps, ""
        if not sweeps:
            self._figure[:] = []
            return
        try:
            figure = comparison(sweeps, **self._chosen)
        except InvalidInput as error:
            self._figure[:] = [pn.pane.HTML(safe_text(error), margin=16)]
            return
        hooks = [*figure.opts.get("plot", backend="bokeh").kwargs.get("hooks", []), self._contrast]
        lines = -(-(len(sweeps) + 1) // legend_columns([name for name, _ in sweeps]))
        size = {"height": FRAME + LINE * lines, "sizing_mode": "stretch_width"}
        figure.opts(hooks=hooks, **QUIET)
        self._figure[:] = [pn.pane.HoloViews(figure, backend="bokeh", linked_axes=False, **size)]
        self._table.object = summary(sweeps, **self._chosen)

    def _contrast(self, plot, _element) -> None:
        """A hook: a white frame would blind on a dark page."""
        if self._model.dark:
            plot.state.background_fill_color = None

    def _download(self, kind: str) -> pmui.FileDownload:
        def content() -> io.BytesIO:
            from ntk_explorer.plots.export import figure_png, figure_svg  # not above: matplotlib is slow to import

            figure = comparison(self._sweeps, **self._chosen)
            return io.BytesIO((figure_png if kind == "PNG" else figure_svg)(figure))

        name = f"comparison.{kind.lower()}"
        return pmui.FileDownload(
            callback=content, filename=name, label=kind, variant="text", size="small", width=66, margin=0
        )

    def __panel__(self):
        """Controls, figure and table, or nothing."""
        return self._place


def summary(sweeps: Named, quantity: str, kernels: list[str] | None) -> str:
    """HTML table: a row per sweep and kernel, with the value at the widest network and the slope of a power law."""
    fitted = quantity in SCALING
    head = "<tr><th>sweep</th><th>kernel</th><th>widest network</th>" + "<th>slope [95 %]</th>" * fitted + "</tr>"
    lines = []
    for (name, ds), colour in zip(sweeps, sweep_colours(len(sweeps)), strict=True):
        swatch = f'<span style="color:{colour}">■</span> {safe_text(name)}'
        for kernel, values in kernel_values(ds, quantity).items():
            if kernels is None or kernel in kernels:
                cells = [kernel_style(kernel).label, _widest(values), *[_slope(values)] * fitted]
                lines.append(f"<tr><th>{swatch}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
                swatch = ""
    return f'<table class="summary">{head}{"".join(lines)}</table>'


def _widest(values: xr.DataArray) -> str:
    mean = seed_band(values.where(values > 0).values)[0]
    places = [place for place, value in enumerate(mean) if value > 0]
    return f"{plain(float(mean[places[-1]]))} at {int(values['width'][places[-1]])}" if places else "–"


def _slope(values: xr.DataArray) -> str:
    try:
        return str(fit_slope(values["width"], values))
    except InvalidInput:
        return "–"
